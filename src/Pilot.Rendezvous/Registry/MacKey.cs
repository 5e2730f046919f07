using System.Buffers.Binary;
using System.Security.Cryptography;
using Pilot.Protocol;
using Pilot.Protocol.Registry;

namespace Pilot.Rendezvous.Registry;

/// <summary>
/// What MACs of a node are verified with (<see cref="RequestMac"/>), on the connection of this session and on no other. A node has one, of the connection
/// on which it last offered one: as many as there are registered nodes, 64 bytes each, whatever strangers do.
/// </summary>
internal sealed class MacKey(UInt128 session, UInt128 high, UInt128 low)
{
    public UInt128 Session { get; } = session;

    public bool Verify(RegistryRequest request)
    {
        Span<byte> session = stackalloc byte[RequestProof.SessionSize];
        BinaryPrimitives.WriteUInt128BigEndian(session, Session);
        Span<byte> key = stackalloc byte[RequestMac.Size];
        BinaryPrimitives.WriteUInt128BigEndian(key, high);
        BinaryPrimitives.WriteUInt128BigEndian(key[16..], low);
        bool valid = RequestMac.Verify(key, session, request);
        CryptographicOperations.ZeroMemory(key);
        return valid;
    }
}

/// <summary>A request under a MAC, with the key that the node has on this connection. Verified on any thread.</summary>
internal sealed record MacProof(RegistryRequest Request, MacKey Key)
{
    public bool Verify() => Key.Verify(Request);
}

/// <summary>A node's X25519 key, named in a request whose signature is to be verified before it means anything.</summary>
internal sealed record MacOffer(ExchangeKey Server, byte[] Node)
{
    public static MacOffer? Read(RegistryRequest request, ExchangeKey server) =>
        request.HasString(RequestMac.NodeKeyMember) && StandardBase64.TryDecode(request.GetString(RequestMac.NodeKeyMember), out byte[]? key) && key.Length == X25519.KeySize
            ? new MacOffer(server, key)
            : null;

    /// <summary>The key for the MACs; null when the offer is worth nothing. About as dear as a signature.</summary>
    public MacKey? Agree(UInt128 session, PublicKey identity)
    {
        Span<byte> salt = stackalloc byte[RequestProof.SessionSize];
        BinaryPrimitives.WriteUInt128BigEndian(salt, session);
        Span<byte> name = stackalloc byte[PublicKey.Size];
        identity.Write(name);
        Span<byte> key = stackalloc byte[RequestMac.Size];
        if (!Server.TryDerive(Node, salt, name, key))
        {
            return null;
        }

        var agreed = new MacKey(session, BinaryPrimitives.ReadUInt128BigEndian(key), BinaryPrimitives.ReadUInt128BigEndian(key[16..]));
        CryptographicOperations.ZeroMemory(key);
        return agreed;
    }
}

/// <summary>An X25519 key of this process, for the MACs of connections. In memory only.</summary>
internal sealed class ExchangeKey
{
    private readonly byte[] _private = RandomNumberGenerator.GetBytes(X25519.KeySize);
    private readonly byte[] _public = new byte[X25519.KeySize];

    public ExchangeKey()
    {
        X25519.GetPublicKey(_private, _public);
        PublicText = Convert.ToBase64String(_public);
    }

    public string PublicText { get; }

    public bool TryDerive(ReadOnlySpan<byte> node, ReadOnlySpan<byte> session, ReadOnlySpan<byte> identity, Span<byte> key) =>
        RequestMac.TryDeriveKey(_private, _public, node, isServer: true, session, identity, key);
}

/// <summary>
/// The key that new connections are told: another one every hour, so that one that leaked is worth little for long. One for all of them, because a key of
/// its own would cost the processor some 40 microseconds for every stranger that asks for a session, and protect nothing more: sessions differ, and the
/// nodes' keys do.
/// </summary>
internal sealed class ExchangeKeys
{
    private static readonly TimeSpan Lifetime = TimeSpan.FromHours(1);

    private ExchangeKey? _current;
    private DateTimeOffset _until;

    public ExchangeKey At(DateTimeOffset now)
    {
        if (_current is null || now >= _until)
        {
            _current = new ExchangeKey();
            _until = now + Lifetime;
        }

        return _current;
    }
}
