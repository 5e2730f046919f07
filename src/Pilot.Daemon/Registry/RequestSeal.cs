using System.Buffers.Binary;
using System.Security.Cryptography;
using Pilot.Protocol;
using Pilot.Protocol.Registry;

namespace Pilot.Daemon.Registry;

/// <summary>
/// Proves the requests of one connection to a registry of ours (<see cref="RequestProof"/>): the first signed one offers a key, and once a request with it
/// was answered well, those that may be stand under a MAC (<see cref="RequestMac"/>). A registry that refuses a MAC gets signatures from then on.
/// </summary>
internal sealed class RequestSeal(Identity identity, byte[] session, string? fingerprint)
{
    private readonly byte[] _macKey = new byte[RequestMac.Size];
    private byte[]? _public; // of the offer; null when the registry named no key
    private bool _agreed;
    private long _sequence;

    /// <summary>Makes a key of this connection to offer to a registry that named one. One that is unusable is as good as none.</summary>
    /// <param name="server">The registry's X25519 key.</param>
    public void Offer(ReadOnlySpan<byte> server)
    {
        var secret = RandomNumberGenerator.GetBytes(X25519.KeySize);
        var own = new byte[X25519.KeySize];
        X25519.GetPublicKey(secret, own);
        _public = RequestMac.TryDeriveKey(secret, server, own, isServer: false, session, identity.PublicKey, _macKey) ? own : null;
        CryptographicOperations.ZeroMemory(secret);
    }

    /// <summary>The frame to send.</summary>
    public SealedRequest Seal(RegistryRequest request)
    {
        if (_agreed && RequestMac.Covers(request.Type))
        {
            return Frame(RequestMac.Seal(request.Bare.Span, session, ++_sequence, _macKey), SealKind.Mac, request);
        }

        var offers = _public is not null && !_agreed;
        var body = RequestProof.Sign(request.Frame.Span[sizeof(uint)..], session, ++_sequence, fingerprint, identity, offers ? _public : default);
        return Frame(body, offers ? SealKind.Offer : SealKind.Signature, request);
    }

    /// <summary>Takes note of the answer. True when the MAC was refused: the request is to be sealed again, and will be signed.</summary>
    public bool IsRefused(SealKind kind, RegistryAnswer answer)
    {
        if (kind == SealKind.Offer && answer.Error is null)
        {
            _agreed = true; // it verified the signature, and keeps the key that came under it
        }

        if (kind != SealKind.Mac || answer.Code != RegistryErrorCode.SignatureNeeded)
        {
            return false;
        }

        (_agreed, _public) = (false, null);
        CryptographicOperations.ZeroMemory(_macKey);
        return true;
    }

    private static SealedRequest Frame(byte[] body, SealKind kind, RegistryRequest request)
    {
        if (body.Length > RegistryRequests.MaxBody)
        {
            return new SealedRequest(request.Frame, SealKind.None);
        }

        var frame = new byte[sizeof(uint) + body.Length];
        BinaryPrimitives.WriteUInt32BigEndian(frame, (uint)body.Length);
        body.CopyTo(frame, sizeof(uint));
        return new SealedRequest(frame, kind);
    }
}

/// <summary>A request as it goes out, and how it is proved.</summary>
internal readonly record struct SealedRequest(ReadOnlyMemory<byte> Frame, SealKind Kind);

internal enum SealKind
{
    /// <summary>As the reference signs, or not at all.</summary>
    None,

    Signature,

    /// <summary>A signature, with a key for MACs under it.</summary>
    Offer,

    Mac,
}
