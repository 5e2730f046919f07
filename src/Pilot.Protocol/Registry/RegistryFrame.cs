using System.Buffers;
using System.Buffers.Binary;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace Pilot.Protocol.Registry;

/// <summary>Result of looking for a frame at the start of a buffer.</summary>
public enum RegistryFrameStatus
{
    /// <summary>A whole frame stands there.</summary>
    Complete,

    /// <summary>More bytes are needed.</summary>
    Incomplete,

    /// <summary>The announced body is longer than the limit: close the connection without an answer.</summary>
    TooLarge,
}

/// <summary>Framing of the registry's TCP protocol: 4-byte big-endian length, then a JSON body (spec 03 section 2.1). No I/O, and nothing is allocated for what a length claims.</summary>
public static class RegistryFrame
{
    /// <summary>Bytes of the length prefix.</summary>
    public const int PrefixSize = 4;

    /// <summary>Largest request body that a server accepts, and the largest answer that a reference client accepts, in bytes.</summary>
    public const int MaxRequestBody = 65536;

    /// <summary>Largest answer body that our client accepts, in bytes (spec 03 section 2.1, "Better").</summary>
    public const int MaxResponseBody = 16 * 1024 * 1024;

    /// <summary>Looks for a frame at the start of <paramref name="buffer"/>; on success moves the buffer behind it. Never throws.</summary>
    public static RegistryFrameStatus TryReadFrame(ref ReadOnlySequence<byte> buffer, int maxBody, out ReadOnlySequence<byte> body)
    {
        body = default;
        if (buffer.Length < PrefixSize)
        {
            return RegistryFrameStatus.Incomplete;
        }

        Span<byte> prefix = stackalloc byte[PrefixSize];
        buffer.Slice(0, PrefixSize).CopyTo(prefix);
        uint length = BinaryPrimitives.ReadUInt32BigEndian(prefix);
        if (length > (uint)maxBody)
        {
            return RegistryFrameStatus.TooLarge;
        }

        if (buffer.Length < PrefixSize + length)
        {
            return RegistryFrameStatus.Incomplete;
        }

        body = buffer.Slice(PrefixSize, length);
        buffer = buffer.Slice(PrefixSize + length);
        return RegistryFrameStatus.Complete;
    }

    /// <summary>Looks for a frame at the start of a span. Never throws.</summary>
    /// <param name="buffer">Received bytes.</param>
    /// <param name="maxBody">Limit of the body in bytes.</param>
    /// <param name="body">The body, a slice of the buffer.</param>
    /// <param name="consumed">Bytes of the whole frame; 0 unless complete.</param>
    public static RegistryFrameStatus TryReadFrame(ReadOnlySpan<byte> buffer, int maxBody, out ReadOnlySpan<byte> body, out int consumed)
    {
        body = default;
        consumed = 0;
        if (buffer.Length < PrefixSize)
        {
            return RegistryFrameStatus.Incomplete;
        }

        uint length = BinaryPrimitives.ReadUInt32BigEndian(buffer);
        if (length > (uint)maxBody)
        {
            return RegistryFrameStatus.TooLarge;
        }

        if ((uint)(buffer.Length - PrefixSize) < length)
        {
            return RegistryFrameStatus.Incomplete;
        }

        body = buffer.Slice(PrefixSize, (int)length);
        consumed = PrefixSize + (int)length;
        return RegistryFrameStatus.Complete;
    }

    /// <summary>Writes prefix and body to one buffer, so that both leave in one write.</summary>
    public static void Write(IBufferWriter<byte> destination, ReadOnlySpan<byte> body)
    {
        ArgumentNullException.ThrowIfNull(destination);
        BinaryPrimitives.WriteUInt32BigEndian(destination.GetSpan(PrefixSize), (uint)body.Length);
        destination.Advance(PrefixSize);
        destination.Write(body);
    }

    /// <summary>A message as a complete frame. The type information comes from <see cref="RegistryJson.Context"/>.</summary>
    public static byte[] Encode<T>(T message, JsonTypeInfo<T> type)
    {
        var buffer = new ArrayBufferWriter<byte>(512);
        buffer.GetSpan(PrefixSize)[..PrefixSize].Clear();
        buffer.Advance(PrefixSize);
        using (var writer = new Utf8JsonWriter(buffer, RegistryJson.WriterOptions))
        {
            JsonSerializer.Serialize(writer, message, type);
        }

        byte[] frame = buffer.WrittenSpan.ToArray();
        BinaryPrimitives.WriteUInt32BigEndian(frame, (uint)(frame.Length - PrefixSize));
        return frame;
    }
}
