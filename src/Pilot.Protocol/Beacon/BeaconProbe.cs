using System.Buffers.Binary;

namespace Pilot.Protocol;

/// <summary>From where a beacon is to probe.</summary>
public enum BeaconProbeKind : byte
{
    /// <summary>The same address, a port that is never told.</summary>
    OtherPort = 1,

    /// <summary>The beacon's other address, a port that is never told.</summary>
    OtherAddress = 2,

    /// <summary>Another beacon, from a port that is never told.</summary>
    OtherBeacon = 3,

    /// <summary>The first told port: is a mapping to it still open?</summary>
    ToldPort = 4,
}

/// <summary>Node to beacon: send a datagram to my endpoint from elsewhere (docs/wire.md).</summary>
/// <param name="Kind">From where.</param>
/// <param name="Token">Echoed.</param>
/// <param name="Cookie">The beacon's cookie for <paramref name="Endpoint"/>; without the right one nothing is sent.</param>
/// <param name="Endpoint">Where to send: an endpoint at which this node got a DISCOVER_REPLY of this beacon.</param>
public readonly record struct BeaconProbe(BeaconProbeKind Kind, ulong Token, ulong Cookie, UdpEndpoint Endpoint)
{
    /// <summary>Bytes of the message: more than both answers together.</summary>
    public const int Size = 48;

    /// <summary>Reads a message; trailing bytes are ignored. Never throws.</summary>
    public static bool TryParse(ReadOnlySpan<byte> datagram, out BeaconProbe message)
    {
        message = default;
        if (!BeaconExtension.Is(datagram, BeaconExtensionType.Probe, Size) || !BeaconExtension.HasMarker(datagram[1..])
            || (BeaconProbeKind)datagram[5] is not (>= BeaconProbeKind.OtherPort and <= BeaconProbeKind.ToldPort)
            || !BeaconExtension.TryReadEndpoint(datagram[22..], out UdpEndpoint endpoint, out _) || endpoint.Port == 0)
        {
            return false;
        }

        message = new BeaconProbe(
            (BeaconProbeKind)datagram[5], BinaryPrimitives.ReadUInt64BigEndian(datagram[6..]), BinaryPrimitives.ReadUInt64BigEndian(datagram[14..]), endpoint);
        return true;
    }

    /// <summary>Writes the message; returns 48.</summary>
    public int Write(Span<byte> destination)
    {
        destination[..Size].Clear();
        destination[0] = (byte)BeaconExtensionType.Probe;
        BeaconExtension.WriteMarker(destination[1..]);
        destination[5] = (byte)Kind;
        BinaryPrimitives.WriteUInt64BigEndian(destination[6..], Token);
        BinaryPrimitives.WriteUInt64BigEndian(destination[14..], Cookie);
        BeaconExtension.WriteEndpoint(destination[22..], Endpoint);
        return Size;
    }
}

/// <summary>Beacon to node: the probe itself, or from the asked beacon the note that it was sent.</summary>
/// <param name="Kind">As asked.</param>
/// <param name="Token">Of the request.</param>
/// <param name="Prober">Null in the probe itself; in the note the address (port 0 when it is not told) that it came from.</param>
public readonly record struct BeaconProbeAnswer(BeaconProbeKind Kind, ulong Token, UdpEndpoint? Prober)
{
    /// <summary>Longest message in bytes.</summary>
    public const int MaxSize = ProbeSize + BeaconExtension.MaxEndpointSize;

    private const int ProbeSize = 10;
    private const byte NoteFlag = 0x80;

    /// <summary>Reads a message; trailing bytes are ignored. Never throws.</summary>
    public static bool TryParse(ReadOnlySpan<byte> datagram, out BeaconProbeAnswer message)
    {
        message = default;
        if (!BeaconExtension.Is(datagram, BeaconExtensionType.ProbeAnswer, ProbeSize))
        {
            return false;
        }

        var kind = (BeaconProbeKind)(datagram[1] & ~NoteFlag);
        if (kind is < BeaconProbeKind.OtherPort or > BeaconProbeKind.ToldPort)
        {
            return false;
        }

        UdpEndpoint? prober = null;
        if ((datagram[1] & NoteFlag) != 0)
        {
            if (!BeaconExtension.TryReadEndpoint(datagram[ProbeSize..], out UdpEndpoint from, out _))
            {
                return false;
            }

            prober = from;
        }

        message = new BeaconProbeAnswer(kind, BinaryPrimitives.ReadUInt64BigEndian(datagram[2..]), prober);
        return true;
    }

    /// <summary>Writes the message; returns the length.</summary>
    public int Write(Span<byte> destination)
    {
        destination[0] = (byte)BeaconExtensionType.ProbeAnswer;
        destination[1] = (byte)((byte)Kind | (Prober is null ? 0 : NoteFlag));
        BinaryPrimitives.WriteUInt64BigEndian(destination[2..], Token);
        return ProbeSize + (Prober is { } prober ? BeaconExtension.WriteEndpoint(destination[ProbeSize..], prober) : 0);
    }
}

/// <summary>Our datagram to our own outside endpoint: comes back when the NAT hairpins. <c>PILP</c> to everybody else.</summary>
/// <param name="Token">Shows that it is ours.</param>
public readonly record struct HairpinProbe(ulong Token)
{
    /// <summary>Bytes of the message.</summary>
    public const int Size = 16;

    /// <summary>Reads a message. Never throws.</summary>
    public static bool TryParse(ReadOnlySpan<byte> datagram, out HairpinProbe message)
    {
        bool ok = datagram.Length == Size && TunnelFrame.HasMagic(datagram, TunnelFrame.PunchMagic, Size) && BeaconExtension.HasMarker(datagram[4..]);
        message = ok ? new HairpinProbe(BinaryPrimitives.ReadUInt64BigEndian(datagram[8..])) : default;
        return ok;
    }

    /// <summary>Writes the message; returns 16.</summary>
    public int Write(Span<byte> destination)
    {
        BinaryPrimitives.WriteUInt32BigEndian(destination, TunnelFrame.PunchMagic);
        BeaconExtension.WriteMarker(destination[4..]);
        BinaryPrimitives.WriteUInt64BigEndian(destination[8..], Token);
        return Size;
    }
}
