using Pilot.Engine.Trust;
using Pilot.Protocol;

namespace Pilot.Engine.Tests.Simulation;

/// <summary>
/// A registry that grants everything, and a beacon without limits, for scenarios that are about the engine alone.
/// Registry calls travel over a perfect line with 20 ms each way.
/// </summary>
internal sealed class StandInRendezvous : ISimRegistry
{
    private static readonly TimeSpan OneWay = TimeSpan.FromMilliseconds(20);

    private readonly SimNetwork _network;
    private readonly Dictionary<uint, SimNode> _nodes = [];
    private readonly Dictionary<string, uint> _ids = [];
    private readonly Dictionary<uint, UdpEndpoint> _seen = [];

    public StandInRendezvous(SimNetwork network)
    {
        _network = network;
        Host = network.AddHost("beacon", port: 9001, profile: new LinkProfile { Delay = TimeSpan.FromMilliseconds(5) });
        Host.Received = OnDatagram;
    }

    public SimHost Host { get; }

    public UdpEndpoint Beacon => Host.Local;

    public bool IsDown { get; set; }

    /// <summary>The beacon relays, but brings nobody together.</summary>
    public bool RefusesPunches { get; set; }

    /// <summary>The registry tells that nodes run our software.</summary>
    public bool KnowsSoftware { get; set; }

    public void Restart()
    {
        _seen.Clear();
        _nodes.Clear();
    }

    public void Disconnect(SimNode node)
    {
    }

    public void Register(SimNode node, Action<uint?> done) => Call<uint?>(null, done, () =>
    {
        uint id = _ids.TryGetValue(node.Name, out uint known) ? known : _ids[node.Name] = (uint)_ids.Count + 1;
        _nodes[id] = node;
        return id;
    });

    public void Resolve(SimNode node, uint target, Action<ResolveAnswer> done) => Call(
        new ResolveAnswer(ResolveOutcome.Unavailable, null, []), done, () => _nodes.TryGetValue(target, out SimNode? found)
            ? new ResolveAnswer(ResolveOutcome.Found, found.Node?.Mapping ?? found.Host.Local, []) { IsOurs = KnowsSoftware }
            : new ResolveAnswer(ResolveOutcome.Refused, null, [], $"node {target}: node not found"));

    public void Lookup(SimNode node, uint target, Action<TrustLookup> done) => Call(
        TrustLookup.Unavailable, done, () => _nodes.TryGetValue(target, out SimNode? found)
            ? new TrustLookup(true, found.Identity.PublicKey, found.Networks, found.Hostname)
            : new TrustLookup(true, null, []));

    public void Send(SimNode node, TrustEffect effect, Action<bool, string?> done) => Call(false, answered => done(answered, null), () => true);

    public void Poll(SimNode node, Action<(IReadOnlyList<RelayedRequest> Requests, IReadOnlyList<RelayedResponse> Responses)?> done) =>
        Call<(IReadOnlyList<RelayedRequest>, IReadOnlyList<RelayedResponse>)?>(null, done, () => ([], []));

    public void Heartbeat(SimNode node, Action<bool?> done) => Call<bool?>(null, done, () => _nodes.ContainsKey(node.NodeId));

    private void Call<T>(T unavailable, Action<T> done, Func<T> answer) => _network.After(OneWay, () =>
    {
        T result = IsDown ? unavailable : answer();
        _network.After(OneWay, () => done(result));
    });

    private void OnDatagram(UdpEndpoint source, byte[] bytes)
    {
        if (BeaconDiscover.TryParse(bytes, out BeaconDiscover discover))
        {
            if (discover.NodeId != 0)
            {
                _seen[discover.NodeId] = source;
            }

            byte[] reply = new byte[32];
            Host.Send(source, reply.AsSpan(0, new BeaconDiscoverReply(source).Write(reply)));
        }
        else if (BeaconPunchRequest.TryParse(bytes, out BeaconPunchRequest punch) && !RefusesPunches && _seen.TryGetValue(punch.Target, out UdpEndpoint target))
        {
            SendPunch(source, target);
            SendPunch(target, source);
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
