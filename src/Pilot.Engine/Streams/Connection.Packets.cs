using Pilot.Protocol;

namespace Pilot.Engine.Streams;

// The forms of packets that leave (chapter 02 section 1.2, docs/wire.md).
public sealed partial class Connection
{
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
        bool wasEmpty = _sent.BytesInFlight == 0;
        _sent.Add(_sendNext, length, now);
        _rate.OnSent(now, ref _sent[_sent.Next - 1], wasEmpty);
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
        bool wasEmpty = _sent.BytesInFlight == 0;
        _sent.Resend(number, now);
        ref SegmentRecord segment = ref _sent[number];
        _rate.OnSent(now, ref segment, wasEmpty);
        _send.CopyTo(segment.Start, packet.Slice(Packet.HeaderSize, segment.Length));
        OnSegmentSent(now, segment.Length);
        if (isHead || !_timers.IsSet(TimerKind.Retransmit))
        {
            _timers[TimerKind.Retransmit] = NextTimeout(now);
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
        _timers[TimerKind.Retransmit] = NextTimeout(now);
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
        Packet.WriteHeader(packet, AcknowledgingHeader(PacketFlags.Ack, sequence), length, withChecksum: !HasNoChecksum);

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
        // when not all fit: the lowest, whose holes hold the stream up, and the highest, whose first report may have been lost
        int skipped = Math.Max(0, runs.Length - limit);
        int lowest = skipped == 0 ? runs.Length : limit - Math.Min(limit / 2, StreamConstants.HighestSackRuns);
        for (int i = 0; i < runs.Length && count < limit; i++)
        {
            if (i == lowest)
            {
                i += skipped;
            }
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
