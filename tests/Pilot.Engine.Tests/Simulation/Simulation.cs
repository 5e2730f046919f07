using Pilot.Engine.Streams;
using Pilot.Engine.Trust;
using Pilot.Protocol;

namespace Pilot.Engine.Tests.Simulation;

/// <summary>
/// One run: a network, a rendezvous, nodes, and the invariants that hold in every run. A failure names the seed and shows
/// the last packets.
/// </summary>
internal sealed class Simulation
{
    private readonly Dictionary<(uint Dialer, ushort Port, uint Listener), SimTransfer> _transfers = [];
    private readonly List<SimNode> _nodes = [];
    private readonly NonceWatch _nonces = new();
    private uint _nextSalt;
    private (Instant At, SimNode? Node, int Count) _wakes;

    private Simulation(ulong seed, bool isReal)
    {
        Network = new SimNetwork(seed);
        Rendezvous = isReal ? new SimRendezvous(Network) : new StandInRendezvous(Network);
    }

    public SimNetwork Network { get; }

    public ISimRegistry Rendezvous { get; }

    /// <summary>Our own rendezvous, in a run with it.</summary>
    public SimRendezvous Real => (SimRendezvous)Rendezvous;

    /// <summary>The stand-in, in a run without our own.</summary>
    public StandInRendezvous StandIn => (StandInRendezvous)Rendezvous;

    public UdpEndpoint Beacon => Rendezvous.Beacon;

    public IReadOnlyList<SimNode> Nodes => _nodes;

    /// <summary>Every X25519 key that a node itself put on the wire, hexadecimal.</summary>
    public HashSet<string> OfferedKeys { get; } = [];

    /// <summary>Runs a scenario for each seed with the stand-in rendezvous; the exception of the first failing one tells which.</summary>
    public static void Run(ulong firstSeed, int seeds, Action<Simulation> scenario) => Run(firstSeed, seeds, isReal: false, scenario);

    /// <summary>The same with our own rendezvous' machines.</summary>
    public static void RunReal(ulong firstSeed, int seeds, Action<Simulation> scenario) => Run(firstSeed, seeds, isReal: true, scenario);

    private static void Run(ulong firstSeed, int seeds, bool isReal, Action<Simulation> scenario)
    {
        // A failing seed is replayed alone by PILOT_SIM_SEED; a night's run takes PILOT_SIM_FACTOR times as many.
        if (ulong.TryParse(Environment.GetEnvironmentVariable("PILOT_SIM_SEED"), out ulong only))
        {
            (firstSeed, seeds) = (only, 1);
        }
        else if (int.TryParse(Environment.GetEnvironmentVariable("PILOT_SIM_FACTOR"), out int factor))
        {
            (firstSeed, seeds) = (firstSeed * 1000, seeds * factor);
        }

        for (ulong seed = firstSeed; seed < firstSeed + (ulong)seeds; seed++)
        {
            var simulation = new Simulation(seed, isReal);
            try
            {
                scenario(simulation);
                simulation.Finish();
            }
            catch (Exception exception)
            {
                throw new InvalidOperationException($"seed {seed} failed at {simulation.Network.Now}: {exception.Message}\n{simulation.Network.Log}", exception);
            }
        }
    }

    public SimNode AddNode(string name, LinkProfile? profile = null, SimNat? nat = null, bool isPublic = false, bool start = true)
    {
        SimHost host = Network.AddHost(name, nat: nat, profile: profile);
        var node = new SimNode(this, name, host, Rendezvous) { IsPublic = isPublic, Hostname = name };
        _nodes.Add(node);
        _nonces.Watch(Network, host);
        Network.Sent += (sender, datagram) =>
        {
            ReadOnlySpan<byte> frame = BeaconRelay.TryParse(datagram.Bytes, out _) ? datagram.Bytes.AsSpan(BeaconRelay.HeaderSize) : datagram.Bytes;
            if (sender == host && AuthenticatedKeyExchange.TryParse(frame, out AuthenticatedKeyExchange exchange))
            {
                OfferedKeys.Add(Convert.ToHexStringLower(exchange.X25519PublicKey));
            }
        };
        if (start)
        {
            node.Start();
        }

        return node;
    }

    /// <summary>Waits until all nodes are registered and the beacon answers them.</summary>
    public void Settle() => Expect(() => _nodes.All(node => node.IsRegistered && node.Node!.IsBeaconAnswering), TimeSpan.FromSeconds(60), "registration");

    /// <summary>Mutual trust as a completed handshake leaves it, without running one.</summary>
    public void Befriend(SimNode a, SimNode b)
    {
        foreach ((SimNode self, SimNode peer) in new[] { (a, b), (b, a) })
        {
            self.Command((book, clock) => book.Request(clock, peer.NodeId, ""));
            self.Book.ReceivePoll(self.Clock, [], [new RelayedResponse(peer.NodeId, true)]);
            self.Use(_ => self.Book.CompleteLookup(self.Clock, peer.NodeId, new TrustLookup(true, peer.Identity.PublicKey, [], peer.Hostname)));
            Assert.True(self.Book.Snapshot.IsTrusted(peer.NodeId, peer.Identity.PublicKeySpan));
        }
    }

    /// <summary>Both users ask for each other; the registry brings the requests together.</summary>
    public void Handshake(SimNode a, SimNode b)
    {
        a.Command((book, clock) => book.Request(clock, b.NodeId, "hello"));
        b.Command((book, clock) => book.Request(clock, a.NodeId, "hello"));
        ExpectTrust(a, b, TimeSpan.FromSeconds(10));
    }

    /// <summary>Both trust each other, with pinned keys, and neither list shows anything pending about the other.</summary>
    public void ExpectTrust(SimNode a, SimNode b, TimeSpan limit)
    {
        Expect(() => Trusts(a, b) && Trusts(b, a), limit, $"trust between {a.Name} and {b.Name}");
        Assert.DoesNotContain(a.Book.Pending, request => request.NodeId == b.NodeId);
        Assert.DoesNotContain(b.Book.Pending, request => request.NodeId == a.NodeId);

        static bool Trusts(SimNode self, SimNode peer) => self.Book.Snapshot.PinnedKey(peer.NodeId) is { } key && key.AsSpan().SequenceEqual(peer.Identity.PublicKeySpan);
    }

    public void Expect(Func<bool> condition, TimeSpan limit, string what) => Assert.True(Network.RunUntil(condition, limit), $"{what} not within {limit}");

    /// <summary>Runs until the transfer is complete; its failure or delay is a failure of the run.</summary>
    public void Complete(TimeSpan limit, params SimTransfer[] transfers)
    {
        Network.RunUntil(() => transfers.All(transfer => transfer.IsOver), limit);
        foreach (SimTransfer transfer in transfers)
        {
            Assert.True(transfer.IsComplete, $"not complete after {limit}: {transfer}");
        }
    }

    public SimTransfer NewTransfer(long size, bool isEcho) => new(++_nextSalt, size, isEcho);

    public void Expect(uint dialer, ushort port, uint listener, SimTransfer transfer) => _transfers[(dialer, port, listener)] = transfer;

    public SimTransfer Find(uint dialer, ushort port, uint listener) =>
        _transfers.TryGetValue((dialer, port, listener), out SimTransfer? transfer) ? transfer : throw new InvalidOperationException($"a connection that nobody dialled: {dialer}:{port} to {listener}");

    /// <summary>Every queue stays under its cap.</summary>
    public void CheckBounds(SimNode node)
    {
        foreach (Connection connection in node.Node!.Connections)
        {
            ConnectionStatus status = connection.GetStatus();
            Assert.True(connection.UnacknowledgedBytes <= SendLimit, $"{node.Name}: {connection.UnacknowledgedBytes} bytes unacknowledged");
            Assert.True(status.ReceiveBuffered <= ReceiveLimit, $"{node.Name}: {status.ReceiveBuffered} bytes unread");
        }

        string? violation = node.Node.FindCapViolation();
        Assert.True(violation is null, $"{node.Name}: {violation}");
    }

    public void CountImmediateWake(SimNode node)
    {
        _wakes = _wakes.At == Network.Now && _wakes.Node == node ? (Network.Now, node, _wakes.Count + 1) : (Network.Now, node, 1);
        Assert.True(_wakes.Count < 1000, $"{node.Name} wants to be woken for ever at {Network.Now}");
    }

    private static readonly int SendLimit = new ConnectionOptions().SendBufferLimit;
    private static readonly int ReceiveLimit = new ConnectionOptions().ReceiveBufferLimit;

    /// <summary>After every scenario: let it come to rest, then nothing may be left.</summary>
    private void Finish()
    {
        foreach (SimNode node in _nodes.Where(node => node.Node is not null))
        {
            foreach (Connection connection in node.Node!.Connections.ToArray())
            {
                connection.Close(Network.Now);
                node.Use(engine => engine.Touch(Network.Now, connection));
            }
        }

        Network.Heal();
        Network.RunUntil(() => _nodes.All(node => node.Node is null or { PortLeases: 0, ConnectionCount: 0 }), TimeSpan.FromMinutes(5));
        foreach (SimNode node in _nodes.Where(node => node.Node is not null))
        {
            Assert.True(
                node.Node!.PortLeases == 0 && node.Node.ConnectionCount == 0,
                $"{node.Name}: {node.Node.PortLeases} port leases, connections {string.Join(", ", node.Node.Connections.Select(c => $"{c.LocalPort}-{c.RemotePort} {c.State}"))}");
        }
    }
}
