using System.Buffers.Binary;

namespace Pilot.Engine.Tests.Streams.Bottleneck;

/// <summary>
/// A bulk TCP flow with CUBIC (RFC 9438): 1448 bytes in 1500, ack-clocked, an ACK per two segments, full knowledge of what
/// arrived (as SACK gives), 0.7 on loss, slow start with HyStart's delay exit as Linux has it, a timeout of 250 ms more than
/// the round trip. A lost retransmission is found by those behind it.
/// </summary>
internal sealed class CubicCompetitor : IFlow, IFlowEnd
{
    private const int Payload = 1448;
    private const int WireData = 1500, WireAck = 52;
    private const double Beta = 0.7, Scale = 0.4;
    private const int ReorderThreshold = 3;

    private readonly AckingEnd _receiver = new();
    private readonly Dictionary<long, Instant> _outstanding = []; // transmission number -> when
    private readonly Instant _start;
    private long _nextTransmission;
    private long _firstOutstanding;
    private double _window = 10, _threshold = double.MaxValue, _maximum, _reached, _epochWindow;
    private Instant _epoch = Instant.Never;
    private long _recoveryEnd = -1;
    private TimeSpan _minimum = TimeSpan.MaxValue, _latest;

    public CubicCompetitor(Instant start) => _start = start;

    public IFlowEnd Sender => this;

    public IFlowEnd Receiver => _receiver;

    /// <summary>Bytes that arrived once each: a repetition fills the place of a lost one.</summary>
    public long Delivered => _receiver.Segments * Payload;

    /// <summary>When it stops sending.</summary>
    public Instant End { get; init; } = Instant.Never;

    public double Window => _window;

    public Instant Deadline { get; private set; } = Instant.Never;

    public void OnDeadline(Instant now)
    {
        Deadline = Instant.Never;
        if (_outstanding.Count > 0)
        {
            _outstanding.Clear();
            _firstOutstanding = _nextTransmission;
            OnLoss();
            _window = 2;
        }
    }

    public int TryTransmit(Instant now, Span<byte> packet, out int wireSize)
    {
        wireSize = WireData;
        if (now < _start)
        {
            Deadline = _start;
            return 0;
        }
        if (now >= End || _outstanding.Count >= (int)_window)
        {
            return 0;
        }
        _outstanding.Add(_nextTransmission, now);
        Deadline = now + _latest + TimeSpan.FromMilliseconds(250);
        BinaryPrimitives.WriteInt64BigEndian(packet, _nextTransmission++);
        return sizeof(long);
    }

    public void OnPacket(Instant now, ReadOnlySpan<byte> packet)
    {
        long highest = -1;
        int acknowledged = 0;
        for (; packet.Length >= sizeof(long); packet = packet[sizeof(long)..])
        {
            long number = BinaryPrimitives.ReadInt64BigEndian(packet);
            if (_outstanding.Remove(number, out Instant sentAt))
            {
                acknowledged++;
                highest = Math.Max(highest, number);
                _latest = now - sentAt;
                _minimum = _latest < _minimum ? _latest : _minimum;
            }
        }
        bool lost = false;
        for (; _firstOutstanding < highest - ReorderThreshold; _firstOutstanding++)
        {
            if (_outstanding.Remove(_firstOutstanding))
            {
                lost = true;
            }
        }
        if (lost && _firstOutstanding > _recoveryEnd)
        {
            OnLoss();
        }
        else if (acknowledged > 0 && _firstOutstanding > _recoveryEnd)
        {
            Grow(now, acknowledged);
        }
    }

    private void OnLoss()
    {
        _recoveryEnd = _nextTransmission;
        _maximum = _window < _reached ? _window * (1 + Beta) / 2 : _window; // fast convergence
        _reached = _window;
        _window = Math.Max(2, _window * Beta);
        _threshold = _window;
        _epoch = Instant.Never;
    }

    private void Grow(Instant now, int acknowledged)
    {
        if (_window < _threshold)
        {
            _window += acknowledged;
            TimeSpan tolerance = TimeSpan.FromTicks(Math.Clamp(_minimum.Ticks / 8, 40_000, 160_000));
            if (_latest > _minimum + tolerance && _window >= 16)
            {
                _threshold = _window;
            }
            return;
        }
        if (_epoch == Instant.Never)
        {
            _epoch = now;
            _epochWindow = _window;
            _maximum = Math.Max(_maximum, _window);
        }
        double k = Math.Cbrt((_maximum - _epochWindow) / Scale);
        double seconds = (now - _epoch).TotalSeconds;
        double t = seconds + _minimum.TotalSeconds - k;
        double target = _maximum + (Scale * t * t * t);
        double renoLike = _epochWindow + (3 * (1 - Beta) / (1 + Beta) * seconds / Math.Max(1e-4, _latest.TotalSeconds));
        target = Math.Clamp(Math.Max(target, renoLike), _window, 1.5 * _window);
        _window += (target - _window) / _window * acknowledged;
    }

    private sealed class AckingEnd : IFlowEnd
    {
        private readonly List<long> _pending = [];

        public long Segments { get; private set; }

        public Instant Deadline { get; private set; } = Instant.Never;

        public void OnDeadline(Instant now)
        {
            Deadline = Instant.Never;
            _isDue = true;
        }

        private bool _isDue;

        public void OnPacket(Instant now, ReadOnlySpan<byte> packet)
        {
            Segments++;
            _pending.Add(BinaryPrimitives.ReadInt64BigEndian(packet));
            if (_pending.Count >= 2)
            {
                _isDue = true;
            }
            else
            {
                Deadline = now + TimeSpan.FromMilliseconds(40);
            }
        }

        public int TryTransmit(Instant now, Span<byte> packet, out int wireSize)
        {
            wireSize = WireAck;
            if (!_isDue || _pending.Count == 0)
            {
                _isDue = false;
                return 0;
            }
            int length = 0;
            foreach (long number in _pending)
            {
                BinaryPrimitives.WriteInt64BigEndian(packet[length..], number);
                length += sizeof(long);
            }
            _pending.Clear();
            _isDue = false;
            Deadline = Instant.Never;
            return length;
        }
    }
}
