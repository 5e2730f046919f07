using System.Buffers.Binary;
using System.Security.Cryptography;

namespace Pilot.Protocol;

/// <summary>SYNC between our beacons, in parts that fit one datagram each (docs/wire.md). A view of the datagram's bytes.</summary>
public readonly ref struct BeaconSyncChunk
{
    /// <summary>Most node ids in one part: 1,163 bytes.</summary>
    public const int MaxNodes = 280;

    /// <summary>Longest message in bytes.</summary>
    public const int MaxSize = HeaderSize + 4 * MaxNodes + BeaconExtension.MacSize;

    private const int HeaderSize = 1 + 4 + 4 + 8 + 2 + 2 + 2;

    private readonly ReadOnlySpan<byte> _nodes;
    private readonly ReadOnlySpan<byte> _whole;

    private BeaconSyncChunk(uint beaconId, ulong round, int index, int count, ReadOnlySpan<byte> nodes, ReadOnlySpan<byte> whole)
    {
        BeaconId = beaconId;
        Round = round;
        Index = index;
        Count = count;
        _nodes = nodes;
        _whole = whole;
    }

    /// <summary>The sending beacon.</summary>
    public uint BeaconId { get; }

    /// <summary>Unix milliseconds at the sender; all parts of one list have the same, later lists a higher one.</summary>
    public ulong Round { get; }

    /// <summary>This part, from 0.</summary>
    public int Index { get; }

    /// <summary>Parts of this list, 1 or more.</summary>
    public int Count { get; }

    /// <summary>Node ids in this part.</summary>
    public int NodeCount => _nodes.Length / 4;

    /// <summary>One node id.</summary>
    public uint this[int index] => BinaryPrimitives.ReadUInt32BigEndian(_nodes[(4 * index)..]);

    /// <summary>Reads a message; trailing bytes are ignored. Never throws.</summary>
    public static bool TryParse(ReadOnlySpan<byte> datagram, out BeaconSyncChunk message)
    {
        message = default;
        if (!BeaconExtension.Is(datagram, BeaconExtensionType.SyncChunk, HeaderSize + BeaconExtension.MacSize) || !BeaconExtension.HasMarker(datagram[1..]))
        {
            return false;
        }

        int index = BinaryPrimitives.ReadUInt16BigEndian(datagram[17..]);
        int count = BinaryPrimitives.ReadUInt16BigEndian(datagram[19..]);
        int nodes = BinaryPrimitives.ReadUInt16BigEndian(datagram[21..]);
        if (index >= count || nodes > MaxNodes || datagram.Length < HeaderSize + 4 * nodes + BeaconExtension.MacSize)
        {
            return false;
        }

        message = new BeaconSyncChunk(
            BinaryPrimitives.ReadUInt32BigEndian(datagram[5..]),
            BinaryPrimitives.ReadUInt64BigEndian(datagram[9..]),
            index,
            count,
            datagram.Slice(HeaderSize, 4 * nodes),
            datagram[..(HeaderSize + 4 * nodes + BeaconExtension.MacSize)]);
        return true;
    }

    /// <summary>Writes a part; returns the length. An empty key leaves the code zero.</summary>
    public static int Write(Span<byte> destination, uint beaconId, ulong round, int index, int count, ReadOnlySpan<uint> nodes, ReadOnlySpan<byte> key)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(nodes.Length, MaxNodes);
        destination[0] = (byte)BeaconExtensionType.SyncChunk;
        BeaconExtension.WriteMarker(destination[1..]);
        BinaryPrimitives.WriteUInt32BigEndian(destination[5..], beaconId);
        BinaryPrimitives.WriteUInt64BigEndian(destination[9..], round);
        BinaryPrimitives.WriteUInt16BigEndian(destination[17..], (ushort)index);
        BinaryPrimitives.WriteUInt16BigEndian(destination[19..], (ushort)count);
        BinaryPrimitives.WriteUInt16BigEndian(destination[21..], (ushort)nodes.Length);
        int at = HeaderSize;
        foreach (uint node in nodes)
        {
            BinaryPrimitives.WriteUInt32BigEndian(destination[at..], node);
            at += 4;
        }

        return at + BeaconMac.Write(destination[at..], destination[..at], key);
    }

    /// <summary>Whether the code is this key's.</summary>
    public bool Verify(ReadOnlySpan<byte> key) => BeaconMac.Verify(_whole, key);
}

/// <summary>What our beacons append to SYNC, which references ignore: tells one of ours that parts are understood.</summary>
public static class BeaconSyncTrailer
{
    /// <summary>Bytes behind the node ids.</summary>
    public const int Size = 4 + 8 + BeaconExtension.MacSize;

    /// <summary>Reads the trailer of a SYNC with this many nodes; false when there is none or the code is not this key's. Never throws.</summary>
    public static bool TryVerify(ReadOnlySpan<byte> datagram, int nodes, ReadOnlySpan<byte> key, out ulong round)
    {
        round = 0;
        int start = BeaconSync.HeaderSize + 4 * nodes;
        if (nodes < 0 || datagram.Length < start + Size || !BeaconExtension.HasMarker(datagram[start..]) || !BeaconMac.Verify(datagram[..(start + Size)], key))
        {
            return false;
        }

        round = BinaryPrimitives.ReadUInt64BigEndian(datagram[(start + 4)..]);
        return true;
    }

    /// <summary>Writes the trailer behind a SYNC of this length; returns the whole length.</summary>
    public static int Write(Span<byte> datagram, int length, ulong round, ReadOnlySpan<byte> key)
    {
        BeaconExtension.WriteMarker(datagram[length..]);
        BinaryPrimitives.WriteUInt64BigEndian(datagram[(length + 4)..], round);
        return length + 12 + BeaconMac.Write(datagram[(length + 12)..], datagram[..(length + 12)], key);
    }
}

/// <summary>Beacon to beacon about one node: a punch request, its answer, or a probe. A view of the datagram's bytes.</summary>
public readonly ref struct BeaconForward
{
    /// <summary>Longest message in bytes.</summary>
    public const int MaxSize = FixedSize + BeaconExtension.MaxEndpointSize + BeaconExtension.MacSize;

    private const int FixedSize = 1 + 4 + 8 + 4 + 4 + 8;

    private readonly ReadOnlySpan<byte> _whole;

    private BeaconForward(ulong time, uint requester, uint target, ulong token, UdpEndpoint endpoint, ReadOnlySpan<byte> whole)
    {
        Time = time;
        Requester = requester;
        Target = target;
        Token = token;
        Endpoint = endpoint;
        _whole = whole;
    }

    /// <summary>Unix milliseconds at the sender.</summary>
    public ulong Time { get; }

    /// <summary>The node that asked; 0 in a probe.</summary>
    public uint Requester { get; }

    /// <summary>The node asked for; 0 in a probe.</summary>
    public uint Target { get; }

    /// <summary>The token of the node's request, for its answer.</summary>
    public ulong Token { get; }

    /// <summary>Request: the requester's endpoint. Answer: the target's. Probe: where to send it.</summary>
    public UdpEndpoint Endpoint { get; }

    /// <summary>Reads a message of one of the three types; trailing bytes are ignored. Never throws.</summary>
    public static bool TryParse(ReadOnlySpan<byte> datagram, BeaconExtensionType type, out BeaconForward message)
    {
        message = default;
        if (!BeaconExtension.Is(datagram, type, FixedSize + 3 + BeaconExtension.MacSize) || !BeaconExtension.HasMarker(datagram[1..])
            || !BeaconExtension.TryReadEndpoint(datagram[FixedSize..], out UdpEndpoint endpoint, out int size)
            || endpoint.Port == 0 || datagram.Length < FixedSize + size + BeaconExtension.MacSize)
        {
            return false;
        }

        message = new BeaconForward(
            BinaryPrimitives.ReadUInt64BigEndian(datagram[5..]),
            BinaryPrimitives.ReadUInt32BigEndian(datagram[13..]),
            BinaryPrimitives.ReadUInt32BigEndian(datagram[17..]),
            BinaryPrimitives.ReadUInt64BigEndian(datagram[21..]),
            endpoint,
            datagram[..(FixedSize + size + BeaconExtension.MacSize)]);
        return true;
    }

    /// <summary>Writes a message; returns the length. An empty key leaves the code zero.</summary>
    public static int Write(
        Span<byte> destination, BeaconExtensionType type, ulong time, uint requester, uint target, ulong token, UdpEndpoint endpoint, ReadOnlySpan<byte> key)
    {
        destination[0] = (byte)type;
        BeaconExtension.WriteMarker(destination[1..]);
        BinaryPrimitives.WriteUInt64BigEndian(destination[5..], time);
        BinaryPrimitives.WriteUInt32BigEndian(destination[13..], requester);
        BinaryPrimitives.WriteUInt32BigEndian(destination[17..], target);
        BinaryPrimitives.WriteUInt64BigEndian(destination[21..], token);
        int at = FixedSize + BeaconExtension.WriteEndpoint(destination[FixedSize..], endpoint);
        return at + BeaconMac.Write(destination[at..], destination[..at], key);
    }

    /// <summary>Whether the code is this key's.</summary>
    public bool Verify(ReadOnlySpan<byte> key) => BeaconMac.Verify(_whole, key);
}

/// <summary>The authentication code of messages between beacons: HMAC-SHA256, the first 16 bytes.</summary>
public static class BeaconMac
{
    /// <summary>Writes the code of a message; zeros when there is no key. Returns 16.</summary>
    public static int Write(Span<byte> destination, ReadOnlySpan<byte> message, ReadOnlySpan<byte> key)
    {
        Span<byte> code = destination[..BeaconExtension.MacSize];
        code.Clear();
        if (!key.IsEmpty)
        {
            Span<byte> hash = stackalloc byte[HMACSHA256.HashSizeInBytes];
            HMACSHA256.HashData(key, message, hash);
            hash[..BeaconExtension.MacSize].CopyTo(code);
        }

        return BeaconExtension.MacSize;
    }

    /// <summary>Whether a message ends in its code. Without a key every message does.</summary>
    public static bool Verify(ReadOnlySpan<byte> whole, ReadOnlySpan<byte> key)
    {
        if (key.IsEmpty)
        {
            return true;
        }

        if (whole.Length < BeaconExtension.MacSize)
        {
            return false;
        }

        Span<byte> hash = stackalloc byte[HMACSHA256.HashSizeInBytes];
        HMACSHA256.HashData(key, whole[..^BeaconExtension.MacSize], hash);
        return CryptographicOperations.FixedTimeEquals(hash[..BeaconExtension.MacSize], whole[^BeaconExtension.MacSize..]);
    }
}
