using System.Buffers.Binary;
using System.Text.Json;
using System.Text.Json.Serialization;
using Pilot.Protocol;

namespace Pilot.Rendezvous.Registry;

/// <summary>An Ed25519 public key as a value: 32 bytes, compared and hashed without allocation. Written as standard base64.</summary>
[JsonConverter(typeof(Converter))]
internal readonly record struct PublicKey(ulong A, ulong B, ulong C, ulong D)
{
    public const int Size = Ed25519.PublicKeySize;

    public static PublicKey Read(ReadOnlySpan<byte> bytes) => new(
        BinaryPrimitives.ReadUInt64BigEndian(bytes),
        BinaryPrimitives.ReadUInt64BigEndian(bytes[8..]),
        BinaryPrimitives.ReadUInt64BigEndian(bytes[16..]),
        BinaryPrimitives.ReadUInt64BigEndian(bytes[24..]));

    public void Write(Span<byte> destination)
    {
        BinaryPrimitives.WriteUInt64BigEndian(destination, A);
        BinaryPrimitives.WriteUInt64BigEndian(destination[8..], B);
        BinaryPrimitives.WriteUInt64BigEndian(destination[16..], C);
        BinaryPrimitives.WriteUInt64BigEndian(destination[24..], D);
    }

    /// <summary>Canonical base64, 44 characters.</summary>
    public override string ToString()
    {
        Span<byte> bytes = stackalloc byte[Size];
        Write(bytes);
        return Convert.ToBase64String(bytes);
    }

    internal sealed class Converter : JsonConverter<PublicKey>
    {
        public override PublicKey Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
        {
            byte[] bytes = reader.GetBytesFromBase64();
            return bytes.Length == Size ? PublicKey.Read(bytes) : throw new JsonException("a public key has 32 bytes");
        }

        public override void Write(Utf8JsonWriter writer, PublicKey value, JsonSerializerOptions options)
        {
            Span<byte> bytes = stackalloc byte[Size];
            value.Write(bytes);
            writer.WriteBase64StringValue(bytes);
        }
    }
}
