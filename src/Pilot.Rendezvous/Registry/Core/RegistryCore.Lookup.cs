using System.Buffers.Binary;
using Pilot.Protocol.Registry;

namespace Pilot.Rendezvous.Registry;

// lookup, resolve, resolve_hostname, check_trust, punch (spec 03 section 6.1)
internal sealed partial class RegistryCore
{
    private const int MaxEchoCharacters = 64;

    private object Lookup(Turn turn)
    {
        if (!State.TryGetLive(turn.NodeId, out NodeRecord? node))
        {
            return Refusal.NodeNotFound(turn.NodeId);
        }

        bool open = !Has(RegistryPolicy.LookupPrivacy) || MaySee(turn.Connection, node);
        return new LookupResponse
        {
            Address = node.Address.ToString(),
            NodeId = node.Id,
            PublicKey = node.KeyText,
            Public = node.Public,
            PoloScore = node.PoloScore,
            Networks = open ? [0, .. node.Networks ?? []] : [0],
            RealAddr = node.Public ? node.Endpoint : null,
            Hostname = open ? TextOrNull(node.Hostname) : null,
            Tags = open && node.Tags.Length > 0 ? node.Tags : null,
            TaskExec = open && node.TaskExec ? true : null,
            ExternalId = open ? TextOrNull(node.ExternalId) : null,
        };
    }

    private static string? TextOrNull(string text) => text.Length > 0 ? text : null;

    private object Resolve(Turn turn)
    {
        uint requesterId = turn.Request.GetUInt32("requester_id");
        if (!State.TryGetLive(requesterId, out NodeRecord? requester))
        {
            return Refusal.Unauthorized($"resolve denied: requester node {requesterId} is not registered");
        }

        if (CheckSigned(turn, requester) is { } refusal)
        {
            return refusal;
        }

        if (!State.TryGetLive(turn.NodeId, out NodeRecord? target))
        {
            return Refusal.NodeNotFound(turn.NodeId);
        }

        bool trusted = MayReach(requester, target);
        if (!target.Public && !trusted)
        {
            return new Refusal($"resolve denied: node {target.Id} is private (establish mutual trust first)", RegistryErrorCode.Private);
        }

        NoteResolve(requester.Id, target.Id, turn.Now);
        bool lan = target.LanAddresses.Length > 0
            && (!Has(RegistryPolicy.LanPrivacy) || trusted || turn.Connection.Source.Ip == target.EndpointIp);
        return new ResolveResponse
        {
            NodeId = target.Id,
            RealAddr = target.Endpoint,
            LanAddrs = lan ? target.LanAddresses : null,
            Software = target.Software.Length > 0 ? target.Software : null,
            KeyAgeDays = Math.Max(0, (long)(turn.Now - (target.KeyRotated ?? target.KeyCreated)).TotalDays),
        };
    }

    private object ResolveHostname(Turn turn)
    {
        string hostname = turn.Request.GetString("hostname");
        if (hostname.Length == 0)
        {
            return Refusal.Invalid("hostname required");
        }

        // One text for the unknown, the silent and the private, so that it tells nothing apart.
        var notFound = new Refusal($"hostname \"{Echo(hostname)}\" not found", RegistryErrorCode.NotFound);
        if (!State.TryGetByHostname(hostname, out NodeRecord? target) || target.Status != NodeStatus.Live)
        {
            return notFound;
        }

        if (!target.Public && !MayFind(FindRequester(turn), target))
        {
            return notFound;
        }

        return new ResolveHostnameResponse { Address = target.Address.ToString(), NodeId = target.Id, Public = target.Public, Hostname = target.Hostname };
    }

    // A client's own text in an answer, never longer than an honest one.
    private static string Echo(string text) => text.Length > MaxEchoCharacters ? text[..MaxEchoCharacters] : text;

    private bool MayFind(NodeRecord? requester, NodeRecord target) =>
        requester is not null && (requester.Id == target.Id || MayReach(requester, target));

    // Who asks: the claimed id if it is proved by connection or signature, the connection's own node if none is claimed.
    private NodeRecord? FindRequester(Turn turn)
    {
        uint claimed = turn.Request.GetUInt32("requester_id");
        if (!Has(RegistryPolicy.RequesterIdentity))
        {
            return State.TryGetLive(claimed, out NodeRecord? anybody) ? anybody : null;
        }

        if (claimed == 0)
        {
            return ActiveNode(turn.Connection);
        }

        return IsProven(turn.Connection, claimed, out NodeRecord? node) ? node : null;
    }

    private object CheckTrust(Turn turn)
    {
        uint peerId = turn.Request.GetUInt32("peer_id");
        bool trusted = Trusts(turn.NodeId, peerId)
            || (State.TryGetLive(turn.NodeId, out NodeRecord? node) && State.TryGetLive(peerId, out NodeRecord? peer) && RegistryState.ShareNetwork(node, peer));
        var answer = new CheckTrustResponse { Trusted = trusted };
        return Has(RegistryPolicy.FreshSignatures) && turn.Request.GetBoolean(RequestProof.SessionWantedMember) ? NameSession(turn, answer) : answer;
    }

    // Named where a client can ask for it before it has an id, and where a reference server answers without harm.
    private CheckTrustResponse NameSession(Turn turn, CheckTrustResponse answer)
    {
        Span<byte> bytes = stackalloc byte[RequestProof.SessionSize];
        BinaryPrimitives.WriteUInt128BigEndian(bytes, turn.Connection.OpenSession(_exchange.At(turn.Now)));
        return answer with { Session = Convert.ToBase64String(bytes), SessionKey = turn.Connection.Exchange!.PublicText };
    }

    private object Punch(Turn turn)
    {
        uint requesterId = turn.Request.GetUInt32("requester_id");
        uint aId = turn.Request.GetUInt32("node_a");
        uint bId = turn.Request.GetUInt32("node_b");
        if (!State.TryGetLive(requesterId, out NodeRecord? requester))
        {
            return Refusal.NodeNotFound(requesterId);
        }

        if (requesterId != aId && requesterId != bId)
        {
            return Refusal.Unauthorized("punch denied: requester must be participant");
        }

        if (CheckSigned(turn, requester) is { } refusal)
        {
            return refusal;
        }

        if (!State.TryGetLive(aId, out NodeRecord? a))
        {
            return Refusal.NodeNotFound(aId);
        }

        if (!State.TryGetLive(bId, out NodeRecord? b))
        {
            return Refusal.NodeNotFound(bId);
        }

        NodeRecord other = requesterId == aId ? b : a;
        if (Has(RegistryPolicy.PunchPrivacy) && other.Id != requesterId && !other.Public && !MayReach(requester, other))
        {
            return new Refusal($"punch denied: node {other.Id} is private", RegistryErrorCode.Private);
        }

        return new PunchResponse { NodeA = aId, NodeAAddr = a.Endpoint, NodeB = bId, NodeBAddr = b.Endpoint };
    }
}
