using Pilot.Engine.Streams;
using Pilot.Protocol;

namespace Pilot.Engine.Tests.Streams;

/// <summary>What a simulated path does to packets.</summary>
internal sealed record Link
{
    public TimeSpan Latency { get; init; } = TimeSpan.FromMilliseconds(5);

    public double Loss { get; init; }

    public double Duplication { get; init; }

    /// <summary>Part of the packets that are delayed by up to <see cref="ReorderDelay"/> more.</summary>
    public double Reordering { get; init; }

    public TimeSpan ReorderDelay { get; init; } = TimeSpan.FromMilliseconds(8);

    /// <summary>Bytes per second of the bottleneck; 0 for no limit.</summary>
    public long Bandwidth { get; init; }

    /// <summary>Bytes that may wait at the bottleneck; more are dropped.</summary>
    public int Queue { get; init; } = 128 << 10;
}

/// <summary>A packet as it was put on the simulated wire.</summary>
internal readonly record struct WirePacket(Instant At, bool FromLeft, PacketHeader Header, byte[] Payload)
{
    public PacketFlags Flags => Header.Flags;
}

/// <summary>Two peers, a link, virtual time and a seed. Nothing here waits for real time.</summary>
internal sealed class ConnectionPair
{
    public static readonly PilotAddress LeftAddress = PilotAddress.OfNode(1);
    public static readonly PilotAddress RightAddress = PilotAddress.OfNode(2);
    public const ushort LeftPort = 50000;
    public const ushort RightPort = 1000;

    private readonly PriorityQueue<(bool ToLeft, byte[] Packet), (long At, long Order)> _flying = new();
    private readonly byte[] _buffer = new byte[70000];
    private readonly Random _random;
    private readonly long[] _bottleneckFree = new long[2];
    private long _order;

    public ConnectionPair(IStreamPeer left, IStreamPeer right, Link? link = null, int seed = 1)
    {
        Left = left;
        Right = right;
        Link = link ?? new Link();
        _random = new Random(seed);
    }

    public IStreamPeer Left { get; }

    public IStreamPeer Right { get; }

    public Link Link { get; set; }

    /// <summary>Starts at a time that is not zero, so that nothing takes zero for "never".</summary>
    public Instant Now { get; private set; } = new(1000 * TimeSpan.TicksPerSecond);

    public List<WirePacket> Wire { get; } = [];

    public bool IsRecording { get; set; } = true;

    /// <summary>Decides over single packets; true drops the packet.</summary>
    public Func<WirePacket, bool>? Drop { get; set; }

    public Connection LeftConnection => ((ConnectionHost)Left).Connection!;

    public Connection RightConnection => ((ConnectionHost)Right).Connection!;

    /// <summary>Two of ours, the left one dials.</summary>
    public static ConnectionPair Ours(ConnectionOptions? options = null, Link? link = null, int seed = 1, int segment = 1152, uint isn = 0x7FFF_F000)
    {
        options ??= ConnectionOptions.Default;
        ConnectionHost left = new(options, isn, segment);
        ConnectionHost right = new(options, isn + 5000, segment);
        ConnectionPair pair = new(left, right, link, seed);
        left.Dial(pair.Now, LeftAddress, LeftPort, RightAddress, RightPort);
        return pair;
    }

    /// <summary>Ours on the left, the reference double on the right.</summary>
    public static (ConnectionPair Pair, ReferencePeer Reference) WithReference(
        bool weDial = true, ConnectionOptions? options = null, Link? link = null, int seed = 1, int segment = 1152)
    {
        ConnectionHost left = new(options ?? ConnectionOptions.Default, 0x1234_5678, segment);
        ReferencePeer right = new(RightAddress, weDial ? RightPort : LeftPort);
        ConnectionPair pair = new(left, right, link, seed);
        if (weDial)
        {
            left.Dial(pair.Now, LeftAddress, LeftPort, RightAddress, RightPort);
        }
        else
        {
            right.Dial(pair.Now, LeftAddress, RightPort);
        }
        return (pair, right);
    }

    /// <summary>Sends all that wants to be sent, then moves to the next event. False if there is none before <paramref name="limit"/>.</summary>
    public bool Step(Instant limit)
    {
        Pump(Left, fromLeft: true);
        Pump(Right, fromLeft: false);
        Instant next = Instant.Min(Left.Deadline, Right.Deadline);
        if (_flying.TryPeek(out _, out (long At, long Order) first))
        {
            next = Instant.Min(next, new Instant(first.At));
        }
        if (next > limit)
        {
            Now = limit;
            return false;
        }
        Now = Instant.Max(Now, next);
        while (_flying.TryPeek(out (bool ToLeft, byte[] Packet) item, out first) && first.At <= Now.Ticks)
        {
            _flying.Dequeue();
            Assert.True(Packet.TryParseAuthenticated(item.Packet, out PacketHeader header, out ReadOnlySpan<byte> payload), "broken packet");
            (item.ToLeft ? Left : Right).Receive(Now, header, payload);
        }
        Due(Left);
        Due(Right);
        return true;
    }

    /// <summary>Runs for a span of virtual time.</summary>
    public void Run(TimeSpan span)
    {
        Instant end = Now + span;
        while (Step(end))
        {
        }
    }

    /// <summary>Runs until a condition holds; fails the test when it does not within the limit.</summary>
    public void RunUntil(Func<bool> condition, TimeSpan? limit = null, Action? eachStep = null)
    {
        Instant end = Now + (limit ?? TimeSpan.FromSeconds(120));
        while (!condition())
        {
            Assert.True(Step(end), "the condition was not reached in time");
            eachStep?.Invoke();
        }
    }

    /// <summary>Puts a packet on the wire toward one end, as if the other had sent it, and delivers it at once.</summary>
    public void Inject(bool toLeft, PacketHeader header, ReadOnlySpan<byte> payload)
    {
        (toLeft ? Left : Right).Receive(Now, header, payload);
        Pump(toLeft ? Left : Right, fromLeft: toLeft);
    }

    private void Due(IStreamPeer peer)
    {
        for (int i = 0; peer.Deadline <= Now; i++)
        {
            Assert.True(i < 100, "a deadline does not go away when it is handled");
            peer.HandleDeadline(Now);
        }
    }

    private void Pump(IStreamPeer peer, bool fromLeft)
    {
        for (int i = 0; peer.TryTransmit(Now, _buffer, out int length); i++)
        {
            Assert.True(i < 100_000, "transmits without end");
            byte[] packet = _buffer.AsSpan(0, length).ToArray();
            Assert.True(Packet.TryParseAuthenticated(packet, out PacketHeader header, out ReadOnlySpan<byte> payload), "broken packet");
            WirePacket wire = new(Now, fromLeft, header, IsRecording || Drop is not null ? payload.ToArray() : []);
            if (IsRecording)
            {
                Wire.Add(wire);
            }
            if (Drop?.Invoke(wire) == true)
            {
                continue;
            }
            Fly(packet, fromLeft);
            if (Link.Duplication > 0 && _random.NextDouble() < Link.Duplication)
            {
                Fly(packet, fromLeft);
            }
        }
    }

    private void Fly(byte[] packet, bool fromLeft)
    {
        if (Link.Loss > 0 && _random.NextDouble() < Link.Loss)
        {
            return;
        }
        long at = Now.Ticks;
        if (Link.Bandwidth > 0)
        {
            ref long free = ref _bottleneckFree[fromLeft ? 0 : 1];
            free = Math.Max(free, at);
            if ((free - at) * Link.Bandwidth / TimeSpan.TicksPerSecond > Link.Queue)
            {
                return;
            }
            free += packet.Length * TimeSpan.TicksPerSecond / Link.Bandwidth;
            at = free;
        }
        at += Link.Latency.Ticks;
        if (Link.Reordering > 0 && _random.NextDouble() < Link.Reordering)
        {
            at += (long)(_random.NextDouble() * Link.ReorderDelay.Ticks);
        }
        _flying.Enqueue((ToLeft: !fromLeft, packet), (at, _order++));
    }
}
