using System.Buffers.Binary;

namespace Pilot.Protocol;

/// <summary>What our nodes append to PUNCH_REQUEST (docs/wire.md).</summary>
/// <param name="Token">The token of a DISCOVER; echoed when the request is refused.</param>
public readonly record struct BeaconPunchRequestExtension(ulong Token)
{
    /// <summary>Bytes of the message, PUNCH_REQUEST included: no shorter than the longest answer.</summary>
    public const int Size = 40;

    /// <summary>Reads the extension of a PUNCH_REQUEST; false when there is none. Never throws.</summary>
    public static bool TryParse(ReadOnlySpan<byte> datagram, out BeaconPunchRequestExtension extension)
    {
        bool ok = BeaconMessage.Is(datagram, BeaconMessageType.PunchRequest, Size) && BeaconExtension.HasMarker(datagram[BeaconPunchRequest.Size..]);
        extension = ok ? new BeaconPunchRequestExtension(BinaryPrimitives.ReadUInt64BigEndian(datagram[(BeaconPunchRequest.Size + 4)..])) : default;
        return ok;
    }

    /// <summary>Writes PUNCH_REQUEST with the extension; returns 40.</summary>
    public int Write(Span<byte> destination, BeaconPunchRequest request)
    {
        destination[..Size].Clear();
        request.Write(destination);
        BeaconExtension.WriteMarker(destination[BeaconPunchRequest.Size..]);
        BinaryPrimitives.WriteUInt64BigEndian(destination[(BeaconPunchRequest.Size + 4)..], Token);
        return Size;
    }
}

/// <summary>What our beacons append to PUNCH_COMMAND toward nodes of ours.</summary>
/// <param name="Token">The token of the receiver's last DISCOVER.</param>
/// <param name="NodeId">The other side.</param>
public readonly record struct BeaconPunchCommandExtension(ulong Token, uint NodeId)
{
    /// <summary>Longest message in bytes, PUNCH_COMMAND included.</summary>
    public const int MaxSize = BeaconPunchCommand.MaxSize + FixedSize;

    private const int FixedSize = 4 + 8 + 4;

    /// <summary>Reads the extension of a PUNCH_COMMAND; false when there is none. Never throws.</summary>
    public static bool TryParse(ReadOnlySpan<byte> datagram, out BeaconPunchCommandExtension extension)
    {
        extension = default;
        if (!BeaconPunchCommand.TryParse(datagram, out _))
        {
            return false;
        }

        ReadOnlySpan<byte> rest = datagram[(2 + datagram[1] + 2)..];
        if (rest.Length < FixedSize || !BeaconExtension.HasMarker(rest))
        {
            return false;
        }

        extension = new BeaconPunchCommandExtension(BinaryPrimitives.ReadUInt64BigEndian(rest[4..]), BinaryPrimitives.ReadUInt32BigEndian(rest[12..]));
        return true;
    }

    /// <summary>Writes PUNCH_COMMAND with the extension; returns the length.</summary>
    public int Write(Span<byte> destination, UdpEndpoint target)
    {
        int length = new BeaconPunchCommand(target).Write(destination);
        Span<byte> rest = destination[length..];
        BeaconExtension.WriteMarker(rest);
        BinaryPrimitives.WriteUInt64BigEndian(rest[4..], Token);
        BinaryPrimitives.WriteUInt32BigEndian(rest[12..], NodeId);
        return length + FixedSize;
    }
}

/// <summary>Beacon to node: no punching at this target. Says not why, so that it tells nobody who exists.</summary>
/// <param name="Token">The token of the request.</param>
/// <param name="Target">The node asked for.</param>
public readonly record struct BeaconPunchRefused(ulong Token, uint Target)
{
    /// <summary>Bytes of the message.</summary>
    public const int Size = 13;

    /// <summary>Reads a message; trailing bytes are ignored. Never throws.</summary>
    public static bool TryParse(ReadOnlySpan<byte> datagram, out BeaconPunchRefused message)
    {
        bool ok = BeaconExtension.Is(datagram, BeaconExtensionType.PunchRefused, Size);
        message = ok ? new BeaconPunchRefused(BinaryPrimitives.ReadUInt64BigEndian(datagram[1..]), BinaryPrimitives.ReadUInt32BigEndian(datagram[9..])) : default;
        return ok;
    }

    /// <summary>Writes the message; returns 13.</summary>
    public int Write(Span<byte> destination)
    {
        destination[0] = (byte)BeaconExtensionType.PunchRefused;
        BinaryPrimitives.WriteUInt64BigEndian(destination[1..], Token);
        BinaryPrimitives.WriteUInt32BigEndian(destination[9..], Target);
        return Size;
    }
}

/// <summary>Beacon to node: frames that this node wanted relayed were dropped, because too much waits.</summary>
/// <param name="Token">The token of the receiver's last DISCOVER.</param>
/// <param name="Dropped">How many since the last such message.</param>
public readonly record struct BeaconRelayStatus(ulong Token, uint Dropped)
{
    /// <summary>Bytes of the message.</summary>
    public const int Size = 13;

    /// <summary>Reads a message; trailing bytes are ignored. Never throws.</summary>
    public static bool TryParse(ReadOnlySpan<byte> datagram, out BeaconRelayStatus message)
    {
        bool ok = BeaconExtension.Is(datagram, BeaconExtensionType.RelayStatus, Size);
        message = ok ? new BeaconRelayStatus(BinaryPrimitives.ReadUInt64BigEndian(datagram[1..]), BinaryPrimitives.ReadUInt32BigEndian(datagram[9..])) : default;
        return ok;
    }

    /// <summary>Writes the message; returns 13.</summary>
    public int Write(Span<byte> destination)
    {
        destination[0] = (byte)BeaconExtensionType.RelayStatus;
        BinaryPrimitives.WriteUInt64BigEndian(destination[1..], Token);
        BinaryPrimitives.WriteUInt32BigEndian(destination[9..], Dropped);
        return Size;
    }
}
