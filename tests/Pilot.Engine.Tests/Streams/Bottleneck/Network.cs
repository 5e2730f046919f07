namespace Pilot.Engine.Tests.Streams.Bottleneck;

/// <summary>
/// Flows that share one bottleneck, in virtual time. Hosts wake with a limited precision, as real ones do: a deadline is served at
/// the next of the host's ticks, which are <see cref="WakePrecision"/> apart; an arriving packet is served at once.
/// </summary>
internal sealed class Network
{
    /// <summary>Where virtual time starts: not zero, so that nothing takes zero for "never".</summary>
    public static readonly Instant Start = new(1000 * TimeSpan.TicksPerSecond);

    private readonly PriorityQueue<Flying, (long At, long Order)> _flying = new();
    private readonly Stack<byte[]> _buffers = new();
    private readonly List<Host> _hosts = [];
    private readonly Random _phases;
    private long _order;

    public Network(LinkModel model, int seed)
    {
        _phases = new Random(seed + 17);
        Forward = new LinkDirection(model, new Random(seed));
        Backward = new LinkDirection(model, new Random(seed ^ 0x5A5A));
    }

    public LinkDirection Forward { get; }

    public LinkDirection Backward { get; }

    public TimeSpan WakePrecision { get; init; } = TimeSpan.FromMicroseconds(100);

    /// <summary>Packets that arrive within one such step arrive together at its end, as from a network card that coalesces its interrupts; zero for none.</summary>
    public TimeSpan LinkStep { get; init; }

    /// <summary>For so long a host does nothing, again and again: its processor belongs to somebody else.</summary>
    public TimeSpan StallLength { get; init; }

    /// <summary>Mean time between two stalls of a host.</summary>
    public TimeSpan StallEvery { get; init; }

    public Instant Now { get; private set; } = Start;

    public TimeSpan Elapsed => Now - Start;

    /// <summary>Changes both directions; what is in the queues stays.</summary>
    public void SetModel(LinkModel model) => Forward.Model = Backward.Model = model;

    public void Add(IFlow flow)
    {
        Host sender = new(flow.Sender, Forward, _phases.NextInt64(TimeSpan.TicksPerMillisecond));
        Host receiver = new(flow.Receiver, Backward, _phases.NextInt64(TimeSpan.TicksPerMillisecond));
        sender.Peer = receiver;
        receiver.Peer = sender;
        _hosts.Add(sender);
        _hosts.Add(receiver);
        Pump(sender);
        Pump(receiver);
    }

    /// <summary>Runs for a span of virtual time.</summary>
    public void Run(TimeSpan span)
    {
        Instant end = Now + span;
        while (Step(end))
        {
        }
        Now = end;
    }

    private bool Step(Instant end)
    {
        Host? first = null;
        Instant next = Instant.Never;
        foreach (Host host in _hosts)
        {
            if (host.WakeAt < next)
            {
                next = host.WakeAt;
                first = host;
            }
        }
        if (_flying.TryPeek(out _, out (long At, long Order) arrival) && arrival.At <= next.Ticks)
        {
            if (arrival.At > end.Ticks)
            {
                return false;
            }
            Flying packet = _flying.Dequeue();
            Instant served = AfterStall(packet.To, new Instant(arrival.At));
            if (served.Ticks > arrival.At)
            {
                _flying.Enqueue(packet, (served.Ticks, arrival.Order));
                return true;
            }
            Now = Instant.Max(Now, served);
            packet.To.End.OnPacket(Now, packet.Buffer.AsSpan(0, packet.Length));
            _buffers.Push(packet.Buffer);
            bool isLastOfBatch = !_flying.TryPeek(out Flying following, out (long At, long Order) then) || then.At > Now.Ticks || following.To != packet.To;
            if (isLastOfBatch)
            {
                Pump(packet.To);
            }
            return true;
        }
        if (first is null || next > end)
        {
            return false;
        }
        Now = Instant.Max(Now, next);
        for (int i = 0; first.End.Deadline <= Now; i++)
        {
            Assert.True(i < 100, "a deadline does not go away when it is handled");
            first.End.OnDeadline(Now);
        }
        Pump(first);
        return true;
    }

    private void Pump(Host host)
    {
        byte[]? buffer = null;
        for (int i = 0; ; i++)
        {
            Assert.True(i < 100_000, "transmits without end");
            buffer ??= _buffers.TryPop(out byte[]? free) ? free : new byte[9200];
            int length = host.End.TryTransmit(Now, buffer, out int wireSize);
            if (length == 0)
            {
                break;
            }
            if (host.Link.TryEnter(Now.Ticks, wireSize, out long at))
            {
                if (LinkStep > TimeSpan.Zero)
                {
                    at = (at + LinkStep.Ticks - 1) / LinkStep.Ticks * LinkStep.Ticks;
                }
                _flying.Enqueue(new Flying(host.Peer!, buffer, length), (at, _order++));
                buffer = null;
            }
        }
        _buffers.Push(buffer!);
        host.WakeAt = RoundUp(host);
    }

    private Instant RoundUp(Host host)
    {
        Instant deadline = host.End.Deadline;
        if (deadline == Instant.Never)
        {
            return deadline;
        }
        if (WakePrecision > TimeSpan.Zero)
        {
            long step = WakePrecision.Ticks;
            long phase = host.Phase % step;
            deadline = new Instant(((deadline.Ticks - phase + step - 1) / step * step) + phase);
        }
        return AfterStall(host, Instant.Max(Now, deadline));
    }

    private Instant AfterStall(Host host, Instant at)
    {
        if (StallLength == TimeSpan.Zero)
        {
            return at;
        }
        while (host.StallEnd <= at)
        {
            host.StallBegin = host.StallEnd + (-Math.Log(1 - _phases.NextDouble()) * StallEvery);
            host.StallEnd = host.StallBegin + StallLength;
        }
        return at >= host.StallBegin ? host.StallEnd : at;
    }

    private sealed class Host(IFlowEnd end, LinkDirection link, long phase)
    {
        /// <summary>Hosts do not wake at the same moments.</summary>
        public long Phase { get; } = phase;

        public IFlowEnd End { get; } = end;

        public LinkDirection Link { get; } = link;

        public Host? Peer { get; set; }

        public Instant WakeAt { get; set; } = Instant.Never;

        public Instant StallBegin { get; set; } = Start;

        public Instant StallEnd { get; set; } = Start;
    }

    private readonly record struct Flying(Host To, byte[] Buffer, int Length);
}
