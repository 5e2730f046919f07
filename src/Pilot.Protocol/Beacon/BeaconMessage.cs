namespace Pilot.Protocol;

/// <summary>First byte of a beacon message (spec 04 section 3). 0x00 and 0x08 to 0x0F are free for extensions.</summary>
public enum BeaconMessageType : byte
{
    /// <summary>Node to beacon: "I am here, what is my endpoint?"</summary>
    Discover = 1,

    /// <summary>Beacon to node: the observed endpoint.</summary>
    DiscoverReply = 2,

    /// <summary>Node to beacon: help me to reach a node.</summary>
    PunchRequest = 3,

    /// <summary>Beacon to node: send punches to this endpoint.</summary>
    PunchCommand = 4,

    /// <summary>Node to beacon, or beacon to beacon: forward a tunnel frame.</summary>
    Relay = 5,

    /// <summary>Beacon to node: a forwarded tunnel frame.</summary>
    RelayDeliver = 6,

    /// <summary>Beacon to beacon: the nodes that I know.</summary>
    Sync = 7,
}

/// <summary>Recognition of beacon messages.</summary>
public static class BeaconMessage
{
    /// <summary>True when the first byte is one of the known types; says nothing about the rest.</summary>
    public static bool TryGetType(ReadOnlySpan<byte> datagram, out BeaconMessageType type)
    {
        type = datagram.IsEmpty ? default : (BeaconMessageType)datagram[0];
        return type is >= BeaconMessageType.Discover and <= BeaconMessageType.Sync;
    }

    internal static bool Is(ReadOnlySpan<byte> datagram, BeaconMessageType type, int minimumSize) =>
        datagram.Length >= minimumSize && datagram[0] == (byte)type;
}
