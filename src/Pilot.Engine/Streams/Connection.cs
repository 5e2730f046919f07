using Pilot.Protocol;

namespace Pilot.Engine.Streams;

/// <summary>
/// One reliable stream connection as a state machine without I/O (spec chapter 02). It is handed packets of its tuple, commands
/// and the time; it hands out packets (<see cref="TryTransmit"/>), signals (<see cref="TakeSignals"/>) and one deadline. All
/// calls come from the one event loop that owns it. Positions are 64-bit stream offsets inside; the 32-bit numbers of the wire
/// are mapped to the nearest offset, so their wrap needs no further care.
/// </summary>
/// <remarks>
/// A peer whose SYN or SYN-ACK carried an option list is one of ours (<see cref="PeerIsExtended"/>); every other peer is treated
/// as a reference: window in segments, unchanged segment boundaries, SACK in ACK payloads, FIN as full close.
/// </remarks>
public sealed partial class Connection
{
    private readonly ConnectionOptions _options;
    private readonly SendBuffer _send;
    private readonly ReceiveBuffer _receive;
    private readonly SentSegments _sent;
    private readonly RttEstimator _rtt;
    private readonly LossDetector _loss;
    private readonly AckSchedule _acks = new();
    private readonly HoleReporter _holes = new();
    private readonly SynOptions _ownOptions;
    private readonly uint _localIsn;
    private uint _remoteIsn;
    private Timers _timers = Timers.Idle;
    private ConnectionSignals _signals;
    private bool _writeWasCut;

    private Connection(
        uint id, PilotAddress local, ushort localPort, PilotAddress remote, ushort remotePort, uint initialSequence,
        ConnectionOptions options, ChunkPool pool)
    {
        Id = id;
        LocalAddress = local;
        LocalPort = localPort;
        RemoteAddress = remote;
        RemotePort = remotePort;
        _localIsn = initialSequence;
        _jitter = initialSequence;
        _options = options;
        _ownOptions = SynOptions.Of(options);
        _pool = pool;
        pool.Admit();
        _sent = new SentSegments(pool);
        _send = new SendBuffer(pool, Math.Min(options.SendBufferStart, options.SendBufferLimit));
        _receive = new ReceiveBuffer(pool);
        _rtt = new RttEstimator(options);
        _loss = new LossDetector(_sent, _rtt);
        _congestion = CongestionControllers.Create(options.CongestionControl, StreamConstants.InitialSegmentPayload, initialSequence);
    }

    /// <summary>Local id, for status output.</summary>
    public uint Id { get; }

    /// <summary>Own address in this connection: network 0, or the address that the peer dialled.</summary>
    public PilotAddress LocalAddress { get; }

    /// <summary>Address of the peer.</summary>
    public PilotAddress RemoteAddress { get; }

    /// <summary>Own port.</summary>
    public ushort LocalPort { get; }

    /// <summary>Port of the peer.</summary>
    public ushort RemotePort { get; }

    /// <summary>State.</summary>
    public ConnectionState State { get; private set; }

    /// <summary>Why the connection ended, if not cleanly. The first cause stays.</summary>
    public ConnectionError Error { get; private set; }

    /// <summary>Text that explains <see cref="Error"/> further, set by the node.</summary>
    public string? ErrorDetail { get; set; }

    /// <summary>Whatever the owner wants to find again from a signal.</summary>
    public object? Owner { get; set; }

    /// <summary>The peer sent an option list: it is one of ours.</summary>
    public bool PeerIsExtended { get; private set; }

    /// <summary>This side dialled.</summary>
    public bool IsDialer { get; private init; }

    /// <summary>Bytes that <see cref="Write"/> takes now; 0 when full or when no more can be written.</summary>
    public int WriteCapacity
    {
        get
        {
            FitSendBuffer();
            return IsWriteClosed ? 0 : _send.Free;
        }
    }

    /// <summary>Nothing can be written any more: ended here, ended by a reference's FIN, or failed.</summary>
    public bool IsWriteClosed => _writeShut || State is ConnectionState.Closed or ConnectionState.TimeWait;

    /// <summary>Bytes that can be read now.</summary>
    public int ReadableBytes => _receive.Readable;

    /// <summary>The peer ended its direction cleanly and everything before has been read.</summary>
    public bool IsReadEnded => _readEnded && _receive.Readable == 0;

    /// <summary>Bytes written and not yet acknowledged.</summary>
    public long UnacknowledgedBytes => _send.End - _send.Start;

    /// <summary>Earliest time at which <see cref="HandleDeadline"/> must be called; Never for none.</summary>
    internal Instant Deadline => _timers.Earliest;

    /// <summary>Largest segment payload that the path carries, bytes. Set by the node; 1152 until the path has proven more.</summary>
    internal int MaxSegmentPayload
    {
        get => _pathSegment;
        set
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(value, 1);
            int before = EffectiveSegment;
            _pathSegment = value;
            OnSegmentSizeChanged(before);
        }
    }

    /// <summary>Copies what fits into the send buffer; returns the bytes taken (0 when full or no longer writable).</summary>
    public int Write(Instant now, ReadOnlySpan<byte> data)
    {
        if (IsWriteClosed)
        {
            return 0;
        }
        if (!HasOutstanding)
        {
            _progressAt = now;
        }
        FitSendBuffer();
        int taken = _send.Write(data);
        _writeWasCut |= taken < data.Length || _send.Free == 0; // whoever writes just what fits waits for the signal too
        return taken;
    }

    /// <summary>
    /// Room in the send buffer for at most <paramref name="length"/> bytes, to be filled in order; returns how many pieces (0 when full or no
    /// longer writable: see <see cref="WantRoom"/>). <see cref="CommitWrite"/> must follow, also when nothing was filled.
    /// </summary>
    public int ReserveWrite(int length, Span<BufferPiece> pieces)
    {
        FitSendBuffer();
        return IsWriteClosed ? 0 : _send.Reserve(length, pieces);
    }

    /// <summary>So many bytes were put into the pieces of <see cref="ReserveWrite"/>.</summary>
    public void CommitWrite(Instant now, int count)
    {
        if (count > 0 && !HasOutstanding)
        {
            _progressAt = now;
        }
        _send.Commit(count);
        _writeWasCut |= _send.Free == 0;
    }

    /// <summary>Asks for <see cref="ConnectionSignals.Writable"/> when there is room.</summary>
    public void WantRoom() => _writeWasCut = true;

    /// <summary>The readable bytes in pieces, the first ones if there are more, without removing them; returns how many pieces.</summary>
    public int PeekRead(Span<BufferPiece> pieces) => _receive.Peek(pieces);

    /// <summary>The readable bytes that lie in one piece, without removing them. Valid until the next call on this connection.</summary>
    public ReadOnlySpan<byte> PeekRead() => _receive.Peek();

    /// <summary>Removes bytes seen by <see cref="PeekRead()"/>. May cause a window update to be sent.</summary>
    public void Consume(Instant now, int count)
    {
        _receive.Consume(count);
        FitReceiveBuffer(now, count);
        OnRoomGained(now);
        ReleaseAdmission();
    }

    /// <summary>What happened since the last call.</summary>
    internal ConnectionSignals TakeSignals()
    {
        ConnectionSignals signals = _signals;
        _signals = ConnectionSignals.None;
        return signals;
    }

    private StreamFeatures Features { get; set; }

    private bool HasByteWindow => (Features & StreamFeatures.ByteWindow) != 0;

    private bool HasReports => (Features & StreamFeatures.Reports) != 0;

    private bool HasNoChecksum => (Features & StreamFeatures.NoChecksum) != 0;

    private bool HasHalfClose => (Features & StreamFeatures.HalfClose) != 0;

    private bool HasOutstanding => _sendNext > _send.Start;

    private bool IsOpen => State is ConnectionState.Established or ConnectionState.FinWait or ConnectionState.CloseWait;

    private uint SendSequence(long offset) => unchecked(_localIsn + 1 + (uint)offset);

    private uint ReceiveSequence(long offset) => unchecked(_remoteIsn + 1 + (uint)offset);

    // the stream offset nearest to where we are that has this number
    private long SendOffset(uint sequence) => _sendNext + SequenceNumber.Distance(SendSequence(_sendNext), sequence);

    private long ReceiveOffset(uint sequence) =>
        _receive.NextOffset + SequenceNumber.Distance(ReceiveSequence(_receive.NextOffset), sequence);

    private void Raise(ConnectionSignals signals) => _signals |= signals;
}
