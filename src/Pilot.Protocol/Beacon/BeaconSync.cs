using System.Buffers.Binary;

namespace Pilot.Protocol;

/// <summary>SYNC, beacon to beacon (spec 04 section 3.7). A view of the datagram's bytes.</summary>
public readonly ref struct BeaconSync
{
    /// <summary>Bytes in front of the node ids.</summary>
    public const int HeaderSize = 7;

    /// <summary>Most node ids in one message: what the 16-bit count can state.</summary>
    public const int MaxNodes = ushort.MaxValue;

    private readonly ReadOnlySpan<byte> _nodes;

    private BeaconSync(uint beaconId, ReadOnlySpan<byte> nodes)
    {
        BeaconId = beaconId;
        _nodes = nodes;
    }

    /// <summary>The sending beacon's id; informational, may be 0.</summary>
    public uint BeaconId { get; }

    /// <summary>Number of node ids; 0 clears what was learned from that source.</summary>
    public int Count => _nodes.Length / 4;

    /// <summary>One node id.</summary>
    public uint this[int index] => BinaryPrimitives.ReadUInt32BigEndian(_nodes[(4 * index)..]);

    /// <summary>Reads a message that is as long as its count says; trailing bytes are ignored. Never throws.</summary>
    public static bool TryParse(ReadOnlySpan<byte> datagram, out BeaconSync message)
    {
        message = default;
        if (!BeaconMessage.Is(datagram, BeaconMessageType.Sync, HeaderSize))
        {
            return false;
        }

        int bytes = 4 * BinaryPrimitives.ReadUInt16BigEndian(datagram[5..]);
        if (datagram.Length < HeaderSize + bytes)
        {
            return false;
        }

        message = new BeaconSync(BinaryPrimitives.ReadUInt32BigEndian(datagram[1..]), datagram.Slice(HeaderSize, bytes));
        return true;
    }

    /// <summary>Writes a message; returns 7 + 4n.</summary>
    public static int Write(Span<byte> destination, uint beaconId, ReadOnlySpan<uint> nodes)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(nodes.Length, MaxNodes);
        destination[0] = (byte)BeaconMessageType.Sync;
        BinaryPrimitives.WriteUInt32BigEndian(destination[1..], beaconId);
        BinaryPrimitives.WriteUInt16BigEndian(destination[5..], (ushort)nodes.Length);
        for (int i = 0; i < nodes.Length; i++)
        {
            BinaryPrimitives.WriteUInt32BigEndian(destination[(HeaderSize + 4 * i)..], nodes[i]);
        }

        return HeaderSize + 4 * nodes.Length;
    }
}
