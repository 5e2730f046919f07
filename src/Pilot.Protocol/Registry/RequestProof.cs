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

    /// <summary>What is signed: domain, session, and all members but the signature itself by their names, each name and value (the JSON text as sent) behind its length.</summary>
    public static byte[] GetSignedBytes(ReadOnlySpan<byte> session, RegistryRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        ArgumentOutOfRangeException.ThrowIfNotEqual(session.Length, SessionSize);
        var bytes = new ArrayBufferWriter<byte>(512);
        bytes.Write(Domain);
        bytes.Write(session);
        foreach (string name in request.Names.Where(name => name != SignatureMember).Order(StringComparer.Ordinal))
        {
            Append(bytes, Encoding.UTF8.GetBytes(name));
            Append(bytes, request.GetRaw(name).Span);
        }

        return bytes.WrittenSpan.ToArray();
    }

    /// <summary>Adds sequence number and signature to the body of a request.</summary>
    /// <param name="body">A JSON object with at least one member, as it would be sent.</param>
    /// <param name="session">As the server named it.</param>
    /// <param name="sequence">Above that of every earlier request on the connection.</param>
    /// <param name="server">Pin of the server's certificate; null without TLS.</param>
    /// <param name="identity">Of the node that the request is about.</param>
    public static byte[] Sign(ReadOnlySpan<byte> body, ReadOnlySpan<byte> session, long sequence, string? server, Identity identity)
    {
        ArgumentNullException.ThrowIfNull(identity);
        byte[] numbered = Extend(body, string.Create(CultureInfo.InvariantCulture, $"\"{SequenceMember}\":{sequence}{(server is null ? "" : $",\"{ServerMember}\":\"{server}\"")}"));
        if (!RegistryRequest.TryParse(numbered, out RegistryRequest? request))
        {
            throw new ArgumentException("not a request", nameof(body));
        }

        Span<byte> signature = stackalloc byte[Ed25519.SignatureSize];
        identity.Sign(GetSignedBytes(session, request!), signature);
        return Extend(numbered, $"\"{SignatureMember}\":\"{Convert.ToBase64String(signature)}\"");
    }

    private static byte[] Extend(ReadOnlySpan<byte> body, string members) => [.. body[..^1], (byte)',', .. Encoding.ASCII.GetBytes(members), (byte)'}'];

    private static void Append(ArrayBufferWriter<byte> bytes, ReadOnlySpan<byte> part)
    {
        BinaryPrimitives.WriteInt32BigEndian(bytes.GetSpan(sizeof(int)), part.Length);
        bytes.Advance(sizeof(int));
        bytes.Write(part);
    }
}
