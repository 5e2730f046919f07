using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace Pilot.Protocol;

/// <summary>A node's Ed25519 key pair and its file form (spec 01 section 12). Holds a secret: never log it.</summary>
public sealed class Identity
{
    private const int PrivateKeySize = Ed25519.SeedSize + Ed25519.PublicKeySize;

    private readonly byte[] _seed;
    private readonly byte[] _publicKey = new byte[Ed25519.PublicKeySize];

    /// <summary>The identity of a seed of 32 bytes; the seed is copied.</summary>
    public Identity(ReadOnlySpan<byte> seed)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(seed.Length, Ed25519.SeedSize);
        _seed = seed.ToArray();
        Ed25519.GetPublicKey(_seed, _publicKey);
        PublicKeyText = Convert.ToBase64String(_publicKey);
    }

    /// <summary>A copy of the public key, 32 bytes.</summary>
    public byte[] PublicKey => [.. _publicKey];

    /// <summary>The public key, 32 bytes, without a copy.</summary>
    public ReadOnlySpan<byte> PublicKeySpan => _publicKey;

    /// <summary>The public key in standard base64.</summary>
    public string PublicKeyText { get; }

    /// <summary>A new identity from the system's random number generator.</summary>
    public static Identity Create()
    {
        Span<byte> seed = stackalloc byte[Ed25519.SeedSize];
        RandomNumberGenerator.Fill(seed);
        var identity = new Identity(seed);
        CryptographicOperations.ZeroMemory(seed);
        return identity;
    }

    /// <summary>Signs bytes; the signature is 64 bytes.</summary>
    public void Sign(ReadOnlySpan<byte> message, Span<byte> signature) => Ed25519.Sign(_seed, message, signature);

    /// <summary>Signs an ASCII challenge text; the signature in standard base64.</summary>
    public string SignText(string challenge)
    {
        Span<byte> signature = stackalloc byte[Ed25519.SignatureSize];
        Sign(Encoding.UTF8.GetBytes(challenge), signature);
        return Convert.ToBase64String(signature);
    }

    /// <summary>Verifies the base64 signature of a challenge text by a base64 public key. False on anything malformed. Never throws.</summary>
    public static bool VerifyText(string? publicKeyText, string challenge, string? signatureText)
    {
        Span<byte> key = stackalloc byte[Ed25519.PublicKeySize];
        Span<byte> signature = stackalloc byte[Ed25519.SignatureSize];
        return StandardBase64.TryDecodeExact(publicKeyText, key)
            && StandardBase64.TryDecodeExact(signatureText, signature)
            && Ed25519.Verify(key, Encoding.UTF8.GetBytes(challenge), signature);
    }

    /// <summary>The identity file's exact text: two-space indentation, no final newline. Contains the secret.</summary>
    public string ToJson()
    {
        Span<byte> both = stackalloc byte[PrivateKeySize];
        _seed.CopyTo(both);
        _publicKey.CopyTo(both[Ed25519.SeedSize..]);
        string text = $"{{\n  \"private_key\": \"{Convert.ToBase64String(both)}\",\n  \"public_key\": \"{PublicKeyText}\"\n}}";
        CryptographicOperations.ZeroMemory(both);
        return text;
    }

    /// <summary>Reads an identity file; see the overload for bytes.</summary>
    public static bool TryParseJson(string text, out Identity? identity, out string? error) =>
        TryParseJson(Encoding.UTF8.GetBytes(text), out identity, out error);

    /// <summary>Reads an identity file. Members match without regard to case, unknown ones are ignored; the public key is derived from the seed and all three copies must agree. Never throws.</summary>
    /// <param name="utf8">The file's bytes.</param>
    /// <param name="identity">The identity, or null.</param>
    /// <param name="error">What is wrong with the file, without secrets; or null.</param>
    public static bool TryParseJson(ReadOnlySpan<byte> utf8, out Identity? identity, out string? error)
    {
        identity = null;
        if (!TryReadMembers(utf8, out string privateText, out string publicText, out error))
        {
            return false;
        }

        if (!StandardBase64.TryDecode(privateText, out byte[]? privateKey))
        {
            error = "identity file corrupted: private key is not base64";
            return false;
        }

        try
        {
            if (!StandardBase64.TryDecode(publicText, out byte[]? publicKey))
            {
                error = "identity file corrupted: public key is not base64";
                return false;
            }

            if (privateKey.Length != PrivateKeySize || publicKey.Length != Ed25519.PublicKeySize)
            {
                error = $"identity file corrupted: private key has {privateKey.Length} bytes instead of 64, or public key {publicKey.Length} instead of 32";
                return false;
            }

            if (!publicKey.AsSpan().SequenceEqual(privateKey.AsSpan(Ed25519.SeedSize)))
            {
                error = "identity file corrupted: public key does not match private key";
                return false;
            }

            var loaded = new Identity(privateKey.AsSpan(0, Ed25519.SeedSize));
            if (!publicKey.AsSpan().SequenceEqual(loaded._publicKey))
            {
                error = "identity file corrupted: public key does not match private key (the seed gives another one)";
                return false;
            }

            identity = loaded;
            return true;
        }
        finally
        {
            CryptographicOperations.ZeroMemory(privateKey);
        }
    }

    private static bool TryReadMembers(ReadOnlySpan<byte> utf8, out string privateText, out string publicText, out string? error)
    {
        privateText = publicText = "";
        error = null;
        try
        {
            var reader = new Utf8JsonReader(utf8);
            if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject)
            {
                error = "identity file is not a JSON object";
                return false;
            }

            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                string name = reader.GetString()!;
                reader.Read();
                bool isPrivate = name.Equals("private_key", StringComparison.OrdinalIgnoreCase);
                if (!isPrivate && !name.Equals("public_key", StringComparison.OrdinalIgnoreCase))
                {
                    reader.Skip();
                    continue;
                }

                if (reader.TokenType != JsonTokenType.String)
                {
                    error = $"identity file corrupted: {name.ToLowerInvariant()} is not a string";
                    return false;
                }

                (isPrivate ? ref privateText : ref publicText) = reader.GetString()!;
            }

            reader.Read(); // throws when something stands behind the object
            return true;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            // JsonException: not JSON. InvalidOperationException: a string that is not valid UTF-16 after unescaping.
            error = "identity file is not valid JSON";
            return false;
        }
    }
}
