using Pilot.Protocol;

namespace Pilot.Engine.Streams;

// Dispatch by flags (chapter 02 section 1.1) and the receiving side: reassembly, SACK or data, windows toward the peer.
public sealed partial class Connection
{
    private Instant _lastReceived;
    private Instant _lastData;
    private long _advertisedEdge;       // highest stream offset that the peer was allowed to send up to (byte windows)
    private int _advertisedSegments = int.MaxValue; // last window told to a reference
    private long _newestArrival = -1;   // start of the last segment that came behind a hole
    private bool _isStarved;            // all buffers together take so much that data inside the window had to be dropped
    private bool _quietPending;
    private int _quietAnswers;
    private Instant _quietAnswersSince;

    /// <summary>Takes a packet of this tuple. The node has authenticated it and checked that it comes from the peer.</summary>
    internal void Receive(Instant now, in PacketHeader header, ReadOnlySpan<byte> payload)
    {
        if (State == ConnectionState.Closed)
        {
            return;
        }
        _lastReceived = now;
        PacketFlags flags = header.Flags;
        if ((flags & PacketFlags.Syn) != 0)
        {
            if ((flags & PacketFlags.Ack) != 0)
            {
                OnSynAck(now, header, payload);
            }
            else
            {
                OnSyn(header, payload);
            }
        }
        else if ((flags & PacketFlags.Fin) != 0)
        {
            OnFin(now, header);
        }
        else if ((flags & PacketFlags.Rst) != 0)
        {
            OnReset(now);
        }
        else if (!IsOpen)
        {
            // Data before the SYN-ACK came are sent again. TIME_WAIT answers a reference's FIN only; one of ours that still
            // repeats data has missed our last answer, and FIN|ACK settles all of them.
            if (State == ConnectionState.TimeWait && HasHalfClose && _peerFin is not null && !payload.IsEmpty)
            {
                AnswerInTimeWait(now);
            }
            return;
        }
        else if ((flags & PacketFlags.Ack) != 0)
        {
            OnAcknowledgement(now, header, payload);
        }
        else if (HasReports)
        {
            OnReport(now, header, payload);
        }
        UpdateReceiveTimers(now);
    }

    private void OnReset(Instant now)
    {
        if (State == ConnectionState.TimeWait)
        {
            Remove();
            return;
        }
        End(now, State == ConnectionState.SynSent ? ConnectionError.Refused : ConnectionError.Reset, sendReset: false);
    }

    private void OnReport(Instant now, in PacketHeader header, ReadOnlySpan<byte> payload)
    {
        Span<SackBlock> blocks = stackalloc SackBlock[StreamConstants.ExtendedSackBlocks];
        if (AckReport.TryParse(payload, blocks, out int count))
        {
            OnPeerHeard(now);
            TakeAcknowledgement(now, header, blocks[..count], hasPayload: true);
        }
    }

    private void OnAcknowledgement(Instant now, in PacketHeader header, ReadOnlySpan<byte> payload)
    {
        bool isFirst = !_peerHeard;
        OnPeerHeard(now);
        Span<SackBlock> blocks = stackalloc SackBlock[StreamConstants.ReferenceSackBlocks];
        if (!HasReports && IsSack(header, payload, blocks, out int count))
        {
            TakeAcknowledgement(now, header, blocks[..count], hasPayload: true);
            return;
        }
        bool isNews = TakeAcknowledgement(now, header, [], !payload.IsEmpty);
        if (!payload.IsEmpty && IsOpen)
        {
            OnData(now, ReceiveOffset(header.Sequence), payload);
        }
        else if (!isNews && !isFirst && !PeerIsExtended)
        {
            OnEmptyAcknowledgement(now);
        }
    }

    /// <summary>
    /// A reference's SACK has an exact length and names only what we sent and it has not acknowledged (chapter 02 section 5.6).
    /// That section also wants the packet's number to be the highest received; a reference that is itself sending under loss
    /// breaks that, and its report would be taken for data. Our random ISN makes lookalike data improbable without it.
    /// </summary>
    private bool IsSack(in PacketHeader header, ReadOnlySpan<byte> payload, Span<SackBlock> blocks, out int count)
    {
        if (!Sack.TryParse(payload, blocks, out count) || payload.Length != Sack.SizeOf(count))
        {
            return false;
        }
        long acknowledged = SendOffset(header.Acknowledgement);
        foreach (SackBlock block in blocks[..count])
        {
            long left = SendOffset(block.Left);
            long right = SendOffset(block.Right);
            if (left < acknowledged || right < left || right > _sendNext)
            {
                return false;
            }
        }
        return true;
    }

    private void OnData(Instant now, long offset, ReadOnlySpan<byte> payload)
    {
        _segmentsReceived++;
        _lastData = now;
        if (_peerFin is { } fin && offset + payload.Length > fin)
        {
            if (offset >= fin)
            {
                _acks.RequestNow();
                return; // behind the end that the peer announced
            }
            payload = payload[..(int)(fin - offset)];
        }
        if (_appClosed && HasHalfClose && _finAcknowledged && offset + payload.Length > _receive.NextOffset)
        {
            // nobody reads here any more and all of ours has arrived: the peer's writer must learn it
            End(now, ConnectionError.None, sendReset: true);
            return;
        }
        long before = _receive.NextOffset;
        bool hadHoles = _receive.RunCount > 0;
        switch (_receive.Write(offset, payload, ReceiveLimit))
        {
            case ReceiveOutcome.InOrder:
                OnInOrder(now, before, hadHoles);
                break;
            case ReceiveOutcome.OutOfOrder:
                _newestArrival = offset;
                OnHole(now);
                break;
            case ReceiveOutcome.Duplicate:
                OnDuplicate(now);
                break;
            case ReceiveOutcome.Dropped when PeerIsExtended:
                _isStarved |= offset <= before && before < _advertisedEdge; // the pool is exhausted, not the window
                _acks.RequestNow();
                break;
            case ReceiveOutcome.Dropped:
            default:
                break; // toward a reference: unacknowledged, or it would forget the data (17.3)
        }
    }

    private void OnInOrder(Instant now, long before, bool hadHoles)
    {
        _bytesReceived += _receive.NextOffset - before;
        _isStarved = false;
        _acks.OnData(now, _receive.NextOffset, AckFloor, _options.DelayedAck);
        if (hadHoles)
        {
            _acks.RequestNow();
            if (!HasReports)
            {
                _holes.OnProgress(now, _receive.RunCount > 0, AckFloor);
            }
        }
        if (_appClosed)
        {
            _receive.Consume(_receive.Readable);
        }
        else
        {
            Raise(ConnectionSignals.Readable);
        }
        CheckReadEnd(now);
    }

    private void OnHole(Instant now)
    {
        if (HasReports)
        {
            _acks.RequestNow();
            return;
        }
        long quarter = Math.Clamp(_rtt.Smoothed.Ticks / 4, TimeSpan.TicksPerMillisecond, 20 * TimeSpan.TicksPerMillisecond);
        _holes.OnOutOfOrder(now, AckFloor, new TimeSpan(quarter), _options.HoleReminder);
    }

    private void OnDuplicate(Instant now)
    {
        if (HasReports)
        {
            _acks.RequestNow();
        }
        else if (_receive.RunCount > 0)
        {
            _holes.OnDuplicate(now, AckFloor);
        }
        else if (!_acks.IsHolding)
        {
            _quietPending = true; // acknowledges again without counting as a duplicate (6.4)
        }
        else
        {
            _acks.RequestNow();
        }
    }

    // Keepalives and window probes of a reference want a sign of life; the quiet form is never answered itself (7.3, 11).
    private void OnEmptyAcknowledgement(Instant now)
    {
        if (now - _quietAnswersSince >= TimeSpan.FromSeconds(1))
        {
            _quietAnswersSince = now;
            _quietAnswers = 0;
        }
        if (_quietAnswers < StreamConstants.QuietAnswersPerSecond)
        {
            _quietAnswers++;
            _quietPending = true;
        }
    }

    private TimeSpan AckFloor
    {
        get
        {
            if (PeerIsExtended)
            {
                return TimeSpan.Zero;
            }
            if (FreeReceive < StreamConstants.ReferenceSegmentSize)
            {
                return _options.ClosedWindowAckDelay; // slows the peer to one segment per delay (7.1)
            }
            return !_rtt.HasSample || _rtt.Minimum < _options.FastPathRtt ? _options.ReferenceAckFloor : TimeSpan.Zero;
        }
    }

    /// <summary>What the buffer should hold now: less when all buffers together take much.</summary>
    private int CurrentReceiveLimit => Math.Min(_receiveLimit, _pool.Share);

    private long FreeReceive => CurrentReceiveLimit - _receive.Readable;

    private long ReceiveLimit =>
        _receive.ReadOffset + _receiveLimit + (PeerIsExtended ? 0 : _options.ReceiveReserve);

    /// <summary>The window field of a packet that acknowledges up to <paramref name="acknowledged"/>.</summary>
    private ushort WindowField(long acknowledged)
    {
        if (!HasByteWindow)
        {
            // never 0, which a reference takes for "no limit" (7.1)
            _advertisedSegments = (int)Math.Clamp(FreeReceive / StreamConstants.ReferenceSegmentSize, 1, ushort.MaxValue);
            return (ushort)_advertisedSegments;
        }
        // small openings are kept back, so that the peer is not led to send small segments (RFC 9293 section 3.8.6.2.2)
        if (_isStarved)
        {
            return 0; // what was promised cannot be kept at the moment
        }
        int limit = CurrentReceiveLimit;
        long edge = _receive.ReadOffset + limit;
        if (edge - _advertisedEdge < Math.Min(2L * EffectiveSegment, limit / 2))
        {
            edge = _advertisedEdge;
        }
        int shift = _ownOptions.WindowShift;
        long field = Math.Clamp((edge - acknowledged) >> shift, 0, ushort.MaxValue);
        _advertisedEdge = Math.Max(_advertisedEdge, acknowledged + (field << shift));
        return (ushort)field;
    }

    // The application read: tell the peer if that matters to it.
    private void OnRoomGained(Instant now)
    {
        if (!IsOpen || _readEnded || (_peerFin is not null && (ReadIsOver || !HasHalfClose)))
        {
            return; // nothing more comes; one of ours may still repeat what is missing before its FIN
        }
        if (HasByteWindow)
        {
            int limit = CurrentReceiveLimit;
            long gain = _receive.ReadOffset + limit - _advertisedEdge;
            long usable = _advertisedEdge - _receive.NextOffset;
            int twoSegments = Math.Min(2 * EffectiveSegment, limit / 2);
            if (_isStarved || gain >= limit / 4 || (gain >= twoSegments && usable < limit / 4))
            {
                _isStarved = false;
                _acks.RequestNow();
            }
        }
        else if (_advertisedSegments <= StreamConstants.NearlyFullWindow
            && FreeReceive >= 4L * StreamConstants.NearlyFullWindow * StreamConstants.ReferenceSegmentSize)
        {
            if (_acks.IsHolding)
            {
                _acks.ShortenHold(now, _options.ReferenceAckFloor); // reopens together with the held segment (7.1)
            }
            else
            {
                _quietPending = true;
            }
        }
        UpdateReceiveTimers(now);
    }

    private void UpdateReceiveTimers(Instant now)
    {
        if (!IsOpen)
        {
            return;
        }
        _timers[TimerKind.Ack] = _acks.NextCheck(now);
        _timers[TimerKind.Hole] = HasReports ? Instant.Never : _holes.NextCheck(now);
    }
}
