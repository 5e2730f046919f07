using System.Buffers;
using System.Text;
using System.Text.Json;

namespace Pilot.Protocol.Trust;

/// <summary>Type of a direct trust message (spec 05 section 3).</summary>
public enum TrustMessageType
{
    /// <summary>A type that this version does not know; to be ignored.</summary>
    Unknown,

    /// <summary><c>handshake_request</c></summary>
    Request,

    /// <summary><c>handshake_accept</c></summary>
    Accept,

    /// <summary><c>handshake_reject</c></summary>
    Reject,

    /// <summary><c>handshake_revoke</c></summary>
    Revoke,
}

/// <summary>A direct trust message of overlay port 444: one JSON object (spec 05 section 3). What stands in it is only claimed until <see cref="IsSignedBy"/>.</summary>
public sealed record TrustMessage
{
    /// <summary>The reason that a revoke states.</summary>
    public const string RevokeReason = "trust revoked";

    // The reference's JSON library refuses deeper nesting.
    private const int MaxDepth = 10000;

    private static readonly JsonWriterOptions WriterOptions = new() { Encoder = ReferenceJsonEncoder.Instance };

    /// <summary>Type.</summary>
    public required TrustMessageType Type { get; init; }

    /// <summary>Sender's node id.</summary>
    public required uint NodeId { get; init; }

    /// <summary>Sender's Ed25519 key in standard base64; the reference also sends and takes an empty text, which a correct node refuses.</summary>
    public string PublicKey { get; init; } = "";

    /// <summary>Free text of a request; else empty.</summary>
    public string Justification { get; init; } = "";

    /// <summary>Signature over <see cref="Challenge.Handshake"/>, standard base64.</summary>
    public string Signature { get; init; } = "";

    /// <summary>Free text of a reject, <see cref="RevokeReason"/> of a revoke; else empty.</summary>
    public string Reason { get; init; } = "";

    /// <summary>Send time, Unix seconds. Not signed.</summary>
    public long Timestamp { get; init; }

    /// <summary>Makes and signs a message.</summary>
    /// <param name="type">Any type but unknown.</param>
    /// <param name="identity">Own identity.</param>
    /// <param name="self">Own node id.</param>
    /// <param name="receiver">Receiver's node id.</param>
    /// <param name="text">Justification of a request, reason of a reject; ignored for accept and revoke.</param>
    /// <param name="unixSeconds">Send time.</param>
    public static TrustMessage Create(TrustMessageType type, Identity identity, uint self, uint receiver, string text, long unixSeconds)
    {
        ArgumentNullException.ThrowIfNull(identity);
        return new TrustMessage
        {
            Type = type,
            NodeId = self,
            PublicKey = identity.PublicKeyText,
            Justification = type == TrustMessageType.Request ? text : "",
            Signature = identity.SignText(Challenge.Handshake(self, receiver)),
            Reason = type switch { TrustMessageType.Reject => text, TrustMessageType.Revoke => RevokeReason, _ => "" },
            Timestamp = unixSeconds,
        };
    }

    /// <summary>True iff the message states exactly this key and its signature for this receiver verifies under it. Never throws.</summary>
    /// <param name="publicKey">The sender's key from the registry, 32 bytes.</param>
    /// <param name="receiver">The node id that received the message: the own one.</param>
    public bool IsSignedBy(ReadOnlySpan<byte> publicKey, uint receiver)
    {
        Span<byte> stated = stackalloc byte[Ed25519.PublicKeySize];
        Span<byte> signature = stackalloc byte[Ed25519.SignatureSize];
        return StandardBase64.TryDecodeExact(PublicKey, stated)
            && stated.SequenceEqual(publicKey)
            && StandardBase64.TryDecodeExact(Signature, signature)
            && Ed25519.Verify(publicKey, Encoding.ASCII.GetBytes(Challenge.Handshake(NodeId, receiver)), signature);
    }

    /// <summary>The UTF-8 JSON with the reference's key order and escapes.</summary>
    /// <exception cref="InvalidOperationException">The type is unknown.</exception>
    public byte[] Encode()
    {
        var buffer = new ArrayBufferWriter<byte>(512);
        using (var writer = new Utf8JsonWriter(buffer, WriterOptions))
        {
            writer.WriteStartObject();
            writer.WriteString("type"u8, NameOf(Type));
            writer.WriteNumber("node_id"u8, NodeId);
            writer.WriteString("public_key"u8, PublicKey);
            writer.WriteString("justification"u8, Justification);
            writer.WriteString("signature"u8, Signature);
            writer.WriteString("reason"u8, Reason);
            writer.WriteNumber("timestamp"u8, Timestamp);
            writer.WriteEndObject();
        }

        return buffer.WrittenSpan.ToArray();
    }

    /// <summary>
    /// Reads a message as leniently as the reference: any key order, unknown keys ignored, keys without regard to case, duplicates: last wins,
    /// missing or null: empty. False for anything that is not one JSON object or has a member of a wrong type. Never throws.
    /// </summary>
    public static bool TryParse(ReadOnlySpan<byte> utf8, out TrustMessage? message)
    {
        message = null;
        try
        {
            return TryRead(utf8, out message);
        }
        catch (JsonException)
        {
            return false;
        }
    }

    private static bool TryRead(ReadOnlySpan<byte> utf8, out TrustMessage? message)
    {
        message = null;
        var reader = new Utf8JsonReader(utf8, new JsonReaderOptions { MaxDepth = MaxDepth });
        if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject)
        {
            return false;
        }

        string type = "";
        string publicKey = "";
        string justification = "";
        string signature = "";
        string reason = "";
        uint nodeId = 0;
        long timestamp = 0;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string name = JsonText.GetString(ref reader).ToLowerInvariant();
            reader.Read();
            bool ok = name switch
            {
                "type" => ReadString(ref reader, ref type),
                "node_id" => ReadUInt32(ref reader, ref nodeId),
                "public_key" => ReadString(ref reader, ref publicKey),
                "justification" => ReadString(ref reader, ref justification),
                "signature" => ReadString(ref reader, ref signature),
                "reason" => ReadString(ref reader, ref reason),
                "timestamp" => ReadInt64(ref reader, ref timestamp),
                _ => Skip(ref reader),
            };
            if (!ok)
            {
                return false;
            }
        }

        reader.Read(); // throws when something stands behind the object
        message = new TrustMessage
        {
            Type = TypeOf(type),
            NodeId = nodeId,
            PublicKey = publicKey,
            Justification = justification,
            Signature = signature,
            Reason = reason,
            Timestamp = timestamp,
        };
        return true;
    }

    private static bool ReadString(ref Utf8JsonReader reader, ref string value)
    {
        if (reader.TokenType == JsonTokenType.String)
        {
            value = JsonText.GetString(ref reader);
            return true;
        }

        return reader.TokenType == JsonTokenType.Null;
    }

    // The framework's integer readers refuse fractions and exponents, as the reference does.
    private static bool ReadUInt32(ref Utf8JsonReader reader, ref uint value) =>
        reader.TokenType == JsonTokenType.Null || (reader.TokenType == JsonTokenType.Number && reader.TryGetUInt32(out value));

    private static bool ReadInt64(ref Utf8JsonReader reader, ref long value) =>
        reader.TokenType == JsonTokenType.Null || (reader.TokenType == JsonTokenType.Number && reader.TryGetInt64(out value));

    private static bool Skip(ref Utf8JsonReader reader)
    {
        reader.Skip();
        return true;
    }

    private static string NameOf(TrustMessageType type) => type switch
    {
        TrustMessageType.Request => "handshake_request",
        TrustMessageType.Accept => "handshake_accept",
        TrustMessageType.Reject => "handshake_reject",
        TrustMessageType.Revoke => "handshake_revoke",
        _ => throw new InvalidOperationException("a message of unknown type cannot be encoded"),
    };

    private static TrustMessageType TypeOf(string name) => name switch
    {
        "handshake_request" => TrustMessageType.Request,
        "handshake_accept" => TrustMessageType.Accept,
        "handshake_reject" => TrustMessageType.Reject,
        "handshake_revoke" => TrustMessageType.Revoke,
        _ => TrustMessageType.Unknown,
    };
}
