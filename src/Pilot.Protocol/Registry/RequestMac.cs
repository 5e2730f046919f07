using System.Buffers;
using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;

namespace Pilot.Protocol.Registry;

/// <summary>
/// The cheap form of <see cref="RequestProof"/>, an extension that reference servers never offer: once a request with a fresh signature was verified on a
/// connection, the following ones carry an HMAC-SHA256 over the same bytes. Its key comes from an X25519 agreement between a key of the server's process,
/// which it names with the session, and one that the node makes for the connection and covers by that signature. Who replaces either of the two on the
/// way gains nothing: the server's MAC key cannot be had without the secret half of the key that the node signed.
/// </summary>
public static class RequestMac
{
    /// <summary>Request member: standard base64 over the MAC (32 bytes).</summary>
    public const string Member = "mac";

    /// <summary>Request member of a request with <see cref="RequestProof.SignatureMember"/>: the node's X25519 key of this connection, standard base64.</summary>
    public const string NodeKeyMember = "mac_key";

    /// <summary>Answer member beside <see cref="RequestProof.SessionMember"/>: the server's X25519 key, standard base64.</summary>
    public const string ServerKeyMember = "session_key";

    /// <summary>Bytes of a MAC and of its key.</summary>
    public const int Size = 32;

    private const int TextSize = 44; // characters of a MAC in base64

    private static readonly byte[] Domain = Encoding.ASCII.GetBytes("pilot registry mac 1\n");
    private static readonly byte[] KeyDomain = Encoding.ASCII.GetBytes("pilot registry mac key 1\n");

    /// <summary>
    /// True for the requests that a MAC may stand under: the frequent ones, which change nothing that is stored. What says who a node is, what it is
    /// called, who may see it and whom it trusts needs the signature; so does every type that is not known here.
    /// </summary>
    public static bool Covers(string type) => type is "heartbeat" or "poll_handshakes" or "poll_invites" or "resolve" or "resolve_hostname" or "punch";

    /// <summary>The key of one node on one connection; equal on both sides. False when the other side's key is unusable (length, low order).</summary>
    /// <param name="ownPrivate">Own X25519 key, the server's or the node's.</param>
    /// <param name="server">Public X25519 key of the server.</param>
    /// <param name="node">Public X25519 key of the node.</param>
    /// <param name="isServer">Which of the two is the own one.</param>
    /// <param name="session">Of the connection (16 bytes).</param>
    /// <param name="identity">The node's Ed25519 key.</param>
    /// <param name="key">Receives 32 bytes; zero on failure.</param>
    public static bool TryDeriveKey(
        ReadOnlySpan<byte> ownPrivate, ReadOnlySpan<byte> server, ReadOnlySpan<byte> node, bool isServer, ReadOnlySpan<byte> session, ReadOnlySpan<byte> identity, Span<byte> key)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(session.Length, RequestProof.SessionSize);
        ArgumentOutOfRangeException.ThrowIfNotEqual(identity.Length, Ed25519.PublicKeySize);
        ArgumentOutOfRangeException.ThrowIfNotEqual(key.Length, Size);
        key.Clear();
        Span<byte> shared = stackalloc byte[X25519.KeySize];
        if (server.Length != X25519.KeySize || node.Length != X25519.KeySize || !X25519.TryAgree(ownPrivate, isServer ? node : server, shared))
        {
            return false;
        }

        ReadOnlySpan<byte> info = [.. KeyDomain, .. server, .. node, .. identity];
        HKDF.DeriveKey(HashAlgorithmName.SHA256, shared, key, session, info);
        CryptographicOperations.ZeroMemory(shared);
        return true;
    }

    /// <summary>The MAC over domain, session, and all members but the MAC itself.</summary>
    public static void Compute(ReadOnlySpan<byte> key, ReadOnlySpan<byte> session, RegistryRequest request, Span<byte> mac)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(key.Length, Size);
        ArrayBufferWriter<byte> bytes = RequestProof.Borrow();
        Write(bytes, session, request);
        HMACSHA256.HashData(key, bytes.WrittenSpan, mac);
    }

    /// <summary>True when the request carries the right MAC. Never throws on input; takes equally long for every wrong one.</summary>
    public static bool Verify(ReadOnlySpan<byte> key, ReadOnlySpan<byte> session, RegistryRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        Span<byte> given = stackalloc byte[Size];
        Span<byte> right = stackalloc byte[Size];
        if (!TryRead(request, given))
        {
            return false;
        }

        Compute(key, session, request, right);
        return CryptographicOperations.FixedTimeEquals(given, right);
    }

    /// <summary>Adds sequence number and MAC to the body of a request.</summary>
    /// <param name="body">A JSON object with at least one member, as it would be sent.</param>
    /// <param name="session">As the server named it.</param>
    /// <param name="sequence">Above that of every earlier request on the connection, signed ones included.</param>
    /// <param name="key">By <see cref="TryDeriveKey"/>.</param>
    public static byte[] Seal(ReadOnlySpan<byte> body, ReadOnlySpan<byte> session, long sequence, ReadOnlySpan<byte> key)
    {
        byte[] numbered = RequestProof.Number(body, sequence, "");
        if (!RegistryRequest.TryParse(numbered, out RegistryRequest? request))
        {
            throw new ArgumentException("not a request", nameof(body));
        }

        Span<byte> mac = stackalloc byte[Size];
        Compute(key, session, request!, mac);
        return RequestProof.Extend(numbered, $"\"{Member}\":\"{Convert.ToBase64String(mac)}\"");
    }

    internal static void Write(ArrayBufferWriter<byte> bytes, ReadOnlySpan<byte> session, RegistryRequest request) =>
        RequestProof.Write(bytes, Domain, session, request, Member);

    private static bool TryRead(RegistryRequest request, Span<byte> mac)
    {
        ReadOnlySpan<byte> raw = request.GetRaw(Member).Span;
        if (raw.Length != TextSize + 2)
        {
            return StandardBase64.TryDecodeExact(request.GetString(Member), mac); // escaped, which is allowed
        }

        Span<byte> decoded = stackalloc byte[(TextSize / 4) * 3];
        return Base64.DecodeFromUtf8(raw[1..^1], decoded, out _, out int written) == OperationStatus.Done && written == Size && decoded[..Size].TryCopyTo(mac);
    }
}
