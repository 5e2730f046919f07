using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using Pilot.Protocol;
using Pilot.Protocol.Registry;
using Pilot.Rendezvous.Registry;

namespace Pilot.Rendezvous.Tests.Registry;

/// <summary>A registry in virtual time with named clients: what the tests talk to.</summary>
internal sealed class RegistrySession
{
    public const string AdminToken = "test-admin-secret";

    private readonly Dictionary<string, RegistryConnection> _connections = [];
    private ushort _nextPort = 40000;

    public RegistrySession(RegistryPolicy policy = RegistryPolicy.Strict, RegistryLimits? limits = null)
    {
        Now = new DateTimeOffset(2026, 11, 21, 0, 0, 0, TimeSpan.Zero);
        Options = new RegistryOptions { Policy = policy, AdminToken = AdminToken, Limits = limits ?? new RegistryLimits() };
        Machine = new RegistryMachine(Options, Now);
        Machine.Core.Observer = Events.Add;
    }

    public DateTimeOffset Now { get; private set; }

    public RegistryOptions Options { get; }

    public RegistryMachine Machine { get; }

    public List<RegistryEvent> Events { get; } = [];

    public RegistryState State => Machine.Core.State;

    /// <summary>The open connection of a source address, opened on first use.</summary>
    public RegistryConnection Connection(string address = "192.0.2.1", ushort port = 0)
    {
        if (!_connections.TryGetValue(address, out RegistryConnection? connection))
        {
            Assert.True(UdpEndpoint.TryParseIp(address, port != 0 ? port : _nextPort++, out UdpEndpoint source));
            _connections[address] = connection = new RegistryConnection(source);
        }

        return connection;
    }

    public void Close(string address)
    {
        Machine.Disconnect(Now, _connections[address]);
        _connections.Remove(address);
    }

    public void Advance(TimeSpan time)
    {
        Now += time;
        Machine.Tick(Now);
    }

    public string? SendText(RegistryConnection connection, string request)
    {
        if (!RegistryRequest.TryParse(Encoding.UTF8.GetBytes(request), out RegistryRequest? parsed))
        {
            return null;
        }

        // The steps of a server with a store: what it decides at once must change nothing durable, for nobody would store it.
        Admission admission = Machine.Core.Admit(Now, connection, parsed!);
        SignatureVerdict verdict = admission.Signature.Verify();
        bool mayChange = admission.Refusal is null && Machine.Core.MayChange(connection, parsed!, verdict);
        int before = Events.Count;
        byte[] answer = RegistryMachine.Encode(Machine.Core.Execute(Now, connection, parsed!, admission, verdict));
        Assert.True(mayChange || Events.Count == before, $"{parsed!.Type} changed the state outside the store");
        Assert.True(answer.Length <= 65536);
        return Encoding.UTF8.GetString(answer);
    }

    public JsonObject Send(string address, JsonObject request) => JsonNode.Parse(SendText(Connection(address), request.ToJsonString())!)!.AsObject();

    public TestNode Register(string address, string hostname = "", string owner = "", Identity? identity = null, ushort port = 4000)
    {
        var node = new TestNode(this, identity ?? NewIdentity(), address);
        node.Register(hostname, owner, port);
        return node;
    }

    public static Identity NewIdentity(string name) => new(SHA256.HashData(Encoding.ASCII.GetBytes(name)));

    private int _identities;

    public Identity NewIdentity() => NewIdentity($"node {_identities++}");
}

/// <summary>One daemon of a session.</summary>
internal sealed class TestNode(RegistrySession session, Identity identity, string address)
{
    public uint Id { get; private set; }

    public Identity Identity { get; } = identity;

    public string Address { get; set; } = address;

    public JsonObject Register(string hostname = "", string owner = "", ushort port = 4000, params string[] lan)
    {
        var request = new JsonObject { ["type"] = "register", ["listen_addr"] = $"10.0.0.1:{port}", ["public_key"] = Identity.PublicKeyText };
        if (hostname.Length > 0)
        {
            request["hostname"] = hostname;
        }

        if (owner.Length > 0)
        {
            request["owner"] = owner;
        }

        if (lan.Length > 0)
        {
            request["lan_addrs"] = new JsonArray([.. lan.Select(a => (JsonNode)a)]);
        }

        JsonObject answer = Send(request);
        if (answer["node_id"] is { } id)
        {
            Id = id.GetValue<uint>();
        }

        return answer;
    }

    public JsonObject Send(JsonObject request) => session.Send(Address, request);

    public JsonObject Signed(string challenge, JsonObject request)
    {
        request["signature"] = Identity.SignText(challenge);
        return Send(request);
    }

    public JsonObject Heartbeat() => Signed($"heartbeat:{Id}", new JsonObject { ["type"] = "heartbeat", ["node_id"] = Id });

    public JsonObject Poll() => Signed($"poll_handshakes:{Id}", new JsonObject { ["type"] = "poll_handshakes", ["node_id"] = Id });

    public JsonObject Resolve(uint target) =>
        Signed($"resolve:{Id}:{target}", new JsonObject { ["type"] = "resolve", ["node_id"] = target, ["requester_id"] = Id });

    public JsonObject Find(string hostname, bool claim = true)
    {
        var request = new JsonObject { ["type"] = "resolve_hostname", ["hostname"] = hostname };
        if (claim)
        {
            request["requester_id"] = Id;
        }

        return Send(request);
    }

    public JsonObject Lookup(uint target) => Send(new JsonObject { ["type"] = "lookup", ["node_id"] = target });

    public JsonObject Report(uint peer) =>
        Signed($"report_trust:{Id}:{peer}", new JsonObject { ["type"] = "report_trust", ["node_id"] = Id, ["peer_id"] = peer });

    public JsonObject Revoke(uint peer) =>
        Signed($"revoke_trust:{Id}:{peer}", new JsonObject { ["type"] = "revoke_trust", ["node_id"] = Id, ["peer_id"] = peer });

    public JsonObject Ask(uint peer, string justification = "please") => Signed(
        $"handshake:{Id}:{peer}",
        new JsonObject { ["type"] = "request_handshake", ["from_node_id"] = Id, ["to_node_id"] = peer, ["justification"] = justification });

    public JsonObject AskByName(string hostname, string justification = "please") => Signed(
        $"handshake_name:{Id}:{hostname}",
        new JsonObject { ["type"] = "request_handshake", ["from_node_id"] = Id, ["to_hostname"] = hostname, ["justification"] = justification });

    public JsonObject Respond(uint peer, bool accept) => Signed(
        $"respond:{Id}:{peer}",
        new JsonObject { ["type"] = "respond_handshake", ["node_id"] = Id, ["peer_id"] = peer, ["accept"] = accept });

    public JsonObject SetVisibility(bool isPublic) =>
        Signed($"set_visibility:{Id}", new JsonObject { ["type"] = "set_visibility", ["node_id"] = Id, ["public"] = isPublic });

    public JsonObject SetHostname(string hostname) =>
        Signed($"set_hostname:{Id}", new JsonObject { ["type"] = "set_hostname", ["node_id"] = Id, ["hostname"] = hostname });

    public JsonObject Deregister() => Signed($"deregister:{Id}", new JsonObject { ["type"] = "deregister", ["node_id"] = Id });

    public JsonObject CheckTrust(uint node, uint peer) => Send(new JsonObject { ["type"] = "check_trust", ["node_id"] = node, ["peer_id"] = peer });
}

internal static class AnswerExtensions
{
    public static bool IsOk(this JsonObject answer) => !answer.ContainsKey("error");

    public static string Error(this JsonObject answer) => answer["error"]?.GetValue<string>() ?? "";

    public static string Code(this JsonObject answer) => answer["code"]?.GetValue<string>() ?? "";
}
