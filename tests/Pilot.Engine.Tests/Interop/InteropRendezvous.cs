using Pilot.Engine.Tests.Simulation;
using Pilot.Protocol;

namespace Pilot.Engine.Tests.Interop;

/// <summary>Registry and beacon as the reference's: pairs without direction, inboxes emptied by a poll, relay for everybody (03, 04 §4).</summary>
internal sealed class InteropRendezvous : IReferenceRegistry
{
    private readonly Dictionary<uint, Entry> _nodes = [];
    private readonly Dictionary<uint, UdpEndpoint> _seen = [];
    private readonly HashSet<(uint, uint)> _pairs = [];

    private sealed class Entry(byte[] key, UdpEndpoint endpoint, bool isPublic)
    {
        public readonly byte[] Key = key;
        public readonly bool IsPublic = isPublic;
        public readonly List<(uint From, string Justification)> Requests = [];
        public readonly List<(uint From, bool Accept)> Responses = [];
        public UdpEndpoint Endpoint = endpoint;
    }

    public InteropRendezvous(SimNetwork network)
    {
        Host = network.AddHost("beacon", port: 9001, profile: InteropWorld.Line with { Delay = TimeSpan.FromMilliseconds(5) });
        Host.Received = OnDatagram;
    }

    public SimHost Host { get; }

    public UdpEndpoint Beacon => Host.Local;

    public bool IsDown { get; set; }

    public void Register(uint nodeId, Identity identity, UdpEndpoint endpoint, bool isPublic)
    {
        if (_nodes.TryGetValue(nodeId, out Entry? known))
        {
            known.Endpoint = endpoint;
        }
        else
        {
            _nodes[nodeId] = new Entry(identity.PublicKey, endpoint, isPublic);
        }
    }

    public bool HasPair(uint a, uint b) => _pairs.Contains(Pair(a, b));

    public void AddPair(uint a, uint b) => _pairs.Add(Pair(a, b));

    public byte[]? Lookup(uint nodeId) => !IsDown && _nodes.TryGetValue(nodeId, out Entry? entry) ? entry.Key : null;

    public UdpEndpoint? Resolve(uint requester, uint target) =>
        !IsDown && _nodes.TryGetValue(target, out Entry? entry) && (entry.IsPublic || HasPair(requester, target)) ? entry.Endpoint : null;

    public bool CheckTrust(uint nodeId, uint peer) => !IsDown && HasPair(nodeId, peer);

    public bool RequestHandshake(uint from, uint to, string justification)
    {
        if (IsDown || !_nodes.TryGetValue(to, out Entry? entry) || entry.Requests.Exists(r => r.From == from))
        {
            return false;
        }

        entry.Requests.Add((from, justification));
        return true;
    }

    public bool RespondHandshake(uint responder, uint requester, bool accept)
    {
        if (IsDown || !_nodes.TryGetValue(requester, out Entry? entry))
        {
            return false;
        }

        if (accept)
        {
            AddPair(responder, requester);
        }

        entry.Responses.Add((responder, accept));
        return true;
    }

    public bool ReportTrust(uint self, uint peer)
    {
        if (!IsDown)
        {
            AddPair(self, peer);
        }

        return !IsDown;
    }

    public bool RevokeTrust(uint self, uint peer) => !IsDown && _pairs.Remove(Pair(self, peer));

    public void Heartbeat(uint nodeId)
    {
        // This registry removes nobody.
    }

    public (IReadOnlyList<(uint From, string Justification)> Requests, IReadOnlyList<(uint From, bool Accept)> Responses) Poll(uint nodeId)
    {
        if (IsDown || !_nodes.TryGetValue(nodeId, out Entry? entry))
        {
            return ([], []);
        }

        var answer = (entry.Requests.ToArray(), entry.Responses.ToArray());
        entry.Requests.Clear();
        entry.Responses.Clear();
        return answer;
    }

    private static (uint, uint) Pair(uint a, uint b) => (Math.Min(a, b), Math.Max(a, b));

    private void OnDatagram(UdpEndpoint source, byte[] bytes)
    {
        if (BeaconDiscover.TryParse(bytes, out BeaconDiscover discover))
        {
            _seen[discover.NodeId] = source;
            byte[] reply = new byte[32];
            Host.Send(source, reply.AsSpan(0, new BeaconDiscoverReply(source).Write(reply)));
        }
        else if (BeaconPunchRequest.TryParse(bytes, out BeaconPunchRequest punch))
        {
            _seen[punch.Requester] = source;
            if (_seen.TryGetValue(punch.Target, out UdpEndpoint target))
            {
                SendPunch(source, target);
                SendPunch(target, source);
            }
        }
        else if (BeaconRelay.TryParse(bytes, out BeaconRelay relay) && _seen.TryGetValue(relay.Destination, out UdpEndpoint destination))
        {
            byte[] deliver = new byte[BeaconRelayDeliver.HeaderSize + relay.Frame.Length];
            BeaconRelayDeliver.WriteHeader(deliver, relay.Sender);
            relay.Frame.CopyTo(deliver.AsSpan(BeaconRelayDeliver.HeaderSize));
            Host.Send(destination, deliver);
        }
    }

    private void SendPunch(UdpEndpoint to, UdpEndpoint about)
    {
        byte[] command = new byte[32];
        Host.Send(to, command.AsSpan(0, new BeaconPunchCommand(about).Write(command)));
    }
}
