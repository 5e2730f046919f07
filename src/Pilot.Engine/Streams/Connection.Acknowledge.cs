using Pilot.Protocol;

namespace Pilot.Engine.Streams;

// Acknowledgements of our data: cumulative and selective, round trip samples, the peer's window (chapter 02 sections 6 and 7).
public sealed partial class Connection
{
    private readonly List<ByteRun> _reported = []; // SACK runs of the last report, ascending
    private long _peerEdge;          // byte windows: stream offset that may be sent up to; never retreats
    private bool _peerIsStarved;
    private int _starvedProbes;
    private ushort _peerSegments;    // segment windows: last value
    private Instant _progressAt;     // last time something was acknowledged, or nothing was outstanding, or a peer without room said so
    private Instant _acknowledgedAt; // last time something was acknowledged, or the connection was closed

    /// <returns>True if the packet told something new: progress, or a report.</returns>
    private bool TakeAcknowledgement(Instant now, in PacketHeader header, ReadOnlySpan<SackBlock> blocks, bool hasPayload)
    {
        long acknowledged = SendOffset(header.Acknowledgement);
        if (acknowledged > _sendNext)
        {
            if (!PeerIsExtended)
            {
                End(now, ConnectionError.Stale, sendReset: true); // it speaks of an older connection (6.2)
            }
            return true;
        }
        if (acknowledged < _send.Start)
        {
            return true; // overtaken by a later one: neither its window nor its blocks are news
        }
        long inFlightBefore = _sent.BytesInFlight;
        bool hadOutstanding = HasOutstanding;
        bool progressed = acknowledged > _send.Start;
        bool limited = _send.Start < _limitedUpTo;
        RttSample sample = default;
        long delivered = progressed ? RemoveAcknowledged(now, acknowledged, ref sample) : 0;
        delivered += MarkReported(now, blocks, ref sample);
        TakeWindow(now, header.Window, acknowledged, hadOutstanding);
        if (sample.IsValid)
        {
            _rtt.Add(now, sample.RoundTrip);
        }
        if (progressed)
        {
            OnProgress(now, acknowledged);
        }
        else if (hadOutstanding && !hasPayload)
        {
            _duplicateAcks++;
        }
        if (delivered > 0 || progressed)
        {
            AfterDelivery(now);
        }
        if (delivered > 0)
        {
            TellCongestionControl(now, delivered, inFlightBefore, limited, sample);
        }
        return progressed || hasPayload;
    }

    private struct RttSample
    {
        public TimeSpan RoundTrip;
        private bool _hasValue, _isAmbiguous;

        public readonly bool IsValid => _hasValue && !_isAmbiguous;

        // Karn: an acknowledgement that covers a repeated segment says nothing, not even by the segments around it, because it
        // may itself be the repetition of a lost acknowledgement.
        public void Offer(Instant now, in SegmentRecord segment)
        {
            TimeSpan roundTrip = now - segment.SentAt;
            _isAmbiguous |= segment.Transmissions > 1;
            if (!_hasValue || roundTrip < RoundTrip)
            {
                RoundTrip = roundTrip;
                _hasValue = true;
            }
        }
    }

    private long RemoveAcknowledged(Instant now, long acknowledged, ref RttSample sample)
    {
        long delivered = 0;
        while (_sent.Count > 0)
        {
            ref SegmentRecord segment = ref _sent[_sent.First];
            if (segment.End > acknowledged)
            {
                if (segment.Start < acknowledged)
                {
                    delivered += segment.Sacked ? 0 : acknowledged - segment.Start;
                    _sent.TrimFirst(acknowledged);
                }
                break;
            }
            if (!segment.Sacked)
            {
                delivered += segment.Length;
                OnDelivered(now, segment, ref sample);
            }
            _sent.RemoveFirst();
        }
        return delivered;
    }

    private long MarkReported(Instant now, ReadOnlySpan<SackBlock> blocks, ref RttSample sample)
    {
        if (blocks.IsEmpty)
        {
            return 0;
        }
        long delivered = 0;
        _sackBlocksReceived += blocks.Length;
        Span<ByteRun> runs = stackalloc ByteRun[StreamConstants.ExtendedSackBlocks];
        int count = 0;
        foreach (SackBlock block in blocks)
        {
            ByteRun run = new(SendOffset(block.Left), SendOffset(block.Right));
            if (run.Start < run.End && run.Start >= _send.Start && run.End <= _sendNext)
            {
                // ascending: otherwise the run that stands first as the newest would make the others look reordered
                int at = count++;
                for (; at > 0 && runs[at - 1].Start > run.Start; at--)
                {
                    runs[at] = runs[at - 1];
                }
                runs[at] = run;
            }
        }
        int known = 0;
        foreach (ByteRun run in runs[..count])
        {
            delivered += MarkRun(now, run, ref known, ref sample);
        }
        _reported.Clear();
        _reported.AddRange(runs[..count]);
        return delivered;
    }

    // Reports repeat what earlier ones said; only the part of a run that is not in the last report is walked.
    private long MarkRun(Instant now, ByteRun run, ref int known, ref RttSample sample)
    {
        long from = run.Start;
        for (; known < _reported.Count && _reported[known].Start <= from; known++)
        {
            if (from < _reported[known].End)
            {
                from = _reported[known].End;
                break;
            }
        }
        long delivered = 0;
        if (from >= run.End)
        {
            return 0;
        }
        for (long number = _sent.Find(from); number < _sent.Next; number++)
        {
            ref SegmentRecord segment = ref _sent[number];
            if (segment.End > run.End)
            {
                break;
            }
            if (segment.Start >= run.Start && !segment.Sacked)
            {
                delivered += segment.Length;
                OnDelivered(now, segment, ref sample);
                _sent.MarkSacked(number);
            }
        }
        return delivered;
    }

    private void OnDelivered(Instant now, in SegmentRecord segment, ref RttSample sample)
    {
        bool isOfLastTransmission = _loss.OnDelivered(now, segment);
        if (segment.Lost || !isOfLastTransmission)
        {
            _needless.OnDelivered(segment);
        }
        _rate.OnDelivered(now, segment);
        sample.Offer(now, segment);
    }

    private void OnProgress(Instant now, long acknowledged)
    {
        _progressAt = _acknowledgedAt = now;
        _backoff = 0;
        _send.Release(acknowledged);
        if (_writeWasCut && IsWorthWaking)
        {
            _writeWasCut = false;
            Raise(ConnectionSignals.Writable);
        }
        if (!HasOutstanding)
        {
            _reported.Clear();
        }
        AfterProgressOfClose(now);
    }

    // A window of nothing although more was promised, while data are outstanding: the peer had to drop them because its memory is used up, and is alive. It is
    // asked by single old bytes from then on; when the window opens, the data are sent at once.
    private void TakeStarvation(Instant now, bool isStarved)
    {
        if (isStarved)
        {
            _progressAt = now;
            _peerIsStarved = HasOutstanding;
        }
        else if (_peerIsStarved)
        {
            _peerIsStarved = false;
            _starvedProbes = 0;
            if (HasOutstanding)
            {
                _backoff = 0;
                _loss.DetectOnTimeout(now);
                _timeoutPending = true;
                ArmRetransmit(now);
            }
        }
    }

    private TimeSpan StarvedProbeInterval() =>
        new(Math.Min(_options.WindowProbeMin.Ticks << Math.Min(_starvedProbes++, 10), _options.WindowProbeMax.Ticks));

    private void TakeWindow(Instant now, ushort field, long acknowledged, bool hadOutstanding)
    {
        bool wasClosed = !WindowAllowsSegment();
        if (HasByteWindow)
        {
            _peerEdge = Math.Max(_peerEdge, acknowledged + ((long)field << _peerOptions.WindowShift));
            TakeStarvation(now, isStarved: field == 0 && _peerEdge - acknowledged >= 1L << _peerOptions.WindowShift);
        }
        else if (field != 0 || hadOutstanding)
        {
            _peerSegments = field; // 0 without anything outstanding is a keepalive (7.1)
        }
        if (wasClosed)
        {
            if (WindowAllowsSegment())
            {
                StopWindowProbe();
            }
            else if (_timers.IsSet(TimerKind.WindowProbe) || _probeInterval > TimeSpan.Zero)
            {
                _progressAt = now; // closed, but alive: the user timeout is not meant for this
                _probeUnanswered = 0;
            }
        }
    }
}
