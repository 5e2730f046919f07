using Pilot.Protocol;

namespace Pilot.Engine.Tests.Streams;

// Packet processing, acknowledgement and retransmission of the double (chapter 02 sections 1, 4 to 9 and 12.1).
internal sealed partial class ReferencePeer
{
    private void Process(Instant now, in PacketHeader header, byte[] payload)
    {
        if ((header.Flags & PacketFlags.Syn) != 0)
        {
            OnSynchronize(now, header);
        }
        else if (State == "CLOSED")
        {
            return;
        }
        else if ((header.Flags & PacketFlags.Fin) != 0)
        {
            Emit(PacketFlags.Fin | PacketFlags.Ack, _next, header.Sequence + 1, 0, []); // also for FIN|ACK: the defect
            EnterTimeWait(now);
            _sweepAt = _sweepAt == Instant.Never ? NextSweep(now) : _sweepAt;
        }
        else if ((header.Flags & PacketFlags.Rst) != 0)
        {
            WasReset = true;
            Remove();
        }
        else if ((header.Flags & PacketFlags.Ack) != 0)
        {
            OnAcknowledgement(now, header, payload);
        }
    }

    private void OnSynchronize(Instant now, in PacketHeader header)
    {
        if ((header.Flags & PacketFlags.Ack) == 0)
        {
            if (State == "CLOSED")
            {
                _remote = header.Source;
                _remotePort = header.SourcePort;
                _next = 1;
                _acknowledged = 0;
                ReadEnded = false;
                _expected = header.Sequence + 1;
                _window = header.Window;
                Open(now);
                Emit(PacketFlags.Syn | PacketFlags.Ack, 0, _expected, FreeSlots, []);
                return;
            }
            Emit(PacketFlags.Syn | PacketFlags.Ack, _next - 1, _expected, FreeSlots, []); // 4.4
            return;
        }
        if (State == "SYN_SENT")
        {
            _expected = header.Sequence + 1;
            _window = header.Window;
            Open(now);
            Emit(PacketFlags.Ack, _next, _expected, FreeSlots, []);
            SendWhatFits(now);
        }
    }

    private void OnAcknowledgement(Instant now, in PacketHeader header, byte[] payload)
    {
        _lastActivity = now;
        if (State == "TIME_WAIT")
        {
            return;
        }
        _window = header.Window;
        Span<SackBlock> blocks = stackalloc SackBlock[Sack.MaxBlocks];
        bool isSack = Sack.TryParse(payload, blocks, out int count);
        if (isSack)
        {
            foreach (SackBlock block in blocks[..count])
            {
                foreach (Outstanding segment in _outstanding)
                {
                    segment.Sacked |= segment.Sequence >= block.Left && segment.End <= block.Right;
                }
            }
        }
        TakeAcknowledgementNumber(now, header.Acknowledgement, payload.Length > 0);
        if (payload.Length > 0 && !isSack && IsEstablished)
        {
            OnData(now, header.Sequence, payload);
        }
        SendWhatFits(now);
    }

    private void TakeAcknowledgementNumber(Instant now, uint acknowledgement, bool hasPayload)
    {
        if (acknowledgement == 0 || SequenceNumber.IsBefore(acknowledgement, _acknowledged))
        {
            return;
        }
        if (acknowledgement == _acknowledged)
        {
            if (!hasPayload)
            {
                OnDuplicate(now);
            }
            return;
        }
        long newly = SequenceNumber.Distance(_acknowledged, acknowledgement);
        _acknowledged = acknowledgement;
        while (_outstanding.Count > 0 && SequenceNumber.IsAtOrAfter(acknowledgement, _outstanding[0].End))
        {
            Outstanding segment = _outstanding[0];
            if (segment.Transmissions == 1 && !segment.Sacked)
            {
                Sample(now - segment.SentAt);
            }
            _outstanding.RemoveAt(0);
        }
        foreach (Outstanding segment in _outstanding)
        {
            segment.Sacked = false;
        }
        _allAcknowledged |= _outstanding.Count == 0;
        _duplicates = 0;
        _lastRetransmission = new Instant(long.MinValue / 2);
        if (_recovering && SequenceNumber.IsAtOrAfter(acknowledgement, _recoveryPoint))
        {
            _recovering = false;
        }
        _cwnd = Math.Min(1048576, _cwnd + (_cwnd < _ssthresh ? newly : Math.Max(1, 4096 * newly / _cwnd)));
        if (_probeAt != Instant.Never)
        {
            _probeInterval = TimeSpan.FromMilliseconds(500);
            _probeAt = now + _probeInterval;
        }
    }

    private void OnDuplicate(Instant now)
    {
        _duplicates++;
        if (_duplicates == 3)
        {
            _ssthresh = Math.Max(4096, _cwnd / 2);
            _cwnd = _ssthresh + 12288;
            if (_outstanding.Find(s => !s.Sacked) is { } segment)
            {
                FastRetransmissions++;
                Repeat(now, segment);
            }
        }
        else if (_duplicates > 3)
        {
            _cwnd = Math.Min(1048576, _cwnd + 4096);
        }
    }

    private void OnData(Instant now, uint sequence, byte[] payload)
    {
        if (sequence == _expected)
        {
            Deliver(payload);
            while (_reordered.Remove(_expected, out byte[]? stored))
            {
                Deliver(stored);
            }
        }
        else if (SequenceNumber.IsAfter(sequence, _expected) && _reordered.Count < ReorderSlots)
        {
            _reordered.TryAdd(sequence, payload);
        }
        if (_reordered.Count > 0)
        {
            SendAck();
        }
        else if (++_acksOwed >= 2)
        {
            SendAck();
        }
        else if (_ackAt == Instant.Never)
        {
            _ackAt = now + AckDelay;
        }
    }

    private void Deliver(byte[] payload)
    {
        _expected += (uint)payload.Length;
        _delivering.Enqueue(payload);
        if (_queue.Count < QueueSlots)
        {
            _queue.Enqueue(_delivering.Dequeue());
            if (ReadsAlways)
            {
                byte[] segment = _queue.Dequeue();
                BytesDelivered += segment.Length;
                OnRead?.Invoke(segment);
            }
        }
    }

    private void SendAck()
    {
        _acksOwed = 0;
        _ackAt = Instant.Never;
        List<SackBlock> blocks = [];
        foreach ((uint start, byte[] data) in _reordered)
        {
            uint end = start + (uint)data.Length;
            if (blocks.Count > 0 && start <= blocks[^1].Right)
            {
                blocks[^1] = blocks[^1] with { Right = Math.Max(end, blocks[^1].Right) };
            }
            else
            {
                blocks.Add(new SackBlock(start, end));
            }
        }
        Span<byte> payload = stackalloc byte[Sack.MaxSize];
        int length = blocks.Count == 0 ? 0 : Sack.Write(payload, blocks.Take(Sack.MaxBlocks).ToArray());
        Emit(PacketFlags.Ack, _next, _expected, FreeSlots, payload[..length]);
    }

    private void SendWhatFits(Instant now)
    {
        while (IsEstablished && _unrecorded is null && _unsent.TryPeek(out byte[]? write))
        {
            long limit = _window > 0 ? Math.Min(_cwnd, _window * 4096L) : _cwnd;
            if (_outstanding.Sum(s => (long)s.Data.Length) >= limit)
            {
                if (_probeAt == Instant.Never)
                {
                    _probeInterval = TimeSpan.FromMilliseconds(500);
                    _probeAt = now + _probeInterval;
                }
                return;
            }
            int count = Math.Min(SegmentSize, write.Length - _unsentOffset);
            if (count < SegmentSize && HoldsRemainder(now))
            {
                return;
            }
            byte[] data = write[_unsentOffset..(_unsentOffset + count)];
            _unsentOffset += count;
            if (_unsentOffset == write.Length)
            {
                _unsent.Dequeue();
                _unsentOffset = 0;
            }
            Emit(PacketFlags.Ack, _next, _expected, FreeSlots, data);
            Outstanding segment = new(_next, data, now);
            _next += (uint)count;
            _lastActivity = now;
            if (RecordDelay > TimeSpan.Zero)
            {
                _unrecorded = segment;
                _recordAt = now + RecordDelay;
            }
            else
            {
                Record(segment);
            }
        }
        if (_unsent.Count == 0)
        {
            _probeAt = Instant.Never;
        }
    }

    private void Record(Outstanding segment)
    {
        _outstanding.Add(segment);
        _unrecorded = null;
        _recordAt = Instant.Never;
        _acksOwed = 0;
        _ackAt = Instant.Never;
    }

    private bool HoldsRemainder(Instant now)
    {
        if (!HasNagle || _outstanding.Count == 0 || _nagleExpired)
        {
            _nagleExpired = false;
        }
        else if (_allAcknowledged)
        {
            _allAcknowledged = false;
        }
        else
        {
            _nagleAt = _nagleAt == Instant.Never ? now + NagleWait : _nagleAt;
            return true;
        }
        _nagleAt = Instant.Never;
        return false;
    }

    private void OnTick(Instant now)
    {
        if (now - _lastRetransmission < _rto || _outstanding.Find(s => !s.Sacked) is not { } segment || now - segment.SentAt <= _rto)
        {
            return;
        }
        if (segment.Transmissions >= MaxTransmissions)
        {
            Emit(PacketFlags.Rst, 0, 0, 0, []);
            WasAbandoned = true;
            Remove();
            return;
        }
        if (!_recovering)
        {
            _ssthresh = Math.Max(4096, _cwnd / 2);
            _cwnd = 40960;
            _recovering = true;
            _recoveryPoint = _next;
            _rto = TimeSpan.FromTicks(Math.Min(2 * _rto.Ticks, TimeSpan.FromSeconds(10).Ticks));
        }
        TimeoutRetransmissions++;
        _lastRetransmission = now;
        Repeat(now, segment);
    }

    private void Repeat(Instant now, Outstanding segment)
    {
        segment.Transmissions++;
        segment.SentAt = now;
        Emit(PacketFlags.Ack, segment.Sequence, _expected, FreeSlots, segment.Data);
    }

    private void Sample(TimeSpan roundTrip)
    {
        if (!_hasRtt)
        {
            _hasRtt = true;
            _srtt = roundTrip;
            _rttvar = roundTrip / 2;
        }
        else
        {
            TimeSpan difference = (_srtt - roundTrip).Duration();
            _rttvar = (_rttvar * 3 / 4) + (difference / 4);
            _srtt = (_srtt * 7 / 8) + (roundTrip / 8);
        }
        long rto = _srtt.Ticks + Math.Max(10 * TimeSpan.TicksPerMillisecond, 4 * _rttvar.Ticks);
        _rto = TimeSpan.FromTicks(Math.Clamp(rto, TimeSpan.FromMilliseconds(200).Ticks, TimeSpan.FromSeconds(10).Ticks));
    }
}
