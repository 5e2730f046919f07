using System.Buffers.Binary;
using Pilot.Engine;
using Pilot.Protocol;

namespace Pilot.Daemon.PortMapping;

/// <summary>PCP (RFC 6887): ANNOUNCE tells who speaks it, MAP with one nonce for the mapping's life.</summary>
/// <param name="server">Gateway address and server port.</param>
/// <param name="own">Our address toward the gateway; the server refuses another one, which shows a NAT between.</param>
/// <param name="internalPort">Our port.</param>
/// <param name="random">Makes the nonce, which only the gateway sees: answers without it are not from there.</param>
internal sealed class PcpMapper(UdpEndpoint server, UdpEndpoint own, ushort internalPort, IRandomSource random) : UdpMapper(server)
{
    private readonly UInt128 _nonce = MakeNonce(random);

    public override PortMappingProtocol Protocol => PortMappingProtocol.Pcp;

    public override void OnDatagram(Instant now, UdpEndpoint source, ReadOnlySpan<byte> data)
    {
        if (source != Server || !PcpMessages.TryParse(data, out var answer) || State is MapperState.Silent or MapperState.Refused)
        {
            return;
        }

        if (!answer.IsMapping)
        {
            OnAnnouncement(now, answer);
        }
        else if (answer.Nonce == _nonce && answer.Protocol == PcpMessages.Udp && answer.InternalPort == internalPort)
        {
            OnMapping(now, answer);
        }
    }

    protected override void SendQuestion()
    {
        byte[] request;
        if (State == MapperState.Asking)
        {
            request = new byte[PcpMessages.AnnounceRequestSize];
            PcpMessages.WriteAnnounceRequest(request, own);
        }
        else
        {
            request = new byte[PcpMessages.MapRequestSize];
            var isRelease = State == MapperState.Releasing;
            var suggested = isRelease ? UdpEndpoint.FromIPv4(0, 0) : Lease?.External ?? UdpEndpoint.FromIPv4(0, internalPort);
            PcpMessages.WriteMapRequest(request, own, _nonce, internalPort, suggested, isRelease ? 0 : (uint)PortMappingConstants.Lifetime.TotalSeconds);
        }

        Send(new MapperOutput.Datagram(Server, request));
    }

    private void OnAnnouncement(Instant now, in PcpAnswer answer)
    {
        if (State == MapperState.Asking)
        {
            if (answer.Result is PcpMessages.UnsupportedVersion or PcpMessages.NotAuthorized)
            {
                Refuse(now, PcpMessages.ErrorText(answer.Result));
                return;
            }

            Answered(); // also "unsupported opcode": it is a PCP server, and MAP is another opcode
        }

        CheckEpoch(now, answer.Epoch);
    }

    private void OnMapping(Instant now, in PcpAnswer answer)
    {
        if (State is not (MapperState.Mapping or MapperState.Mapped or MapperState.Releasing))
        {
            return;
        }

        CheckEpoch(now, answer.Epoch);
        if (answer.Result != 0)
        {
            Refuse(now, PcpMessages.ErrorText(answer.Result));
        }
        else if (State == MapperState.Releasing)
        {
            if (answer.LifetimeSeconds == 0)
            {
                End(MapperState.Silent);
            }
        }
        else if (answer.LifetimeSeconds != 0 && answer.External.Port != 0)
        {
            Granted(now, answer.External, answer.LifetimeSeconds);
        }
    }

    private static UInt128 MakeNonce(IRandomSource random)
    {
        Span<byte> bytes = stackalloc byte[PcpMessages.NonceSize];
        random.Fill(bytes);
        return new UInt128(BinaryPrimitives.ReadUInt32BigEndian(bytes), BinaryPrimitives.ReadUInt64BigEndian(bytes[4..]));
    }
}
