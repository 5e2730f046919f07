using Pilot.Protocol;
using Pilot.Protocol.Registry;

namespace Pilot.Rendezvous.Registry;

// Before a decision: rate limits, and which signature is to be verified with which key.
internal sealed partial class RegistryCore
{
    private RequestLimits _limits;

    /// <summary>Charges the limits that come before authentication and tells what must be verified. Reads the key from the state.</summary>
    public Admission Admit(DateTimeOffset now, RegistryConnection connection, RegistryRequest request)
    {
        if (_options.Standby && !StandbyTypes.Contains(request.Type))
        {
            return new Admission(new Refusal("standby mode: write operations not accepted (use primary)", RegistryErrorCode.Standby), default, null);
        }

        SignatureTask signature = FindSignature(connection, request);
        UInt128 address = _limits.OfAddress(connection.Source);
        switch (request.Type)
        {
            case "register":
                bool allowed = _limits.Registrations.TryTake(now, address, out TimeSpan wait);
                // Known keys come through without a token, so that a restart locks nobody out; but each may write, so that this has an end, too.
                if (!allowed && Has(RegistryPolicy.LimitPerNode) && !_limits.Unsigned.TryTake(now, address, out TimeSpan pause))
                {
                    return new Admission(RateLimited(connection, "registrations", pause), default, null);
                }

                SignatureTask proof = allowed || _limits.Failures.HasToken(now, address) ? FindRegistrant(connection, request) : default;
                return new Admission(null, proof with { NewKey = allowed ? FindNewKey(request, "public_key") : null }, allowed ? null : wait);
            case "lookup" or "list_nodes" or "resolve_hostname":
                UInt128 key = Has(RegistryPolicy.LimitPerNode) && ActiveNode(connection) is { } viewer ? RequestLimits.OfNode(viewer.Id) : address;
                return Charge(_limits.Queries, now, key, connection, "queries", signature);
            case "heartbeat":
                return AdmitSigned(_limits.Heartbeats, now, address, connection, "heartbeats", signature);
            case "resolve":
                return AdmitSigned(_limits.Resolves, now, address, connection, "resolves", signature);
            default:
                if (!Has(RegistryPolicy.LimitPerNode))
                {
                    return new Admission(null, signature, null);
                }

                return signature.Signer != 0 ? AdmitSigned(_limits.Failures, now, address, connection, "failed requests", signature)
                    : ActiveNode(connection) is not null ? new Admission(null, signature, null)
                    : Charge(_limits.Unsigned, now, address, connection, "requests", signature);
        }
    }

    private static Admission Charge(RateLimiter limiter, DateTimeOffset now, UInt128 key, RegistryConnection connection, string what, SignatureTask signature) =>
        limiter.TryTake(now, key, out TimeSpan wait) ? new Admission(null, signature, null) : new Admission(RateLimited(connection, what, wait), default, null);

    // Per node: the address pays only for failures (see AcceptIdentity), and a connection that proved the signer is never locked out by its neighbours.
    private Admission AdmitSigned(RateLimiter limiter, DateTimeOffset now, UInt128 address, RegistryConnection connection, string what, SignatureTask signature)
    {
        if (!Has(RegistryPolicy.LimitPerNode))
        {
            return Charge(limiter, now, address, connection, what, signature);
        }

        return connection.Proves(signature.Signer, signature.Key) || limiter.HasToken(now, address)
            ? new Admission(null, signature, null)
            : new Admission(RateLimited(connection, what, TimeSpan.FromSeconds(1)), default, null);
    }

    private static Refusal RateLimited(RegistryConnection connection, string what, TimeSpan wait) =>
        new($"rate limited: too many {what} from {connection.SourceText}", RegistryErrorCode.RateLimited, wait);

    // A registration is signed by the key that it brings, known or not.
    private SignatureTask FindRegistrant(RegistryConnection connection, RegistryRequest request)
    {
        if (FindFresh(connection, request, null) is not { } fresh || !TryReadKey(request.GetString("public_key"), out PublicKey key, out string? alias, out _))
        {
            return default;
        }

        uint signer = State.TryGetByKey(key, alias, out NodeRecord? node) ? node.Id : 0;
        return fresh with { Signer = signer, Key = key };
    }

    // The better signature or the MAC of a request: null when it has neither. The strongest form that is there alone counts: a wrong one is not made good by
    // a weaker one beside it, and a MAC beside a signature is a member like any other.
    private SignatureTask? FindFresh(RegistryConnection connection, RegistryRequest request, NodeRecord? signer)
    {
        if (!Has(RegistryPolicy.FreshSignatures) || connection.Session is not { } session)
        {
            return null;
        }

        bool signed = request.HasString(RequestProof.SignatureMember);
        if (!signed && !request.HasString(RequestMac.Member))
        {
            return null;
        }

        string server = request.GetString(RequestProof.ServerMember);
        bool meant = server.Length == 0 || _options.ServerFingerprint.Length == 0 || server == _options.ServerFingerprint;
        bool current = meant && request.TryGetInteger(RequestProof.SequenceMember, out long sequence) && sequence > connection.LastSequence;
        if (signed)
        {
            return current
                ? new SignatureTask { Fresh = new FreshSignature(request, session, MacOffer.Read(request, connection.Exchange!)) }
                : new SignatureTask { Known = SignatureState.Invalid };
        }

        return current && RequestMac.Covers(request.Type) && signer?.Mac is { } key && key.Session == session
            ? new SignatureTask { Mac = new MacProof(request, key) }
            : new SignatureTask { Known = SignatureState.MacRefused };
    }

    private SignatureTask FindSignature(RegistryConnection connection, RegistryRequest request)
    {
        uint node = request.GetUInt32("node_id");
        switch (request.Type)
        {
            case "heartbeat": return Task(connection, request, node, Challenge.Heartbeat(node)) with { KnownValid = State.Nodes.GetValueOrDefault(node)?.HeartbeatSignature };
            case "poll_handshakes": return Task(connection, request, node, Challenge.PollHandshakes(node)) with { KnownValid = State.Nodes.GetValueOrDefault(node)?.PollSignature };
            case "report_trust": return Task(connection, request, node, Challenge.ReportTrust(node, request.GetUInt32("peer_id")));
            case "revoke_trust": return Task(connection, request, node, Challenge.RevokeTrust(node, request.GetUInt32("peer_id")));
            case "respond_handshake": return Task(connection, request, node, Challenge.Respond(node, request.GetUInt32("peer_id")));
            case "set_hostname": return Task(connection, request, node, Challenge.SetHostname(node));
            case "set_visibility": return Task(connection, request, node, Challenge.SetVisibility(node));
            case "set_tags": return Task(connection, request, node, Challenge.SetTags(node));
            case "set_task_exec": return Task(connection, request, node, Challenge.SetTaskExec(node));
            case "deregister": return Task(connection, request, node, Challenge.Deregister(node));
            case "rotate_key": return Task(connection, request, node, Challenge.Rotate(node)) with { NewKey = FindNewKey(request, "new_public_key") };
            case "join_network": return Task(connection, request, node, Challenge.JoinNetwork(node, request.GetUInt16("network_id")));
            case "leave_network": return Task(connection, request, node, Challenge.LeaveNetwork(node, request.GetUInt16("network_id")));
            case "poll_invites": return Task(connection, request, node, Challenge.PollInvites(node));
            case "respond_invite": return Task(connection, request, node, Challenge.RespondInvite(node, request.GetUInt16("network_id")));
            case "set_key_expiry": return Task(connection, request, node, Challenge.SetKeyExpiry(node));
            case "invite_to_network":
                uint inviter = request.GetUInt32("inviter_id");
                return Task(connection, request, inviter, Challenge.Invite(inviter, request.GetUInt16("network_id"), request.GetUInt32("target_node_id")));
            case "resolve":
                uint requester = request.GetUInt32("requester_id");
                return Task(connection, request, requester, Challenge.Resolve(requester, node));
            case "punch":
                return Task(connection, request, request.GetUInt32("requester_id"), Challenge.Punch(request.GetUInt32("node_a"), request.GetUInt32("node_b")));
            case "request_handshake":
                uint from = request.GetUInt32("from_node_id");
                return IsByName(request)
                    ? Task(connection, request, from, Challenge.HandshakeByName(from, request.GetString("to_hostname")))
                    : Task(connection, request, from, Challenge.Handshake(from, request.GetUInt32("to_node_id")));
            case "resolve_hostname" when Has(RegistryPolicy.RequesterIdentity)
                && (request.HasString("signature") || request.HasString(RequestProof.SignatureMember) || request.HasString(RequestMac.Member)):
                uint asker = request.GetUInt32("requester_id");
                return Task(connection, request, asker, Challenge.ResolveHostname(asker, request.GetString("hostname")));
            default:
                return default;
        }
    }

    // Only keys that are not known yet: those that are were checked when they came.
    private PublicKey? FindNewKey(RegistryRequest request, string member) =>
        Has(RegistryPolicy.KeyBytes) && TryReadKey(request.GetString(member), out PublicKey key, out _, out _) && !State.Keys.ContainsKey(key) ? key : null;

    private SignatureTask Task(RegistryConnection connection, RegistryRequest request, uint signer, string challenge)
    {
        if (!State.Nodes.TryGetValue(signer, out NodeRecord? node))
        {
            return default;
        }

        if (FindFresh(connection, request, node) is { } fresh)
        {
            return fresh with { Signer = signer, Key = node.Key };
        }

        string signature = request.GetString("signature");
        bool outdated = node.SignsFresh && Has(RegistryPolicy.FreshSignatures) && signature.Length > 0;
        return new SignatureTask(signer, node.Key, challenge, signature) { Known = outdated ? SignatureState.Outdated : SignatureState.NotChecked };
    }
}
