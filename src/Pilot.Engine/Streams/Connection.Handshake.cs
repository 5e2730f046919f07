using Pilot.Protocol;

namespace Pilot.Engine.Streams;

// Opening (chapter 02 section 4): SYN schedule, check of the SYN-ACK, identical repeats, option lists.
public sealed partial class Connection
{
    private Instant _dialedAt;
    private Instant _handshakeSentAt;
    private int _synsSent;
    private int _synAcksSent;
    private int _staleAnswers;
    private int _dialStep = 1;
    private bool _synPending;
    private bool _synAckPending;
    private bool _peerOfferedList;
    private bool _peerHeard;       // something with an acknowledgement came after the handshake
    private SynOptions _peerOptions;
    private PacketHeader? _earlyFin;

    /// <summary>Starts a dial. The first SYN waits in <see cref="TryTransmit"/>.</summary>
    /// <param name="id">Local id.</param>
    /// <param name="local">Own address.</param>
    /// <param name="localPort">Own port.</param>
    /// <param name="remote">Address of the peer; network 0 toward references (18 rule 18).</param>
    /// <param name="remotePort">Port of the peer.</param>
    /// <param name="initialSequence">Random number. The node draws 31 bits, so that the wrap, where a reference under-reports SACK, comes late (4.1).</param>
    /// <param name="options">Tunable numbers.</param>
    /// <param name="pool">Chunks of the event loop.</param>
    /// <param name="now">Time.</param>
    /// <param name="timeout">Limit of the dial; zero or less for the default.</param>
    internal static Connection Dial(
        uint id, PilotAddress local, ushort localPort, PilotAddress remote, ushort remotePort, uint initialSequence,
        ConnectionOptions options, ChunkPool pool, Instant now, TimeSpan timeout)
    {
        Connection connection = new(id, local, localPort, remote, remotePort, initialSequence, options, pool)
        {
            IsDialer = true,
            State = ConnectionState.SynSent,
            _dialedAt = now,
            _synPending = true,
        };
        connection._timers[TimerKind.DialLimit] = now + (timeout > TimeSpan.Zero ? timeout : options.DialTimeout);
        connection.ScheduleNextSyn();
        return connection;
    }

    /// <summary>Accepts a SYN that the node has admitted. The connection is open at once; the SYN-ACK waits in <see cref="TryTransmit"/>.</summary>
    internal static Connection Accept(
        uint id, in PacketHeader syn, ReadOnlySpan<byte> payload, uint initialSequence,
        ConnectionOptions options, ChunkPool pool, Instant now)
    {
        Connection connection = new(
            id, syn.Destination, syn.DestinationPort, syn.Source, syn.SourcePort, initialSequence, options, pool)
        {
            State = ConnectionState.SynReceived,
            _remoteIsn = syn.Sequence,
            _synAckPending = true,
        };
        connection.TakePeerOptions(payload);
        connection.Establish(now, syn.Window);
        return connection;
    }

    /// <summary>A SYN of this tuple that does not repeat the one of this connection: the peer has started anew. The node drops the connection with <see cref="Replace"/> and treats the SYN as new.</summary>
    /// <param name="syn">The SYN.</param>
    /// <param name="isNewProcess">It came under another key of the peer than the packets before. A reference has one key per process, and after a restart it begins with the same ports and the same initial number 0 again.</param>
    internal bool IsNewIncarnation(in PacketHeader syn, bool isNewProcess = false) =>
        State is not (ConnectionState.SynSent or ConnectionState.SynReceived)
        && (syn.Sequence != _remoteIsn || (isNewProcess && !PeerIsExtended && (_peerHeard || State == ConnectionState.TimeWait)));

    /// <summary>Ends the connection because its peer has started anew; nothing is sent.</summary>
    internal void Replace(Instant now)
    {
        if (State is ConnectionState.TimeWait or ConnectionState.Closed)
        {
            Remove();
            return;
        }
        End(now, ConnectionError.Reset, sendReset: false);
    }

    private void ScheduleNextSyn()
    {
        IReadOnlyList<TimeSpan> schedule = _options.DialSchedule;
        int beyond = Math.Max(0, _dialStep - schedule.Count + 1);
        _timers[TimerKind.Dial] = _dialedAt + schedule[Math.Min(_dialStep, schedule.Count - 1)] + (beyond * _options.DialInterval);
        _dialStep++;
    }

    private void OnDialTimer()
    {
        _synPending = true;
        ScheduleNextSyn();
    }

    private void OnSyn(in PacketHeader header, ReadOnlySpan<byte> payload)
    {
        if (State == ConnectionState.SynSent)
        {
            // both sides dialled with the same ports: each answers, each is opened by the other's answer
            _remoteIsn = header.Sequence;
            TakePeerOptions(payload);
            _synAckPending = true;
        }
        else if (State != ConnectionState.Closed && header.Sequence == _remoteIsn)
        {
            _synAckPending = true;
        }
    }

    private void OnSynAck(Instant now, in PacketHeader header, ReadOnlySpan<byte> payload)
    {
        if (State != ConnectionState.SynSent)
        {
            return;
        }
        if (header.Acknowledgement != unchecked(_localIsn + 1))
        {
            // an old connection of the peer with these ports: RST removes it, a new SYN opens ours (4.4)
            if (_staleAnswers < StreamConstants.MaxStaleAnswers)
            {
                _staleAnswers++;
                _resetPending = true;
                _synPending = true;
            }
            return;
        }
        TakePeerOptions(payload);
        _remoteIsn = header.Sequence;
        if (_synsSent > 1 && !_peerOfferedList)
        {
            // a reference answers a repeated SYN with its next number, but its ISN is always 0 and it still repeats from 1 (4.4)
            _remoteIsn = 0;
        }
        if (_synsSent == 1)
        {
            _rtt.Add(now, now - _handshakeSentAt);
        }
        _peerHeard = true;
        Establish(now, header.Window);
        FitReceiveBufferToDistance();
        _acks.RequestNow();
        Raise(ConnectionSignals.Opened);
        if (_earlyFin is { } fin)
        {
            _earlyFin = null;
            OnFin(now, fin);
        }
    }

    private void TakePeerOptions(ReadOnlySpan<byte> payload)
    {
        _peerOfferedList = SynOptions.TryParse(payload, out _peerOptions);
        PeerIsExtended = _peerOfferedList && _options.OfferExtensions;
        Features = PeerIsExtended ? _peerOptions.Features & _ownOptions.Features : StreamFeatures.None;
        _receiveLimit = Math.Min(HasByteWindow ? _options.ReceiveBufferNear : _options.ReceiveBufferStart, _options.ReceiveBufferLimit);
        _advertisedEdge = _receiveLimit;
    }

    private void Establish(Instant now, ushort window)
    {
        _synPending = false;
        _timers.Clear();
        State = ConnectionState.Established;
        _lastReceived = _lastSent = _progressAt = _lastData = now;
        if (HasByteWindow)
        {
            _peerEdge = _peerOptions.InitialWindow;
        }
        else
        {
            _peerSegments = Math.Max((ushort)1, window);
        }
        _timers[TimerKind.KeepAlive] = now + _options.KeepAlive;
        _timers[TimerKind.Liveness] = now + _options.LivenessProbe;
        if (_options.IdleTimeout > TimeSpan.Zero)
        {
            _timers[TimerKind.Idle] = now + _options.IdleTimeout;
        }
        OnSegmentSizeChanged(0);
        if (_writeShut)
        {
            BeginShutdown(now);
        }
    }

    // The first packet with an acknowledgement of our SYN-ACK: it brings the responder's first round trip sample.
    private void OnPeerHeard(Instant now)
    {
        if (!_peerHeard)
        {
            _peerHeard = true;
            if (_synAcksSent == 1)
            {
                _rtt.Add(now, now - _handshakeSentAt);
            }
            FitReceiveBufferToDistance();
        }
    }

    private int WriteSyn(Instant now, Span<byte> packet, PacketFlags flags)
    {
        _handshakeSentAt = now;
        _synPending &= flags != PacketFlags.Syn;
        PacketHeader header = HeaderFor(flags, _localIsn);
        if (flags == PacketFlags.Syn)
        {
            _synsSent++;
        }
        else
        {
            _synAckPending = false;
            _synAcksSent++;
            header.Acknowledgement = unchecked(_remoteIsn + 1);
        }
        // as a reference reads it; constants, so that repeats are identical
        header.Window = (ushort)Math.Min(ushort.MaxValue, Math.Min(_options.ReceiveBufferStart, _options.ReceiveBufferLimit) / StreamConstants.ReferenceSegmentSize);
        bool withList = _options.OfferExtensions && (flags == PacketFlags.Syn || _peerOfferedList);
        int length = withList ? _ownOptions.Write(packet[Packet.HeaderSize..]) : 0;
        return Packet.WriteHeader(packet, header, length);
    }
}
