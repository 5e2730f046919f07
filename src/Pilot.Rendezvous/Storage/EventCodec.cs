using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text.Json;
using Pilot.Rendezvous.Registry;

namespace Pilot.Rendezvous.Storage;

/// <summary>A batch of events as bytes: a JSON array in UTF-8, and a checksum of it.</summary>
internal static class EventCodec
{
    public static byte[] Encode(IReadOnlyList<RegistryEvent> events) =>
        JsonSerializer.SerializeToUtf8Bytes(events as RegistryEvent[] ?? [.. events], RegistryEventContext.Default.RegistryEventArray);

    /// <exception cref="StoreDamagedException">The checksum differs, or the text is not a batch.</exception>
    public static RegistryEvent[] Decode(byte[] body, long checksum, string where)
    {
        if (Checksum(body) != checksum)
        {
            throw new StoreDamagedException($"{where}: the checksum is wrong");
        }

        try
        {
            return JsonSerializer.Deserialize(body, RegistryEventContext.Default.RegistryEventArray) ?? throw new JsonException("null");
        }
        catch (Exception e) when (e is JsonException or NotSupportedException)
        {
            throw new StoreDamagedException($"{where}: {e.Message}", e);
        }
    }

    /// <summary>The first 8 bytes of SHA-256: finds damage, not malice.</summary>
    public static long Checksum(ReadOnlySpan<byte> body)
    {
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(body, hash);
        return BinaryPrimitives.ReadInt64BigEndian(hash);
    }
}
