using System.Buffers;
using System.Buffers.Binary;
using System.Globalization;
using System.Text;

namespace Pilot.Protocol.Registry;

/// <summary>
/// The second signature of a request (spec 03 section 4.3, "Better"), an extension that reference servers ignore. It covers every member, a random
/// session that the server names on the connection, and a number that grows with each request of it: so it is worth nothing with another value, on
/// another connection, or a second time.
/// </summary>
public static class RequestProof
{
    /// <summary>Request member of the signature: standard base64 over <see cref="GetSignedBytes"/>.</summary>
    public const string SignatureMember = "signature_v2";

    /// <summary>Request member: an integer above that of every earlier request on the connection.</summary>
    public const string SequenceMember = "seq";

    /// <summary>Request member of <c>check_trust</c>, true: the answer is to name the session.</summary>
    public const string SessionWantedMember = "session_wanted";

    /// <summary>Answer member: the session in standard base64.</summary>
    public const string SessionMember = "session";

    /// <summary>Request member: SHA-256 of the TLS certificate that the client pinned, in lower-case hex. A signature made for one server is refused by another.</summary>
    public const string ServerMember = "server";

    /// <summary>Bytes of a session.</summary>
    public const int SessionSize = 16;

    private static readonly byte[] Domain = Encoding.ASCII.GetBytes("pilot registry request 2\n");

    private const int KeptBuffer = 16 * 1024; // bytes; larger ones are rare and not kept

    [ThreadStatic]
    private static ArrayBufferWriter<byte>? t_buffer;

    /// <summary>What is signed: domain, session, and all members but the signature itself by their names, each name and value (the JSON text as sent) behind its length.</summary>
    public static byte[] GetSignedBytes(ReadOnlySpan<byte> session, RegistryRequest request)
    {
        ArrayBufferWriter<byte> bytes = Borrow();
        Write(bytes, Domain, session, request, SignatureMember);
        return bytes.WrittenSpan.ToArray();
    }

    /// <summary>True when the signature of a request is the identity's, over this session.</summary>
    public static bool Verify(ReadOnlySpan<byte> publicKey, ReadOnlySpan<byte> session, RegistryRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        Span<byte> signature = stackalloc byte[Ed25519.SignatureSize];
        if (!StandardBase64.TryDecodeExact(request.GetString(SignatureMember), signature))
        {
            return false;
        }

        ArrayBufferWriter<byte> bytes = Borrow();
        Write(bytes, Domain, session, request, SignatureMember);
        return Ed25519.Verify(publicKey, bytes.WrittenSpan, signature);
    }

    /// <summary>Adds sequence number and signature to the body of a request.</summary>
    /// <param name="body">A JSON object with at least one member, as it would be sent.</param>
    /// <param name="session">As the server named it.</param>
    /// <param name="sequence">Above that of every earlier request on the connection.</param>
    /// <param name="server">Pin of the server's certificate; null without TLS.</param>
    /// <param name="identity">Of the node that the request is about.</param>
    /// <param name="macKey">The node's X25519 key of this connection, to be used for <see cref="RequestMac"/> from now on; empty for none.</param>
    public static byte[] Sign(ReadOnlySpan<byte> body, ReadOnlySpan<byte> session, long sequence, string? server, Identity identity, ReadOnlySpan<byte> macKey = default)
    {
        ArgumentNullException.ThrowIfNull(identity);
        string more = server is null ? "" : $",\"{ServerMember}\":\"{server}\"";
        byte[] numbered = Number(body, sequence, macKey.IsEmpty ? more : $"{more},\"{RequestMac.NodeKeyMember}\":\"{Convert.ToBase64String(macKey)}\"");
        if (!RegistryRequest.TryParse(numbered, out RegistryRequest? request))
        {
            throw new ArgumentException("not a request", nameof(body));
        }

        Span<byte> signature = stackalloc byte[Ed25519.SignatureSize];
        identity.Sign(GetSignedBytes(session, request!), signature);
        return Extend(numbered, $"\"{SignatureMember}\":\"{Convert.ToBase64String(signature)}\"");
    }

    internal static byte[] Number(ReadOnlySpan<byte> body, long sequence, string more) =>
        Extend(body, string.Create(CultureInfo.InvariantCulture, $"\"{SequenceMember}\":{sequence}{more}"));

    internal static byte[] Extend(ReadOnlySpan<byte> body, string members) => [.. body[..^1], (byte)',', .. Encoding.ASCII.GetBytes(members), (byte)'}'];

    /// <summary>An empty buffer of this thread, until the next call.</summary>
    internal static ArrayBufferWriter<byte> Borrow()
    {
        if (t_buffer is null || t_buffer.Capacity > KeptBuffer)
        {
            t_buffer = new ArrayBufferWriter<byte>(1024);
        }

        t_buffer.ResetWrittenCount();
        return t_buffer;
    }

    /// <summary>What a proof covers: a domain of its own, the session, and all members but the proof by their names.</summary>
    internal static void Write(ArrayBufferWriter<byte> bytes, ReadOnlySpan<byte> domain, ReadOnlySpan<byte> session, RegistryRequest request, string proof)
    {
        ArgumentNullException.ThrowIfNull(request);
        ArgumentOutOfRangeException.ThrowIfNotEqual(session.Length, SessionSize);
        bytes.Write(domain);
        bytes.Write(session);
        int count = request.Count;
        string[] names = ArrayPool<string>.Shared.Rent(count);
        request.CopyNames(names);
        Array.Sort(names, 0, count, StringComparer.Ordinal);
        for (int i = 0; i < count; i++)
        {
            if (names[i] != proof)
            {
                AppendName(bytes, names[i]);
                Append(bytes, request.GetRaw(names[i]).Span);
            }
        }

        ArrayPool<string>.Shared.Return(names, clearArray: true);
    }

    private static void AppendName(ArrayBufferWriter<byte> bytes, string name)
    {
        int room = sizeof(int) + Encoding.UTF8.GetMaxByteCount(name.Length);
        Span<byte> to = bytes.GetSpan(room);
        int length = Encoding.UTF8.GetBytes(name, to[sizeof(int)..]);
        BinaryPrimitives.WriteInt32BigEndian(to, length);
        bytes.Advance(sizeof(int) + length);
    }

    private static void Append(ArrayBufferWriter<byte> bytes, ReadOnlySpan<byte> part)
    {
        BinaryPrimitives.WriteInt32BigEndian(bytes.GetSpan(sizeof(int)), part.Length);
        bytes.Advance(sizeof(int));
        bytes.Write(part);
    }
}
