using System.Buffers;
using System.Globalization;
using System.Text;
using Pilot.Protocol;
using Pilot.Protocol.Registry;

namespace Pilot.Rendezvous.Registry;

// register, rotate_key, heartbeat, deregister (spec 03 sections 5, 6.3, 6.6, 6.7)
internal sealed partial class RegistryCore
{
    private const int ProtocolVersion = 1;
    private static readonly SearchValues<char> SoftwareCharacters = SearchValues.Create("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-/");
    private const int WishesPerNode = 4; // ids up to this many times the node cap may be wished for
    private static readonly TimeSpan ExpiryWarning = TimeSpan.FromHours(24); // spec 03 section 6.6

    private object Register(Turn turn)
    {
        RegistryRequest request = turn.Request;
        string text = request.GetString("public_key");
        bool readable = TryReadKey(text, out PublicKey key, out string? alias, out string keyError);
        NodeRecord? known = null;
        bool isKnown = readable && State.TryGetByKey(key, alias, out known);
        if (turn.RegisterRetryAfter is { } wait && !isKnown)
        {
            return RateLimited(turn.Connection, "registrations", wait);
        }

        if (!readable)
        {
            return text.Length == 0 ? Refusal.Invalid("registration without public_key") : Refusal.Invalid($"invalid public key: {keyError}");
        }

        if (turn.Verdict.NewKeyIsInvalid)
        {
            return Refusal.Invalid("invalid public key: not a point of the curve");
        }

        string endpoint = ReadEndpoint(request.GetString("listen_addr"), turn.Connection.Source);
        string[] lan = ReadLanAddresses(request);
        string owner = request.GetString("owner");
        if (Has(RegistryPolicy.CheckAddresses) && Encoding.UTF8.GetByteCount(owner) > _options.Limits.MaxOwnerBytes)
        {
            owner = "";
        }

        if (known is not null)
        {
            if (CheckExpiry(turn, known) is { } expired)
            {
                return expired;
            }

            if (known.SignsFresh && Has(RegistryPolicy.FreshSignatures) && !IsSignedBy(turn, key))
            {
                return Refusal.Unauthorized($"{RequestProof.SignatureMember} required: node {known.Id} has used it before");
            }

            return Answer(turn, known.Id, key, alias, endpoint, ReturnKnown(turn, known, endpoint, lan, owner), bringsKey: false);
        }

        if (State.TryGetByOwner(owner, out NodeRecord? holder)
            && (!Has(RegistryPolicy.TakeoverNeedsAbsence) || holder.Status != NodeStatus.Live || !(IsPresent(holder, turn.Now) || IsAwaited(holder, turn.Now))))
        {
            turn.Emit(new NodeTakenOver(
                holder.Id, key, alias, owner, endpoint, lan, holder.Status != NodeStatus.Live, Has(RegistryPolicy.DirectionalConsent), turn.Now));
            return Answer(turn, holder.Id, key, alias, endpoint, settled: true, bringsKey: true);
        }

        if (State.NextNode == 0 || State.Nodes.Count >= _options.Limits.MaxNodes)
        {
            return new Refusal("node ID space exhausted", RegistryErrorCode.Full);
        }

        uint id = ChooseId(request.GetUInt32("node_id"));
        turn.Emit(new NodeRegistered(id, key, alias, owner, endpoint, lan, turn.Now));
        return Answer(turn, id, key, alias, endpoint, settled: true, bringsKey: true);
    }

    private static bool IsSignedBy(Turn turn, PublicKey key) => turn.Verdict is { State: SignatureState.Valid, Fresh: true } && turn.Verdict.Key == key;

    // A node may wish for the id that it had before: after a loss of memory addresses and trust stay what they were. The wish needs no proof, because
    // peers pin keys; it is bounded, so that nobody uses up the ids.
    private uint ChooseId(uint wanted) =>
        wanted != 0 && wanted <= WishesPerNode * (long)_options.Limits.MaxNodes && !State.Nodes.ContainsKey(wanted) ? wanted : State.NextNode;

    // False when the registration moved nothing: the node is connected elsewhere, and this one has proved nothing yet.
    private bool ReturnKnown(Turn turn, NodeRecord node, string endpoint, string[] lan, string owner)
    {
        bool speaks = SpeaksFor(turn, node);
        if (node.Status != NodeStatus.Live)
        {
            bool keeps = Has(RegistryPolicy.Retention) && node.Proven && node.Status == NodeStatus.Offline;
            turn.Emit(new NodeReclaimed(node.Id, keeps && !speaks ? "" : owner, endpoint, lan, Blank: !keeps, KeepNetworks: node.Status == NodeStatus.Offline, turn.Now));
            return true;
        }

        bool provenHere = turn.Connection.Proves(node.Id, node.Key);
        if (Has(RegistryPolicy.EndpointProof) && !provenHere && IsPresent(node, turn.Now, except: turn.Connection))
        {
            turn.Connection.Pending = new PendingEndpoint(node.Id, node.Key, owner, endpoint, lan);
            return false;
        }

        bool givesOwner = node.Owner.Length == 0 && owner.Length > 0;
        if (givesOwner && !speaks)
        {
            turn.Connection.Pending = new PendingEndpoint(node.Id, node.Key, owner, endpoint, lan);
        }

        turn.Emit(new NodeMoved(node.Id, givesOwner && speaks ? owner : null, endpoint, lan, turn.Now));
        return true;
    }

    // Everybody knows a node's public key. Who only repeats it gives a node that has proved it neither an owner text, which is worth the node's id
    // (see the takeover above), nor another hostname.
    private bool SpeaksFor(Turn turn, NodeRecord node) =>
        !Has(RegistryPolicy.EndpointProof) || !node.Proven || turn.Connection.Proves(node.Id, node.Key) || IsSignedBy(turn, node.Key);

    private RegisterResponse Answer(Turn turn, uint id, PublicKey key, string? alias, string endpoint, bool settled, bool bringsKey)
    {
        if (settled)
        {
            Commit(turn);
            NodeRecord node = State.Nodes[id];
            node.ProofIp = turn.Connection.Source.Ip;
            node.ProofAt = turn.Now;
            Touch(id);
            if (bringsKey)
            {
                NoteRegistration(turn, id);
            }

            if (IsSignedBy(turn, key))
            {
                NoteProof(turn, node);
            }

            NoteSoftware(turn, node);
        }

        string hostname = turn.Request.GetString("hostname");
        string? assigned = null;
        string? hostnameError = null;
        if (hostname.Length > 0 && settled && SpeaksFor(turn, State.Nodes[id]))
        {
            if (!HostnameRules.TryValidate(hostname, out hostnameError))
            {
                assigned = null;
            }
            else if (!State.TryGetByHostname(hostname, out NodeRecord? holder))
            {
                turn.Emit(new HostnameChanged(id, hostname));
                assigned = hostname;
            }
            else if (holder.Id == id)
            {
                assigned = hostname;
            }
        }

        return new RegisterResponse
        {
            Address = PilotAddress.OfNode(id).ToString(),
            NodeId = id,
            PublicKey = alias ?? key.ToString(),
            ObservedAddr = endpoint,
            ProtocolVersion = ProtocolVersion,
            Hostname = assigned,
            HostnameError = hostnameError,
        };
    }

    // Shown as a count on the dashboard; a stranger's text must not be able to be anything else.
    private void NoteSoftware(Turn turn, NodeRecord node)
    {
        string software = turn.Request.GetString("software");
        if (software.Length > _options.Limits.MaxSoftwareBytes || software.AsSpan().ContainsAnyExcept(SoftwareCharacters))
        {
            software = "";
        }

        if (software != node.Software)
        {
            turn.Emit(new SoftwareChanged(node.Id, software));
        }
    }

    private void NoteRegistration(Turn turn, uint id)
    {
        RemoveTentative(turn.Connection);
        turn.Connection.RegisteredNode = id;
        turn.Connection.RegisteredAt = turn.Now;
        if (!turn.Connection.IsClosed)
        {
            AddPresence(id, turn.Connection);
        }
    }

    private void RemoveTentative(RegistryConnection connection)
    {
        if (connection.RegisteredNode != 0 && !connection.Nodes.Contains(connection.RegisteredNode))
        {
            RemovePresence(connection.RegisteredNode, connection);
        }
    }

    private object RotateKey(Turn turn)
    {
        if (turn.Request.GetString("signature").Length == 0)
        {
            return Refusal.Unauthorized("rotate_key needs a valid signature");
        }

        string text = turn.Request.GetString("new_public_key");
        if (text.Length == 0)
        {
            return Refusal.Invalid("rotate_key without new_public_key");
        }

        if (!TryReadKey(text, out PublicKey key, out string? alias, out string keyError))
        {
            return Refusal.Invalid($"invalid new_public_key: {keyError}");
        }

        if (!State.TryGetLive(turn.NodeId, out NodeRecord? node))
        {
            return Refusal.NodeNotFound(turn.NodeId);
        }

        if (CheckSigned(turn, node) is { } refusal)
        {
            return refusal;
        }

        if (turn.Verdict.NewKeyIsInvalid)
        {
            return Refusal.Invalid("invalid new_public_key: not a point of the curve");
        }

        if (Has(RegistryPolicy.KeyBytes) && State.TryGetByKey(key, alias, out NodeRecord? other) && other.Id != node.Id)
        {
            return new Refusal("new key belongs to another node", RegistryErrorCode.Conflict);
        }

        turn.Emit(new KeyRotated(node.Id, key, alias, turn.Now));
        return new RotateKeyResponse { Address = node.Address.ToString(), NodeId = node.Id, PublicKey = alias ?? key.ToString() };
    }

    private object Heartbeat(Turn turn)
    {
        if (!State.TryGetLive(turn.NodeId, out NodeRecord? node))
        {
            return Refusal.NodeNotFound(turn.NodeId);
        }

        if (CheckSigned(turn, node) is { } refusal)
        {
            return refusal;
        }

        if (IsExpired(node, turn.Now))
        {
            return Expired(node);
        }

        node.LastSeen = turn.Now;
        bool warn = node.KeyExpires is { } end && end - turn.Now < ExpiryWarning;
        return new HeartbeatResponse { Time = turn.Now.ToUnixTimeSeconds(), KeyExpiryWarning = warn ? true : null };
    }

    private object Deregister(Turn turn)
    {
        // An unknown node is deregistered already. One that is only silent still has attributes to drop, but its absence of an error says nothing.
        var done = new AcknowledgeResponse { Type = "deregister_ok" };
        if (!State.Nodes.TryGetValue(turn.NodeId, out NodeRecord? node) || node.Status == NodeStatus.Departed)
        {
            return done;
        }

        Refusal? refusal = CheckSigned(turn, node, adminMay: true);
        if (refusal is null)
        {
            turn.Emit(new NodeDeregistered(node.Id, turn.Now));
        }

        return refusal is not null && node.Status == NodeStatus.Live ? refusal : done;
    }

    // The index counts the 32 bytes; the reference counts the text, so that a second spelling is another key.
    private bool TryReadKey(string text, out PublicKey key, out string? alias, out string error)
    {
        key = default;
        alias = null;
        error = "";
        if (!StandardBase64.TryDecode(text, out byte[]? bytes))
        {
            error = $"decode public key: illegal base64 data at input byte {Base64Errors.FirstIllegalByte(text)}";
            return false;
        }

        if (bytes.Length != PublicKey.Size)
        {
            error = $"invalid public key size: {bytes.Length}";
            return false;
        }

        key = PublicKey.Read(bytes);
        alias = Has(RegistryPolicy.KeyBytes) || text == key.ToString() ? null : text;
        return true;
    }

    // The claimed host never counts: the endpoint is the TCP source address with the claimed port (spec 03 section 5.1).
    private string ReadEndpoint(string listenAddress, UdpEndpoint source)
    {
        if (!TrySplitPort(listenAddress, out string port))
        {
            return source.ToString();
        }

        bool valid = ushort.TryParse(port, NumberStyles.None, CultureInfo.InvariantCulture, out ushort number) && number != 0;
        if (valid)
        {
            return (source with { Port = number }).ToString();
        }

        if (Has(RegistryPolicy.CheckAddresses))
        {
            return source.ToString();
        }

        return source.IsIPv4 ? $"{source.IpText()}:{port}" : $"[{source.IpText()}]:{port}";
    }

    private static bool TrySplitPort(string address, out string port)
    {
        port = "";
        int colon = address.LastIndexOf(':');
        if (colon < 0)
        {
            return false;
        }

        string host = address[..colon];
        bool bracketed = host.StartsWith('[') && host.IndexOf(']', StringComparison.Ordinal) == host.Length - 1;
        if (!bracketed && host.AsSpan().ContainsAny(':', '[', ']'))
        {
            return false;
        }

        port = address[(colon + 1)..];
        return !port.AsSpan().ContainsAny('[', ']');
    }

    private string[] ReadLanAddresses(RegistryRequest request)
    {
        IReadOnlyList<string> given = request.GetStrings("lan_addrs") ?? [];
        bool check = Has(RegistryPolicy.CheckAddresses);
        var kept = new List<string>();
        foreach (string address in given)
        {
            if (address.Length > 0 && (!check || (UdpEndpoint.TryParse(address, out UdpEndpoint parsed) && parsed.Port != 0)))
            {
                kept.Add(address);
            }

            if (check && kept.Count == _options.Limits.MaxLanAddresses)
            {
                break;
            }
        }

        return [.. kept];
    }
}
