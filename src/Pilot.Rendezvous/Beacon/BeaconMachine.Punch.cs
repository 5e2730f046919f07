using Pilot.Protocol;

namespace Pilot.Rendezvous.Beacon;

// Hole punching (spec 04 sections 3.3, 3.4 and 4.5), also across beacons.
public sealed partial class BeaconMachine
{
    private readonly Dictionary<(uint Requester, uint Target), DateTimeOffset> _punches = [];

    private void HandlePunchRequest(DateTimeOffset now, UdpEndpoint source, ReadOnlySpan<byte> datagram, IBeaconSink sink)
    {
        if (!BeaconPunchRequest.TryParse(datagram, out BeaconPunchRequest punch) || !_requests.TryTake(now, source.Ip, out _) || punch.Requester == punch.Target)
        {
            return;
        }

        BeaconPunchRequestExtension extension = default;
        bool extended = _options.Extends && BeaconPunchRequestExtension.TryParse(datagram, out extension);
        if (!TryBind(now, punch.Requester, source, signed: false) || !_nodes.TryGet(punch.Requester, out NodeEntry? requester))
        {
            return;
        }

        requester.Received += datagram.Length;
        bool allowed = MayPunch(now, punch, requester);
        if (_punches.Count < _options.MaxNodes)
        {
            _punches[(punch.Requester, punch.Target)] = now;
        }

        if (!allowed || !_commands.TryTake(now, punch.Target, out _))
        {
            Refuse(extended, extension, punch, requester, sink);
            return;
        }

        if (TryGetFresh(now, punch.Target, out NodeEntry? target))
        {
            SendCommand(requester, target!.Source, punch.Target, sink);
            SendCommand(target, source, punch.Requester, sink);
        }
        else if (_options.Extends && TryGetElsewhere(now, punch.Target, out UdpEndpoint beacon) && IsOurs(now, beacon))
        {
            SendForward(now, BeaconExtensionType.PunchForward, punch.Requester, punch.Target, extension.Token, source, beacon, sink);
        }
        else
        {
            Refuse(extended, extension, punch, requester, sink);
        }
    }

    // The same words for "not known" and "not for you".
    private void Refuse(bool extended, BeaconPunchRequestExtension extension, BeaconPunchRequest punch, NodeEntry requester, IBeaconSink sink)
    {
        if (extended && MayReceive(requester, BeaconPunchRefused.Size))
        {
            Span<byte> refused = stackalloc byte[BeaconPunchRefused.Size];
            sink.Send(requester.Source, refused[..new BeaconPunchRefused(extension.Token, punch.Target).Write(refused)]);
        }
    }

    private void SendCommand(NodeEntry receiver, UdpEndpoint endpoint, uint other, IBeaconSink sink)
    {
        Span<byte> command = stackalloc byte[BeaconPunchCommandExtension.MaxSize];
        int length = receiver.Token != 0
            ? new BeaconPunchCommandExtension(receiver.Token, other).Write(command, endpoint)
            : new BeaconPunchCommand(endpoint).Write(command);
        if (MayReceive(receiver, length))
        {
            sink.Send(receiver.Source, command[..length]);
        }
    }

    // Nothing goes out to a stranger, also not to the target alone: its punch packets would show its address just as well.
    private bool MayPunch(DateTimeOffset now, BeaconPunchRequest punch, NodeEntry requester)
    {
        if (!Has(BeaconRules.PunchPrivacy) || _directory is null)
        {
            return true;
        }

        bool proven = requester.Signed || !_directory.HasProofs || _directory.HasProof(punch.Requester, requester.Source.Ip, now - _options.ProofAge);
        bool mutual = _punches.TryGetValue((punch.Target, punch.Requester), out DateTimeOffset at) && now - at <= _options.MutualPunchWindow;
        return proven && (mutual || _directory.MayPunch(punch.Requester, punch.Target));
    }

    private void HandleForward(DateTimeOffset now, UdpEndpoint source, BeaconExtensionType type, ReadOnlySpan<byte> datagram, IBeaconSink sink)
    {
        if (!BeaconForward.TryParse(datagram, type, out BeaconForward forward) || !IsAuthentic(now, forward.Time, forward.Verify(_options.Key)))
        {
            return;
        }

        switch (type)
        {
            case BeaconExtensionType.ProbeForward when _places.HasHidden:
                Span<byte> probe = stackalloc byte[BeaconProbeAnswer.MaxSize];
                sink.Send(BeaconOrigin.Hidden, forward.Endpoint, probe[..new BeaconProbeAnswer(BeaconProbeKind.OtherBeacon, forward.Token, null).Write(probe)]);
                break;
            case BeaconExtensionType.PunchForward when TryGetFresh(now, forward.Target, out NodeEntry? target) && _commands.TryTake(now, forward.Target, out _):
                SendCommand(target!, forward.Endpoint, forward.Requester, sink);
                SendForward(now, BeaconExtensionType.PunchFound, forward.Requester, forward.Target, forward.Token, target!.Source, source, sink);
                break;
            case BeaconExtensionType.PunchFound when TryGetFresh(now, forward.Requester, out NodeEntry? requester)
                && _punches.TryGetValue((forward.Requester, forward.Target), out DateTimeOffset asked) && now - asked <= _options.MutualPunchWindow:
                SendCommand(requester!, forward.Endpoint, forward.Target, sink);
                break;
        }
    }
}
