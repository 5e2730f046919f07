using System.Buffers;
using System.Buffers.Binary;
using System.Text.Json;
using Pilot.Protocol;
using Pilot.Protocol.Registry;

namespace Pilot.Daemon.Registry;

/// <summary>One request as it goes on the wire: 4-byte length and JSON object (03 §2.1).</summary>
/// <param name="Type">Value of <c>type</c>.</param>
/// <param name="Frame">The whole frame, written in one piece.</param>
/// <param name="IsRepeatable">True when sending it twice does no harm, so that it may be repeated on a new connection (03 §2.4).</param>
/// <param name="IsSigned">True when a registry of ours is to get the better signature with it (<see cref="Pilot.Protocol.Registry.RequestProof"/>).</param>
internal sealed record RegistryRequest(string Type, ReadOnlyMemory<byte> Frame, bool IsRepeatable, bool IsSigned)
{
    /// <summary>The body without the reference's signature, for a registry that is shown something better.</summary>
    public required ReadOnlyMemory<byte> Bare { get; init; }
}

/// <summary>Builds and signs the requests of one node (03 §4.2, §6).</summary>
internal sealed class RegistryRequests(Identity identity)
{
    /// <summary>Largest body a registry accepts (03 §2.1).</summary>
    public const int MaxBody = 65536;

    /// <summary>How the software of our daemons begins.</summary>
    public const string SoftwareName = "pilot-daemon/";

    private static readonly string Software = $"{SoftwareName}{typeof(RegistryRequests).Assembly.GetName().Version?.ToString(3)}";

    /// <summary>Whose requests these are.</summary>
    public Identity Identity { get; } = identity;

    /// <summary>Own node id; 0 before the first registration.</summary>
    public uint NodeId { get; set; }

    /// <param name="wantedId">The id that this node had, or 0: a registry of ours that lost its memory gives it again; others ignore it.</param>
    public RegistryRequest Register(string listenAddress, string? owner, IReadOnlyCollection<string> lanAddresses, uint wantedId = 0) => Build("register", true, json =>
    {
        json.WriteString("listen_addr"u8, listenAddress);
        if (wantedId != 0)
        {
            json.WriteNumber("node_id"u8, wantedId);
        }

        json.WriteString("public_key"u8, Identity.PublicKeyText);
        if (!string.IsNullOrEmpty(owner))
        {
            json.WriteString("owner"u8, owner);
        }

        if (lanAddresses.Count > 0)
        {
            json.WriteStartArray("lan_addrs"u8);
            foreach (var address in lanAddresses)
            {
                json.WriteStringValue(address);
            }

            json.WriteEndArray();
        }

        json.WriteNumber("protocol_version"u8, 1);
        json.WriteString("software"u8, Software);
    }, isSigned: true);

    public RegistryRequest Heartbeat() => Signed("heartbeat", true, Challenge.Heartbeat(NodeId), static _ => { });

    public RegistryRequest PollHandshakes() => Signed("poll_handshakes", false, Challenge.PollHandshakes(NodeId), static _ => { });

    public RegistryRequest SetVisibility(bool isPublic) =>
        Signed("set_visibility", true, Challenge.SetVisibility(NodeId), json => json.WriteBoolean("public"u8, isPublic));

    public RegistryRequest SetHostname(string hostname) =>
        Signed("set_hostname", true, Challenge.SetHostname(NodeId), json => json.WriteString("hostname"u8, hostname));

    public RegistryRequest SetTags(IReadOnlyList<string> tags) => Signed("set_tags", true, Challenge.SetTags(NodeId), json =>
    {
        json.WriteStartArray("tags"u8);
        foreach (var tag in tags)
        {
            json.WriteStringValue(tag);
        }

        json.WriteEndArray();
    });

    public RegistryRequest SetTaskExec(bool enabled) =>
        Signed("set_task_exec", true, Challenge.SetTaskExec(NodeId), json => json.WriteBoolean("enabled"u8, enabled));

    public RegistryRequest Deregister() => Signed("deregister", true, Challenge.Deregister(NodeId), static _ => { });

    public RegistryRequest ReportTrust(uint peer) =>
        Signed("report_trust", true, Challenge.ReportTrust(NodeId, peer), json => json.WriteNumber("peer_id"u8, peer));

    public RegistryRequest RevokeTrust(uint peer) =>
        Signed("revoke_trust", false, Challenge.RevokeTrust(NodeId, peer), json => json.WriteNumber("peer_id"u8, peer));

    public RegistryRequest RespondHandshake(uint peer, bool accept) => Signed("respond_handshake", true, Challenge.Respond(NodeId, peer), json =>
    {
        json.WriteNumber("peer_id"u8, peer);
        json.WriteBoolean("accept"u8, accept);
    });

    public RegistryRequest RequestHandshake(uint peer, string justification) => Build("request_handshake", false, json =>
    {
        json.WriteNumber("from_node_id"u8, NodeId);
        json.WriteNumber("to_node_id"u8, peer);
        json.WriteString("justification"u8, justification);
    }, isSigned: true, Challenge.Handshake(NodeId, peer));

    /// <summary>The extension of 03 §6.5: strangers learn nothing from it.</summary>
    public RegistryRequest RequestHandshakeByName(string hostname, string justification) => Build("request_handshake", false, json =>
    {
        json.WriteNumber("from_node_id"u8, NodeId);
        json.WriteString("to_hostname"u8, hostname);
        json.WriteString("justification"u8, justification);
    }, isSigned: true, Challenge.HandshakeByName(NodeId, hostname));

    public RegistryRequest Resolve(uint target) => Build("resolve", true, json =>
    {
        json.WriteNumber("node_id"u8, target);
        json.WriteNumber("requester_id"u8, NodeId);
    }, isSigned: true, Challenge.Resolve(NodeId, target));

    public RegistryRequest ResolveHostname(string hostname) => Build("resolve_hostname", true, json =>
    {
        json.WriteString("hostname"u8, hostname);
        json.WriteNumber("requester_id"u8, NodeId);
    }, isSigned: true, Challenge.ResolveHostname(NodeId, hostname));

    /// <summary>The first request on a connection: a registry of ours names the session, others answer without it.</summary>
    public static RegistryRequest Hello() => Build("check_trust", true, json =>
    {
        json.WriteNumber("node_id"u8, 0);
        json.WriteNumber("peer_id"u8, 0);
        json.WriteBoolean(RequestProof.SessionWantedMember, true);
    }, isSigned: false);

    public static RegistryRequest BeaconList() => Build("beacon_list", true, static _ => { }, isSigned: false);

    public static RegistryRequest Lookup(uint node) => Build("lookup", true, json => json.WriteNumber("node_id"u8, node), isSigned: false);

    public RegistryRequest CheckTrust(uint peer) => Build("check_trust", true, json =>
    {
        json.WriteNumber("node_id"u8, NodeId);
        json.WriteNumber("peer_id"u8, peer);
    }, isSigned: false);

    private RegistryRequest Signed(string type, bool isRepeatable, string challenge, Action<Utf8JsonWriter> write) => Build(type, isRepeatable, json =>
    {
        json.WriteNumber("node_id"u8, NodeId);
        write(json);
    }, isSigned: true, challenge);

    private RegistryRequest Build(string type, bool isRepeatable, Action<Utf8JsonWriter> write, bool isSigned, string challenge)
    {
        var bare = Write(type, write, null);
        return new RegistryRequest(type, Frame(Write(type, write, Identity.SignText(challenge))), isRepeatable, isSigned) { Bare = bare };
    }

    private static RegistryRequest Build(string type, bool isRepeatable, Action<Utf8JsonWriter> write, bool isSigned)
    {
        var body = Write(type, write, null);
        return new RegistryRequest(type, Frame(body), isRepeatable, isSigned) { Bare = body };
    }

    private static byte[] Write(string type, Action<Utf8JsonWriter> write, string? signature)
    {
        var buffer = new ArrayBufferWriter<byte>(256);
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            json.WriteString("type"u8, type);
            write(json);
            if (signature is not null)
            {
                json.WriteString("signature"u8, signature);
            }

            json.WriteEndObject();
        }

        return buffer.WrittenSpan.ToArray();
    }

    private static byte[] Frame(byte[] body)
    {
        var frame = new byte[sizeof(uint) + body.Length];
        BinaryPrimitives.WriteUInt32BigEndian(frame, (uint)body.Length);
        body.CopyTo(frame, sizeof(uint));
        return frame;
    }
}
