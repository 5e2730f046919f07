using Pilot.Protocol;

namespace Pilot.Engine.Tests.Streams;

/// <summary>
/// A small double of the reference's stream engine, written from spec chapter 02 alone, defects included: segment window with
/// 0 meaning "no limit", 128 out-of-order segments, no trimming, delayed ACK of 40 ms, SACK payload that is never counted as
/// duplicate, recovery one segment at a time, FIN that ends both directions and is sent once, FIN|ACK answered with FIN|ACK,
/// a router that stops when a receive queue of 512 segments is full.
/// </summary>
internal sealed partial class ReferencePeer(PilotAddress address, ushort port) : IStreamPeer
{
    private const int SegmentSize = 4096;
    private const int QueueSlots = 512;
    private const int ReorderSlots = 128;
    private const int MaxTransmissions = 8;
    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan AckDelay = TimeSpan.FromMilliseconds(40);
    private static readonly TimeSpan Sweep = TimeSpan.FromSeconds(15);
    private static readonly TimeSpan NagleWait = TimeSpan.FromMilliseconds(40);
    private static readonly double[] DefaultSynSeconds = [0, 1, 3, 7, 15, 23, 31];

    private sealed class Outstanding(uint sequence, byte[] data, Instant sentAt)
    {
        public readonly uint Sequence = sequence;
        public readonly byte[] Data = data;
        public Instant SentAt = sentAt;
        public int Transmissions = 1;
        public bool Sacked;

        public uint End => Sequence + (uint)Data.Length;
    }

    private readonly Queue<byte[]> _out = new();
    private readonly Queue<(PacketHeader Header, byte[] Payload)> _inbox = new(); // packets that wait while the router is stopped
    private readonly Queue<byte[]> _queue = new();
    private readonly Queue<byte[]> _delivering = new();
    private readonly SortedDictionary<uint, byte[]> _reordered = [];
    private readonly List<Outstanding> _outstanding = [];
    private readonly Queue<byte[]> _unsent = new(); // one per write: writes are cut into segments one by one
    private int _unsentOffset;
    private Outstanding? _unrecorded;
    private PilotAddress _remote;
    private ushort _remotePort;
    private uint _next = 1, _acknowledged, _expected;
    private ushort _window;
    private int _acksOwed;
    private int _duplicates;
    private long _cwnd = 40960, _ssthresh = 524288;
    private bool _recovering;
    private uint _recoveryPoint;
    private TimeSpan _srtt, _rttvar, _rto = TimeSpan.FromSeconds(1);
    private bool _hasRtt;
    private Instant _ackAt = Instant.Never, _tickAt = Instant.Never, _sweepAt = Instant.Never, _probeAt = Instant.Never, _dialAt = Instant.Never;
    private Instant _recordAt = Instant.Never, _nagleAt = Instant.Never;
    private bool _nagleExpired;
    private bool _allAcknowledged; // sticky: a wake-up of the waiting writer that nobody waited for (10)
    private Instant _lastActivity, _lastRetransmission;
    private TimeSpan _probeInterval;
    private int _dialStep;

    public string State { get; private set; } = "CLOSED";

    public bool IsEstablished => State == "ESTABLISHED";

    /// <summary>End of stream was shown to the application, clean or not: it cannot tell.</summary>
    public bool ReadEnded { get; private set; }

    public bool RouterIsStopped => _delivering.Count > 0;

    public int QueuedSegments => _queue.Count;

    public int FastRetransmissions { get; private set; }

    public int TimeoutRetransmissions { get; private set; }

    public int BytesDelivered { get; private set; }

    /// <summary>Reads like an application that is always waiting; otherwise only <see cref="ReadSegment"/> takes something.</summary>
    public bool ReadsAlways { get; set; } = true;

    /// <summary>Called for each segment that the application reads.</summary>
    public Action<byte[]>? OnRead { get; set; }

    public bool HasUnsent => IsWriterBlocked || _outstanding.Count > 0;

    /// <summary>The application's write has not returned yet.</summary>
    public bool IsWriterBlocked => _unsent.Count > 0 || _unrecorded is not null;

    /// <summary>Small remainders wait for all acknowledgements or 40 ms (10).</summary>
    public bool HasNagle { get; init; }

    /// <summary>Time between the transmission of a segment and its record, in which an acknowledgement is lost (6.5); the sent acknowledgement counts late, too (6.1).</summary>
    public TimeSpan RecordDelay { get; init; }

    /// <summary>The process start, from which the 15 s sweeps count (11); the opening of the connection if not set.</summary>
    public Instant? ProcessStart { get; init; }

    /// <summary>Times of the SYNs after the dial; the last wait is 8 s (4.5).</summary>
    public IReadOnlyList<double> SynSeconds { get; init; } = DefaultSynSeconds;

    /// <summary>Called before each repeated SYN with its number, from 1.</summary>
    public Action<int>? BeforeSyn { get; init; }

    /// <summary>The peer sent RST.</summary>
    public bool WasReset { get; private set; }

    /// <summary>A segment was transmitted eight times in vain (9.3).</summary>
    public bool WasAbandoned { get; private set; }

    public Instant Deadline => Instant.Min(
        Instant.Min(Instant.Min(_ackAt, _tickAt), Instant.Min(_sweepAt, _probeAt)), Instant.Min(_dialAt, Instant.Min(_recordAt, _nagleAt)));

    public void Dial(Instant now, PilotAddress remote, ushort remotePort)
    {
        _remote = remote;
        _remotePort = remotePort;
        State = "SYN_SENT";
        Emit(PacketFlags.Syn, 0, 0, QueueSlots, []);
        _dialStep = 1;
        _dialAt = now + TimeSpan.FromSeconds(SynSeconds[1]);
    }

    public void Write(Instant now, ReadOnlySpan<byte> data)
    {
        if (!data.IsEmpty)
        {
            _unsent.Enqueue(data.ToArray());
            SendWhatFits(now);
        }
    }

    public bool ReadSegment(Instant now)
    {
        if (!_queue.TryDequeue(out byte[]? segment))
        {
            return false;
        }
        BytesDelivered += segment.Length;
        OnRead?.Invoke(segment);
        RunRouter(now);
        return true;
    }

    /// <summary>FIN once, at once, whatever is outstanding (12.1).</summary>
    public void Close(Instant now)
    {
        if (IsEstablished)
        {
            Emit(PacketFlags.Fin, _next, 0, 0, []);
            EnterTimeWait(now);
        }
    }

    public void Receive(Instant now, in PacketHeader header, ReadOnlySpan<byte> payload)
    {
        _inbox.Enqueue((header, payload.ToArray()));
        RunRouter(now);
    }

    public bool TryTransmit(Instant now, Span<byte> packet, out int length)
    {
        length = 0;
        if (!_out.TryDequeue(out byte[]? next))
        {
            return false;
        }
        next.CopyTo(packet);
        length = next.Length;
        return true;
    }

    public void HandleDeadline(Instant now)
    {
        if (_dialAt <= now)
        {
            OnDialTimer(now);
        }
        if (_recordAt <= now)
        {
            Record(_unrecorded!);
            SendWhatFits(now);
        }
        if (_nagleAt <= now)
        {
            _nagleAt = Instant.Never;
            _nagleExpired = true;
            SendWhatFits(now);
        }
        if (_ackAt <= now)
        {
            SendAck();
        }
        if (_probeAt <= now)
        {
            _probeInterval = TimeSpan.FromTicks(Math.Min(2 * _probeInterval.Ticks, TimeSpan.FromSeconds(30).Ticks));
            _probeAt = now + _probeInterval;
            Emit(PacketFlags.Ack, _next, _expected, FreeSlots, []);
            SendWhatFits(now); // the waiting writer looks at the window again here
        }
        if (_tickAt <= now)
        {
            _tickAt = now + Tick;
            OnTick(now);
        }
        if (_sweepAt <= now)
        {
            _sweepAt = NextSweep(now);
            OnSweep(now);
        }
    }

    private void RunRouter(Instant now)
    {
        do
        {
            while (_delivering.Count > 0 && _queue.Count < QueueSlots)
            {
                _queue.Enqueue(_delivering.Dequeue());
                if (ReadsAlways)
                {
                    byte[] segment = _queue.Dequeue();
                    BytesDelivered += segment.Length;
                    OnRead?.Invoke(segment);
                }
            }
            if (_delivering.Count > 0)
            {
                return; // stopped: nothing is processed for anybody (5.5)
            }
            if (_inbox.TryDequeue(out (PacketHeader Header, byte[] Payload) item))
            {
                Process(now, item.Header, item.Payload);
            }
        }
        while (_inbox.Count > 0 || _delivering.Count > 0);
    }

    private void OnDialTimer(Instant now)
    {
        if (State != "SYN_SENT" || _dialStep == SynSeconds.Count)
        {
            _dialAt = Instant.Never;
            State = State == "SYN_SENT" ? "CLOSED" : State;
            return;
        }
        double wait = _dialStep + 1 < SynSeconds.Count ? SynSeconds[_dialStep + 1] - SynSeconds[_dialStep] : 8;
        BeforeSyn?.Invoke(_dialStep);
        _dialStep++;
        _dialAt = now + TimeSpan.FromSeconds(wait);
        Emit(PacketFlags.Syn, 0, 0, QueueSlots, []);
    }

    private void OnSweep(Instant now)
    {
        if (State == "TIME_WAIT" && now - _lastActivity > TimeSpan.FromSeconds(10))
        {
            Remove();
        }
        else if (IsEstablished && now - _lastActivity > TimeSpan.FromSeconds(120))
        {
            Close(now);
        }
        else if (IsEstablished && now - _lastActivity > TimeSpan.FromSeconds(30))
        {
            Emit(PacketFlags.Ack, _next, _expected, 0, []);
        }
    }

    private ushort FreeSlots => (ushort)(QueueSlots - _queue.Count);

    private void Open(Instant now)
    {
        State = "ESTABLISHED";
        _dialAt = Instant.Never;
        _tickAt = now + Tick;
        _sweepAt = NextSweep(now);
        _lastActivity = now;
    }

    private Instant NextSweep(Instant now) =>
        ProcessStart is { } start ? start + new TimeSpan(((now - start).Ticks / Sweep.Ticks + 1) * Sweep.Ticks) : now + Sweep;

    private void EnterTimeWait(Instant now)
    {
        State = "TIME_WAIT";
        DropSending();
        _tickAt = _ackAt = _probeAt = Instant.Never;
        _lastActivity = now;
        ReadEnded = true;
    }

    private void Remove()
    {
        State = "CLOSED";
        ReadEnded = true;
        _tickAt = _ackAt = _probeAt = _sweepAt = _dialAt = Instant.Never;
        DropSending();
    }

    private void DropSending()
    {
        _outstanding.Clear();
        _unsent.Clear();
        _unrecorded = null;
        _recordAt = _nagleAt = Instant.Never;
    }

    private void Emit(PacketFlags flags, uint sequence, uint acknowledgement, ushort window, ReadOnlySpan<byte> payload)
    {
        PacketHeader header = new()
        {
            Protocol = PacketProtocol.Stream,
            Flags = flags,
            Source = address,
            Destination = _remote,
            SourcePort = port,
            DestinationPort = _remotePort,
            Sequence = sequence,
            Acknowledgement = acknowledgement,
            Window = window,
        };
        byte[] packet = new byte[Packet.HeaderSize + payload.Length];
        Packet.Write(packet, header, payload);
        _out.Enqueue(packet);
    }
}
