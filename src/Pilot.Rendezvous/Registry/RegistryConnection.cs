using System.Buffers.Binary;
using System.Security.Cryptography;
using Pilot.Protocol;
using Pilot.Protocol.Registry;

namespace Pilot.Rendezvous.Registry;

/// <summary>
/// One TCP connection as the registry sees it: where it comes from, and which nodes have proved themselves on it by a valid signature.
/// Created by the host, handed to every call, and given back with <see cref="RegistryMachine.Disconnect"/>. Owned by the machine's thread.
/// </summary>
public sealed class RegistryConnection
{
    // A proxy or a load generator may carry many nodes; beyond this the connection tells only its last one.
    private const int MaxIdentities = 1024;

    private Dictionary<uint, PublicKey>? _identities;

    /// <summary>A connection from a TCP source address.</summary>
    public RegistryConnection(UdpEndpoint source)
    {
        Source = source;
        SourceText = source.IpText();
    }

    /// <summary>Source address and port of the TCP connection.</summary>
    public UdpEndpoint Source { get; }

    /// <summary>True when the host must close the connection after the answer.</summary>
    public bool CloseRequested { get; internal set; }

    /// <summary>True once the machine was told of the end.</summary>
    public bool IsClosed { get; internal set; }

    internal string SourceText { get; }

    /// <summary>What fresh signatures of this connection cover; null until the client asked for it.</summary>
    internal UInt128? Session { get; private set; }

    /// <summary>The server's key that was named with the session: it stays when the process takes a new one for others.</summary>
    internal ExchangeKey? Exchange { get; private set; }

    /// <summary>Number of the last request with a valid fresh signature or MAC.</summary>
    internal long LastSequence { get; set; } = long.MinValue;

    /// <summary>Set when the peer is a standby that may follow this registry: from then on the connection carries snapshots.</summary>
    internal ReplicationForm Replication { get; set; }

    internal DateTimeOffset ClosedAt { get; set; }

    /// <summary>The node whose signature was valid last, 0 when none.</summary>
    internal uint LastNode { get; private set; }

    internal IEnumerable<uint> Nodes => _identities is null ? [] : _identities.Keys;

    /// <summary>A registration that waits for a signature (see <see cref="RegistryPolicy.EndpointProof"/>).</summary>
    internal PendingEndpoint? Pending { get; set; }

    /// <summary>The node first registered here, which need not have signed anything yet.</summary>
    internal uint RegisteredNode { get; set; }

    internal DateTimeOffset RegisteredAt { get; set; }

    /// <summary>The session, made on first use. Unguessable, and never the same twice.</summary>
    internal UInt128 OpenSession(ExchangeKey exchange)
    {
        Span<byte> bytes = stackalloc byte[RequestProof.SessionSize];
        if (Session is null)
        {
            RandomNumberGenerator.Fill(bytes);
            Session = BinaryPrimitives.ReadUInt128BigEndian(bytes);
            Exchange = exchange;
        }

        return Session.Value;
    }

    internal bool Proves(uint node, PublicKey key) => _identities is not null && _identities.TryGetValue(node, out PublicKey known) && known == key;

    /// <summary>Notes a valid signature; true when the connection now carries this node.</summary>
    internal bool Prove(uint node, PublicKey key)
    {
        LastNode = node;
        _identities ??= [];
        if (_identities.Count >= MaxIdentities && !_identities.ContainsKey(node))
        {
            return false;
        }

        _identities[node] = key;
        return true;
    }
}

/// <summary>What a standby is sent.</summary>
internal enum ReplicationForm
{
    /// <summary>No standby.</summary>
    None,

    /// <summary>Snapshots in the reference's format.</summary>
    Reference,

    /// <summary>Our own records, which hold more: consent by direction, proofs, departed nodes.</summary>
    Events,
}

/// <summary>Endpoint, and owner of a node that has none, claimed by an unsigned registration.</summary>
internal sealed record PendingEndpoint(uint Node, PublicKey Key, string Owner, string Endpoint, string[] LanAddresses);
