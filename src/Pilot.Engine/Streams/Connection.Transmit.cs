using Pilot.Protocol;

namespace Pilot.Engine.Streams;

// What leaves next, and the writing of packets. The node pulls one packet at a time.
public sealed partial class Connection
{
    private enum Output
    {
        None, Reset, Syn, SynAck, FinAck, Report, Sack, Duplicate, Retransmit, TailProbe, NewData, OldByte, Fin, Ack, Quiet,
    }

    private long _sendNext;          // stream offset of the next byte to be sent for the first time
    private int _pathSegment = StreamConstants.InitialSegmentPayload;
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
        if (_peerIsStarved)
        {
            return _oldBytePending ? Output.OldByte : Output.None;
        }
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
            NoteNothingToSend();
            return Output.None;
        }
        if (!WindowAllowsSegment())
        {
            NoteNothingToSend();
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

    /// <summary>Payload bytes of a new segment: path, peer, and 4096 toward references.</summary>
    private int EffectiveSegment => Math.Min(
        _pathSegment, PeerIsExtended ? _peerOptions.MaxSegment : StreamConstants.MaxReferenceSegmentPayload);

    /// <summary>The largest payload that <see cref="TryTransmit"/> may write now: toward a reference also that of segments sent before the path became narrower, because it must get the original boundaries again (5.3).</summary>
    internal int LargestPayload => PeerIsExtended ? _pathSegment : Math.Max(_pathSegment, StreamConstants.MaxReferenceSegmentPayload);

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
        // behind a hole a reference keeps 128 segments and drops the rest: where one was lost, the next hole is not far
        int limit = _send.Start >= _carefulUpTo ? _peerSegments : Math.Min((int)_peerSegments, StreamConstants.ReferenceReorderStore);
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
}
