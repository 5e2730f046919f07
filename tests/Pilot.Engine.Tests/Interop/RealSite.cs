using System.Text.Json;
using Pilot.Engine.Tests.Simulation;
using Pilot.Protocol;
using Pilot.Rendezvous.Registry;

namespace Pilot.Engine.Tests.Interop;

/// <summary>A reference node at our own rendezvous: the requests are the JSON of spec 03, written here by hand, and each blocks the node.</summary>
internal sealed class RealSite(Simulation.Simulation simulation) : IReferenceSite
{
    private ushort _nextTcpPort = 40_000;

    public SimNetwork Network => simulation.Network;

    public UdpEndpoint Beacon => simulation.Rendezvous.Beacon;

    /// <summary>Adds a reference and waits until its process runs.</summary>
    public ReferenceHost Add(ReferenceSwitches switches, LinkProfile profile)
    {
        var host = new ReferenceHost(this, Network.AddHost("reference", profile: profile), switches);
        host.Start();
        simulation.Expect(() => host.Node is not null, TimeSpan.FromSeconds(6), "start of the reference");
        return host;
    }

    public void Send(SimHost host, UdpEndpoint to, byte[] datagram) => host.Send(to, datagram);

    public (uint NodeId, IReferenceRegistry Registry) Register(ReferenceHost host, UdpEndpoint endpoint)
    {
        var client = new Client(this, host, new RegistryConnection(endpoint with { Port = _nextTcpPort++ }));
        JsonElement answer = client.Ask($$"""{"type":"register","listen_addr":"{{endpoint}}","public_key":"{{host.Identity.PublicKeyText}}","lan_addrs":[]}""")
            ?? throw new InvalidOperationException("register refused");
        uint id = answer.GetProperty("node_id").GetUInt32();
        if (host.IsPublic)
        {
            Assert.NotNull(client.Ask($$"""{"type":"set_visibility","node_id":{{id}},"public":true,"signature":"{{host.Identity.SignText($"set_visibility:{id}")}}"}"""));
        }

        return (id, client);
    }

    private sealed class Client(RealSite site, ReferenceHost host, RegistryConnection connection) : IReferenceRegistry
    {
        /// <summary>The answer; null for an error or without a connection.</summary>
        public JsonElement? Ask(string request)
        {
            byte[]? answer = site.Exchange(connection, System.Text.Encoding.UTF8.GetBytes(request));
            JsonElement? root = answer is null ? null : JsonDocument.Parse(answer).RootElement;
            return root?.GetProperty("type").GetString() == "error" ? null : root;
        }

        public byte[]? Lookup(uint nodeId) =>
            Ask($$"""{"type":"lookup","node_id":{{nodeId}}}""")?.GetProperty("public_key").GetBytesFromBase64();

        public UdpEndpoint? Resolve(uint requester, uint target) =>
            Ask($$"""{"type":"resolve","node_id":{{target}},"requester_id":{{requester}},"signature":"{{Sign($"resolve:{requester}:{target}")}}"}""") is { } answer
            && UdpEndpoint.TryParse(answer.GetProperty("real_addr").GetString(), out UdpEndpoint endpoint) ? endpoint : null;

        public bool CheckTrust(uint nodeId, uint peer) =>
            Ask($$"""{"type":"check_trust","node_id":{{nodeId}},"peer_id":{{peer}}}""")?.GetProperty("trusted").GetBoolean() == true;

        public bool RequestHandshake(uint from, uint to, string justification) =>
            Ask($$"""{"type":"request_handshake","from_node_id":{{from}},"to_node_id":{{to}},"justification":{{JsonSerializer.Serialize(justification)}},"signature":"{{Sign($"handshake:{from}:{to}")}}"}""") is not null;

        public bool RespondHandshake(uint responder, uint requester, bool accept) =>
            Ask($$"""{"type":"respond_handshake","node_id":{{responder}},"peer_id":{{requester}},"accept":{{(accept ? "true" : "false")}},"signature":"{{Sign($"respond:{responder}:{requester}")}}"}""") is not null;

        public bool ReportTrust(uint self, uint peer) =>
            Ask($$"""{"type":"report_trust","node_id":{{self}},"peer_id":{{peer}},"signature":"{{Sign($"report_trust:{self}:{peer}")}}"}""") is not null;

        public bool RevokeTrust(uint self, uint peer) =>
            Ask($$"""{"type":"revoke_trust","node_id":{{self}},"peer_id":{{peer}},"signature":"{{Sign($"revoke_trust:{self}:{peer}")}}"}""") is not null;

        public void Heartbeat(uint nodeId) => Ask($$"""{"type":"heartbeat","node_id":{{nodeId}},"signature":"{{Sign($"heartbeat:{nodeId}")}}"}""");

        public (IReadOnlyList<(uint From, string Justification)> Requests, IReadOnlyList<(uint From, bool Accept)> Responses) Poll(uint nodeId) =>
            Ask($$"""{"type":"poll_handshakes","node_id":{{nodeId}},"signature":"{{Sign($"poll_handshakes:{nodeId}")}}"}""") is { } answer
                ? ([.. answer.GetProperty("requests").EnumerateArray().Select(r => (r.GetProperty("from_node_id").GetUInt32(), r.GetProperty("justification").GetString()!))],
                   [.. answer.GetProperty("responses").EnumerateArray().Select(r => (r.GetProperty("from_node_id").GetUInt32(), r.GetProperty("accept").GetBoolean()))])
                : ([], []);

        private string Sign(string challenge) => host.Identity.SignText(challenge);
    }

    private byte[]? Exchange(RegistryConnection connection, byte[] request) => simulation.Real.Exchange(connection, request);
}
