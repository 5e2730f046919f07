namespace Pilot.Engine.Streams;

// Buffers that grow with the product of bandwidth and delay, while memory lasts (docs/streams.md).
public sealed partial class Connection
{
    // Data stay in the send buffer until the holes before them are filled, which takes one more round trip, or two when the
    // repetition is lost as well; the same data fill the receive buffer meanwhile. Both want a multiple of what is in flight.
    private const int SendWindows = 2;        // congestion windows, each up to about two products; near: flights
    private const int ReceivedRoundTrips = 8; // what is read per round trip is one product, and half of one while the rate doubles

    private static readonly TimeSpan LeastMeasure = TimeSpan.FromMilliseconds(2);
    private static readonly TimeSpan UnknownRoundTrip = TimeSpan.FromMilliseconds(100);

    private readonly ChunkPool _pool;
    private int _receiveLimit;
    private long _mostInFlight; // as seen whenever the buffer was fitted
    private long _readInMeasure;
    private Instant _measureSince;

    private bool _isRemoved;
    private bool _isAdmitted = true;

    /// <summary>So much room that a writer is woken.</summary>
    private bool IsWorthWaking
    {
        get
        {
            FitSendBuffer();
            return _send.Free >= Math.Min(_send.Limit / 4, 256 << 10);
        }
    }

    private void FitSendBuffer()
    {
        int start = Math.Min(IsNear ? _options.SendBufferNear : _options.SendBufferStart, _options.SendBufferLimit);
        _mostInFlight = Math.Max(_mostInFlight, _sent.BytesInFlight);
        // Next door hosts are slower than the path: the window grows far beyond what is ever in flight, and a buffer of its size only grows cold.
        long used = IsNear ? _mostInFlight : _congestion.Window;
        _send.Limit = Math.Min((int)Math.Clamp(SendWindows * used, start, _options.SendBufferLimit), _pool.Share);
    }

    /// <summary>The path is so short that a small buffer fills it.</summary>
    private bool IsNear => _rtt.HasSample && _rtt.Minimum < _options.FastPathRtt;

    // When the first round trip is known, or can be known no more. Before, only a near path's window was promised.
    private void FitReceiveBufferToDistance()
    {
        if (HasByteWindow && !IsNear)
        {
            _receiveLimit = Math.Max(_receiveLimit, Math.Min(_options.ReceiveBufferStart, _options.ReceiveBufferLimit));
        }
    }

    /// <summary>Gives back what the pool guaranteed, once nothing can be received any more and all has been read. TIME_WAIT needs no buffers: many short connections would otherwise keep new ones out.</summary>
    private void ReleaseAdmission()
    {
        if (_isAdmitted && (_isRemoved || State == ConnectionState.TimeWait) && _receive.Readable == 0)
        {
            _isAdmitted = false;
            _receive.Clear();
            _pool.Dismiss();
        }
    }

    // A reference's window means places, not bytes, and its own limit is a megabyte in flight: only ours get more.
    private void FitReceiveBuffer(Instant now, int read)
    {
        if (!HasByteWindow || _receiveLimit >= _options.ReceiveBufferLimit)
        {
            return;
        }
        _readInMeasure += read;
        TimeSpan length = _rtt.HasSample ? _rtt.Smoothed : UnknownRoundTrip;
        if (now - _measureSince < (length > LeastMeasure ? length : LeastMeasure))
        {
            return;
        }
        if (ReceivedRoundTrips * _readInMeasure > _receiveLimit && now - _measureSince < 4 * length)
        {
            _receiveLimit = (int)Math.Min(ReceivedRoundTrips * _readInMeasure, _options.ReceiveBufferLimit);
        }
        _readInMeasure = 0;
        _measureSince = now;
    }
}
