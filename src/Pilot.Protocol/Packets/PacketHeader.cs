namespace Pilot.Protocol;

/// <summary>Protocol byte of a packet (spec 01 section 3.3). Other values decode and are dropped by the receiver.</summary>
public enum PacketProtocol : byte
{
    /// <summary>Reliable byte streams.</summary>
    Stream = 1,

    /// <summary>Unreliable datagrams.</summary>
    Datagram = 2,

    /// <summary>Control; only ping exists.</summary>
    Control = 3,
}

/// <summary>Flags of a packet, 4 bits (spec 01 section 3.2).</summary>
[Flags]
public enum PacketFlags : byte
{
    /// <summary>No flag.</summary>
    None = 0,

    /// <summary>Opens a stream.</summary>
    Syn = 1,

    /// <summary>The acknowledgement number counts.</summary>
    Ack = 2,

    /// <summary>The sender has no more data.</summary>
    Fin = 4,

    /// <summary>Aborts the stream.</summary>
    Rst = 8,
}

/// <summary>Why a packet did not decode; order of the checks as in spec 01 section 3.6.</summary>
public enum PacketError
{
    /// <summary>It decoded.</summary>
    None,

    /// <summary>Fewer than 34 bytes.</summary>
    TooShort,

    /// <summary>Fewer bytes than the length field claims.</summary>
    Truncated,

    /// <summary>The CRC-32 does not match.</summary>
    ChecksumMismatch,

    /// <summary>The version is not 1.</summary>
    UnsupportedVersion,
}

/// <summary>Header of a packet without version, length and checksum, which <see cref="Packet"/> handles (spec 01 section 3.1). A plain struct: fields, no behaviour.</summary>
#pragma warning disable CA1051 // public fields on purpose: a hot-path struct that is filled member by member
public struct PacketHeader
{
    /// <summary>Protocol byte.</summary>
    public PacketProtocol Protocol;

    /// <summary>Flags; only the low 4 bits are sent.</summary>
    public PacketFlags Flags;

    /// <summary>Source address; the network part is 0 in everything the reference sends.</summary>
    public PilotAddress Source;

    /// <summary>Destination address.</summary>
    public PilotAddress Destination;

    /// <summary>Source port.</summary>
    public ushort SourcePort;

    /// <summary>Destination port.</summary>
    public ushort DestinationPort;

    /// <summary>Sequence number, in bytes.</summary>
    public uint Sequence;

    /// <summary>Acknowledgement number: next byte expected.</summary>
    public uint Acknowledgement;

    /// <summary>Receive window in segments; 0 means "no limit" to a reference sender.</summary>
    public ushort Window;
}
#pragma warning restore CA1051
