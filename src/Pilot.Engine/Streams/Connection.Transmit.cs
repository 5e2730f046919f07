using Pilot.Protocol;

namespace Pilot.Engine.Streams;

// What leaves next, and the writing of packets. The node pulls one packet at a time.
public sealed partial class Connection
{
    private enum Output
    {
        None, Reset, Syn, SynAck, FinAck, Report, Sack, Duplicate, Retransmit, TailProbe, NewData, OldByte, Fin, Ack, Quiet,
    }

    private Pacer _pacer;
    private long _sendNext;          // stream offset of the next byte to be sent for the first time
    private int _pathSegment = StreamConstants.InitialSegmentPayload;
    private long _limitedUpTo;       // the congestion window kept data back when this was the next offset to be sent
    private Instant _lastSent;

    /// <summary>A packet would leave now.</summary>
    internal bool HasSomethingToSend(Instant now) => Select(now) != Output.None;

    /// <summary>Writes one complete packet (header, payload, checksum) if something is to leave now.</summary>
    /// <param name="now">Time.</param>
    /// <param name="packet">Room for 34 bytes and the largest segment payload; less room makes new segments shorter.</param>
    /// <param name="length">Bytes written.</param>
    internal bool TryTransmit(Instant now, Span<byte> packet, out int length)
    {
        Output output = Select(now);
        length = output switch
        {
            Output.None => 0,
            Output.Reset => WriteReset(packet),
            Output.Syn => WriteSyn(now, packet, PacketFlags.Syn),
            Output.SynAck => WriteSyn(now, packet, PacketFlags.Syn | PacketFlags.Ack),
            Output.FinAck => WriteFinAck(packet),
            Output.Fin => WriteFin(now, packet),
            Output.Report => WriteReport(packet),
            Output.Sack => WriteSack(packet),
            Output.Duplicate => WriteDuplicate(packet),
            Output.Retransmit => WriteRepeat(now, packet, _sent.FirstLost()),
            Output.TailProbe => WriteTailProbe(now, packet),
            Output.NewData => WriteNewData(now, packet, NextSegmentLength(packet.Length - Packet.HeaderSize)),
            Output.OldByte => WriteOldByte(packet),
            Output.Quiet => WriteQuiet(packet),
            Output.Ack or _ => WriteAck(packet),
        };
        if (output == Output.None)
        {
            return false;
        }
        _lastSent = now;
        UpdateReceiveTimers(now);
        return true;
    }

    private Output Select(Instant now)
    {
        if (_resetPending)
        {
            return Output.Reset;
        }
        if (!IsOpen)
        {
            return State == ConnectionState.Closed ? Output.None
                : _synAckPending ? Output.SynAck
                : _synPending ? Output.Syn
                : _finAckPending ? Output.FinAck
                : Output.None;
        }
        if (_synAckPending)
        {
            return Output.SynAck;
        }
        if (_finAckPending)
        {
            return Output.FinAck;
        }
        bool ackIsDue = _acks.IsDue(now);
        if (HasReports)
        {
            if (ackIsDue && _receive.RunCount > 0)
            {
                return Output.Report; // data packets cannot carry it
            }
        }
        else if (_holes.DuplicateIsDue)
        {
            return Output.Duplicate;
        }
        else if (_holes.SackIsDue(now) && _receive.RunCount > 0)
        {
            return Output.Sack;
        }
        Output data = SelectData(now);
        if (data != Output.None)
        {
            return data;
        }
        if (FinIsDue)
        {
            return Output.Fin;
        }
        return ackIsDue ? Output.Ack : _quietPending ? Output.Quiet : Output.None;
    }

    private Output SelectData(Instant now)
    {
        if (_sent.LostCount > 0)
        {
            if (_timeoutPending)
            {
                return Output.Retransmit;
            }
            int length = _sent[_sent.FirstLost()].Length;
            return CongestionAllows(length) && PacingAllows(now, length) ? Output.Retransmit : Output.None;
        }
        if (_tailProbePending)
        {
            return Output.TailProbe;
        }
        if (_oldBytePending)
        {
            return Output.OldByte;
        }
        if (_sendNext == _send.End)
        {
            return Output.None;
        }
        if (!WindowAllowsSegment())
        {
            if (_windowProbePending)
            {
                return Output.NewData;
            }
            StartWindowProbe(now);
            return Output.None;
        }
        int segment = (int)Math.Min(EffectiveSegment, _send.End - _sendNext);
        if (!CongestionAllows(segment))
        {
            _limitedUpTo = _sendNext;
            return Output.None;
        }
        return PacingAllows(now, segment) ? Output.NewData : Output.None;
    }

    private bool CongestionAllows(int bytes) =>
        _sent.BytesInFlight == 0 || _sent.BytesInFlight + bytes <= _congestion.Window;

    private bool PacingAllows(Instant now, int bytes)
    {
        long rate = PacingRate;
        if (_pacer.CanSend(now, rate, BurstBytes))
        {
            return true;
        }
        _timers[TimerKind.Pacing] = _pacer.NextRelease(now, rate, bytes);
        return false;
    }

    private long PacingRate
    {
        get
        {
            if (_congestion.PacingRate > 0)
            {
                return _congestion.PacingRate;
            }
            // before the first sample as if the round trip were 10 ms; later twice the window per round trip while it doubles
            long ticks = _rtt.HasSample ? Math.Max(1, _rtt.Smoothed.Ticks) : 10 * TimeSpan.TicksPerMillisecond;
            long window = _congestion.Window;
            long scaled = window < _congestion.SlowStartThreshold ? 2 * window : window + window / 4;
            return (long)Math.Min(long.MaxValue / 4, (double)scaled * TimeSpan.TicksPerSecond / ticks);
        }
    }

    private long BurstBytes
    {
        get
        {
            int segment = EffectiveSegment;
            if (!PeerIsExtended)
            {
                return (long)StreamConstants.ReferenceBurstSegments * segment;
            }
            return Math.Max((long)StreamConstants.ExtendedBurstSegments * segment, Math.Min(PacingRate / 500, 1 << 20));
        }
    }

    /// <summary>Payload bytes of a new segment: path, peer, and 4096 toward references.</summary>
    private int EffectiveSegment => Math.Min(
        _pathSegment, PeerIsExtended ? _peerOptions.MaxSegment : StreamConstants.MaxReferenceSegmentPayload);

    private void OnSegmentSizeChanged(int before)
    {
        int segment = EffectiveSegment;
        if (segment == before)
        {
            return;
        }
        _congestion.SetSegmentSize(segment);
        if (PeerIsExtended && segment < before && _sent.Count > 0)
        {
            _sent.Split(segment); // a reference must get the original boundaries again (5.3)
        }
    }

    /// <summary>The peer's window lets a new segment leave.</summary>
    private bool WindowAllowsSegment()
    {
        if (HasByteWindow)
        {
            long room = _peerEdge - _sendNext;
            if (room <= 0)
            {
                return false;
            }
            long wanted = Math.Min(EffectiveSegment, _send.End - _sendNext);
            return room >= wanted || !HasOutstanding;
        }
        int outstanding = _sent.Count;
        if (_peerSegments <= StreamConstants.NearlyFullWindow)
        {
            return _peerSegments > 0 && outstanding == 0;
        }
        // behind a hole a reference keeps 128 segments and drops the rest
        int limit = _recovery == Recovery.None ? _peerSegments : Math.Min((int)_peerSegments, StreamConstants.ReferenceReorderStore);
        return outstanding < limit;
    }

    private int NextSegmentLength(int room)
    {
        long length = Math.Min(Math.Min(EffectiveSegment, room), _send.End - _sendNext);
        if (HasByteWindow && _peerEdge > _sendNext)
        {
            length = Math.Min(length, _peerEdge - _sendNext);
        }
        return (int)length;
    }

    private int WriteNewData(Instant now, Span<byte> packet, int length)
    {
        _windowProbePending = false;
        Span<byte> payload = packet.Slice(Packet.HeaderSize, length);
        _send.CopyTo(_sendNext, payload);
        if (!HasReports && Sack.LooksLikeSack(payload))
        {
            length = 1; // a reference would swallow it as SACK (5.6)
        }
        if (!HasOutstanding)
        {
            _progressAt = now;
        }
        bool armed = _timers.IsSet(TimerKind.Retransmit) && HasOutstanding;
        _sent.Add(_sendNext, length, now);
        uint sequence = SendSequence(_sendNext);
        _sendNext += length;
        _bytesSent += length;
        OnSegmentSent(now, length);
        if (!armed || _retransmitTimerIsProbe)
        {
            ArmRetransmit(now);
        }
        return WriteSegment(packet, sequence, length);
    }

    private int WriteRepeat(Instant now, Span<byte> packet, long number)
    {
        bool isHead = number == _sent.First;
        _fastRetransmissions += _recovery == Recovery.Fast ? 1 : 0;
        _retransmissions++;
        _timeoutPending = false;
        _sent.Resend(number, now);
        ref SegmentRecord segment = ref _sent[number];
        _send.CopyTo(segment.Start, packet.Slice(Packet.HeaderSize, segment.Length));
        OnSegmentSent(now, segment.Length);
        if (isHead || !_timers.IsSet(TimerKind.Retransmit))
        {
            _timers[TimerKind.Retransmit] = now + BackedOffRto;
            _retransmitTimerIsProbe = false;
        }
        return WriteSegment(packet, SendSequence(segment.Start), segment.Length);
    }

    private int WriteTailProbe(Instant now, Span<byte> packet)
    {
        _tailProbePending = false;
        int length;
        if (_sendNext < _send.End && WindowAllowsSegment())
        {
            length = WriteNewData(now, packet, NextSegmentLength(packet.Length - Packet.HeaderSize));
        }
        else
        {
            length = WriteRepeat(now, packet, _sent.Next - 1);
        }
        _tailProbeEnd = _sendNext;
        _timers[TimerKind.Retransmit] = now + BackedOffRto;
        _retransmitTimerIsProbe = false;
        return length;
    }

    private void OnSegmentSent(Instant now, int length)
    {
        _segmentsSent++;
        _pacer.OnSent(Math.Max(length, StreamConstants.LeastPacedBytes));
        _congestion.OnSent(now, length, _sent.BytesInFlight);
    }

    // Data packets carry the acknowledgement that may be given, and so settle what is owed.
    private int WriteSegment(Span<byte> packet, uint sequence, int length) =>
        Packet.WriteHeader(packet, AcknowledgingHeader(PacketFlags.Ack, sequence), length);

    private int WriteAck(Span<byte> packet) =>
        Packet.WriteHeader(packet, AcknowledgingHeader(PacketFlags.Ack, SendSequence(_sendNext)), 0);

    private int WriteDuplicate(Span<byte> packet)
    {
        _holes.OnDuplicateSent();
        return WriteAck(packet);
    }

    private int WriteQuiet(Span<byte> packet)
    {
        _quietPending = false;
        if (HasReports)
        {
            return Packet.WriteHeader(packet, AcknowledgingHeader(PacketFlags.None, SendSequence(_sendNext)), 0);
        }
        PacketHeader header = AcknowledgingHeader(PacketFlags.Ack, SendSequence(_sendNext));
        int length = Sack.Write(packet[Packet.HeaderSize..], [new SackBlock(header.Acknowledgement, header.Acknowledgement)]);
        return Packet.WriteHeader(packet, header, length);
    }

    // A byte of what the peer has already: every peer answers it with an acknowledgement and its window (11).
    private int WriteOldByte(Span<byte> packet)
    {
        _oldBytePending = false;
        packet[Packet.HeaderSize] = 0; // dropped unseen: it lies before what is expected
        return WriteSegment(packet, unchecked(SendSequence(_send.Start) - 1), 1);
    }

    private int WriteSack(Span<byte> packet)
    {
        Span<SackBlock> blocks = stackalloc SackBlock[StreamConstants.ReferenceSackBlocks];
        int count = Math.Min(blocks.Length, _receive.RunCount);
        for (int i = 0; i < count; i++)
        {
            blocks[i] = BlockOf(_receive.Runs[i]); // the lowest runs, as the reference reports them (6.3)
        }
        _sackBlocksSent += count;
        PacketHeader header = AcknowledgingHeader(PacketFlags.Ack, SendSequence(_sendNext));
        _holes.OnSackSent(_acks.Sent, _acks.Sent == _receive.NextOffset);
        int length = Sack.Write(packet[Packet.HeaderSize..], blocks[..count]);
        return Packet.WriteHeader(packet, header, length);
    }

    private int WriteReport(Span<byte> packet)
    {
        Span<SackBlock> blocks = stackalloc SackBlock[StreamConstants.ExtendedSackBlocks];
        ReadOnlySpan<ByteRun> runs = _receive.Runs;
        int limit = Math.Min(blocks.Length, _peerOptions.SackBlocks);
        int count = 0;
        int newest = RunOf(_newestArrival);
        if (newest >= 0)
        {
            blocks[count++] = BlockOf(runs[newest]);
        }
        for (int i = 0; i < runs.Length && count < limit; i++)
        {
            if (i != newest)
            {
                blocks[count++] = BlockOf(runs[i]);
            }
        }
        _sackBlocksSent += count;
        PacketHeader header = AcknowledgingHeader(PacketFlags.None, SendSequence(_sendNext));
        return Packet.WriteHeader(packet, header, AckReport.Write(packet[Packet.HeaderSize..], blocks[..count]));
    }

    private int RunOf(long offset)
    {
        ReadOnlySpan<ByteRun> runs = _receive.Runs;
        int low = 0;
        int high = runs.Length - 1;
        while (low <= high)
        {
            int middle = (low + high) / 2;
            if (runs[middle].End <= offset)
            {
                low = middle + 1;
            }
            else if (runs[middle].Start > offset)
            {
                high = middle - 1;
            }
            else
            {
                return middle;
            }
        }
        return -1;
    }

    private SackBlock BlockOf(ByteRun run) => new(ReceiveSequence(run.Start), ReceiveSequence(run.End));

    private PacketHeader AcknowledgingHeader(PacketFlags flags, uint sequence)
    {
        PacketHeader header = HeaderFor(flags, sequence);
        _acks.OnSent();
        header.Acknowledgement = ReceiveSequence(_acks.Sent);
        header.Window = WindowField(_acks.Sent);
        _quietPending = false; // any packet with an acknowledgement is the sign of life
        return header;
    }

    private PacketHeader HeaderFor(PacketFlags flags, uint sequence) => new()
    {
        Protocol = PacketProtocol.Stream,
        Flags = flags,
        Source = LocalAddress,
        Destination = RemoteAddress,
        SourcePort = LocalPort,
        DestinationPort = RemotePort,
        Sequence = sequence,
    };

    private int WriteReset(Span<byte> packet)
    {
        _resetPending = false;
        if (State == ConnectionState.Closed)
        {
            Remove();
        }
        return Packet.WriteHeader(packet, HeaderFor(PacketFlags.Rst, 0), 0);
    }
}
