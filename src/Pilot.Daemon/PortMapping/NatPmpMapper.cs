using Pilot.Engine;
using Pilot.Protocol;

namespace Pilot.Daemon.PortMapping;

/// <summary>NAT-PMP (RFC 6886): asks the external address, then the mapping; both again at each renewal.</summary>
internal sealed class NatPmpMapper(UdpEndpoint server, ushort internalPort) : UdpMapper(server)
{
    private UdpEndpoint _address = UdpEndpoint.FromIPv4(0, 0);
    private bool _isAddressKnown;

    public override PortMappingProtocol Protocol => PortMappingProtocol.NatPmp;

    public override void OnDatagram(Instant now, UdpEndpoint source, ReadOnlySpan<byte> data)
    {
        if (source != Server || !NatPmpMessages.TryParse(data, out var answer) || State is MapperState.Silent or MapperState.Refused)
        {
            return;
        }

        CheckEpoch(now, answer.Epoch);
        if (answer.IsMapping)
        {
            OnMapping(now, answer);
        }
        else if (State == MapperState.Asking || (State is MapperState.Mapping or MapperState.Mapped && !_isAddressKnown))
        {
            OnAddress(now, answer);
        }
        else if (answer.Result == 0 && NatPmpMessages.AddressOf(answer) != _address)
        {
            RenewSoon(now); // the gateway announces a new outside address (RFC 6886 section 3.2.1)
        }
    }

    protected override void BeginRound() => _isAddressKnown = State is MapperState.Mapping or MapperState.Releasing;

    protected override void SendQuestion()
    {
        if (!_isAddressKnown)
        {
            var question = new byte[NatPmpMessages.AddressRequestSize];
            NatPmpMessages.WriteAddressRequest(question);
            Send(new MapperOutput.Datagram(Server, question));
            return;
        }

        var request = new byte[NatPmpMessages.MapRequestSize];
        var isRelease = State == MapperState.Releasing;
        NatPmpMessages.WriteMapRequest(
            request, internalPort, isRelease ? (ushort)0 : Lease?.External.Port ?? internalPort, isRelease ? 0 : (uint)PortMappingConstants.Lifetime.TotalSeconds);
        Send(new MapperOutput.Datagram(Server, request));
    }

    private void OnAddress(Instant now, in NatPmpAnswer answer)
    {
        if (answer.Result != 0)
        {
            Refuse(now, NatPmpMessages.ErrorText(answer.Result));
            return;
        }

        _address = NatPmpMessages.AddressOf(answer);
        if (State == MapperState.Asking)
        {
            Answered();
        }
        else
        {
            _isAddressKnown = true;
            Ask(now);
            HandleTimeout(now);
        }
    }

    private void OnMapping(Instant now, in NatPmpAnswer answer)
    {
        // An error may lack the port. A deletion is answered with lifetime 0, and so is nothing that we want.
        if (State is not (MapperState.Mapping or MapperState.Mapped or MapperState.Releasing) || !_isAddressKnown
            || (answer.InternalPort != internalPort && (answer.Result == 0 || answer.InternalPort != 0)))
        {
            return;
        }

        if (answer.Result != 0)
        {
            Refuse(now, NatPmpMessages.ErrorText(answer.Result));
        }
        else if (State == MapperState.Releasing)
        {
            if (answer.LifetimeSeconds == 0)
            {
                End(MapperState.Silent);
            }
        }
        else if (answer.LifetimeSeconds != 0 && answer.ExternalPort != 0)
        {
            Granted(now, _address with { Port = answer.ExternalPort }, answer.LifetimeSeconds);
        }
    }
}
