using System.Buffers.Binary;

namespace Pilot.Protocol;

/// <summary>Where an endpoint of an <see cref="EndpointsMessage"/> comes from.</summary>
public enum EndpointSource : byte
{
    /// <summary>A beacon saw the sender there.</summary>
    Mapped = 1,

    /// <summary>A private address of the sender's own network.</summary>
    Lan = 2,

    /// <summary>A port mapping or a global address of the sender.</summary>
    Other = 3,

    /// <summary>The sender's NAT is likely to use it for its next destination.</summary>
    Predicted = 4,
}

/// <summary>
/// Tells a peer of ours, inside the tunnel, where else it may reach us: a control packet to <see cref="Port"/>, which
/// references ignore (docs/wire.md, "Endpoints").
/// </summary>
/// <param name="WantsAnswer">The receiver is to send its own.</param>
/// <param name="NatType">What the sender measured of its NAT; the numbers stand in docs/wire.md.</param>
/// <param name="Endpoints">At most <see cref="MaxEndpoints"/>.</param>
public sealed record EndpointsMessage(bool WantsAnswer, byte NatType, IReadOnlyList<(EndpointSource Source, UdpEndpoint Endpoint)> Endpoints)
{
    /// <summary>Destination port of the control packet.</summary>
    public const ushort Port = 1;

    /// <summary>Most endpoints in one message.</summary>
    public const int MaxEndpoints = 24;

    /// <summary>Bytes of the largest message.</summary>
    public const int MaxSize = HeaderSize + (MaxEndpoints * (2 + UdpEndpoint.MaxIpSize + 2));

    private const int HeaderSize = 4;
    private const byte Version = 1;
    private const byte AnswerFlag = 1;

    /// <summary>Writes the message; returns its length.</summary>
    /// <param name="destination">At least <see cref="MaxSize"/> bytes.</param>
    public int Write(Span<byte> destination)
    {
        int count = Math.Min(Endpoints.Count, MaxEndpoints);
        destination[0] = Version;
        destination[1] = WantsAnswer ? AnswerFlag : (byte)0;
        destination[2] = NatType;
        destination[3] = (byte)count;
        int offset = HeaderSize;
        for (int i = 0; i < count; i++)
        {
            (EndpointSource source, UdpEndpoint endpoint) = Endpoints[i];
            destination[offset] = (byte)source;
            int length = endpoint.WriteIp(destination[(offset + 2)..]);
            destination[offset + 1] = (byte)length;
            BinaryPrimitives.WriteUInt16BigEndian(destination[(offset + 2 + length)..], endpoint.Port);
            offset += 2 + length + 2;
        }

        return offset;
    }

    /// <summary>Parses a message. Entries of unknown sources and bytes behind the last entry are skipped; false if it is cut off or of another version.</summary>
    public static bool TryParse(ReadOnlySpan<byte> payload, out EndpointsMessage message)
    {
        message = Empty;
        if (payload.Length < HeaderSize || payload[0] != Version || payload[3] > MaxEndpoints)
        {
            return false;
        }

        var endpoints = new List<(EndpointSource, UdpEndpoint)>(payload[3]);
        int offset = HeaderSize;
        for (int i = 0; i < payload[3]; i++)
        {
            if (payload.Length - offset < 2 || payload[offset + 1] is not (4 or 16) || payload.Length - offset < 4 + payload[offset + 1])
            {
                return false;
            }

            var source = (EndpointSource)payload[offset];
            int length = payload[offset + 1];
            ushort port = BinaryPrimitives.ReadUInt16BigEndian(payload[(offset + 2 + length)..]);
            if (source is >= EndpointSource.Mapped and <= EndpointSource.Predicted)
            {
                endpoints.Add((source, UdpEndpoint.FromBytes(payload.Slice(offset + 2, length), port)));
            }

            offset += 4 + length;
        }

        message = new EndpointsMessage((payload[1] & AnswerFlag) != 0, payload[2], endpoints);
        return true;
    }

    private static EndpointsMessage Empty { get; } = new(false, 0, []);
}
