using System.Buffers.Binary;
using System.Security.Cryptography;
using Pilot.Protocol;

namespace Pilot.Rendezvous.Beacon;

/// <summary>
/// Cookies that only the receiver at an address can know: whoever sends one back gets what is sent there. Nothing is stored; a cookie is good for
/// five to ten minutes. Any thread.
/// </summary>
internal sealed class BeaconCookies(byte[] secret)
{
    private const long EpochSeconds = 300;

    public BeaconCookies()
        : this(RandomNumberGenerator.GetBytes(32))
    {
    }

    /// <summary>The cookie of an address now; never 0.</summary>
    public ulong Make(DateTimeOffset now, UdpEndpoint endpoint) => Make(now.ToUnixTimeSeconds() / EpochSeconds, endpoint);

    public bool Verify(DateTimeOffset now, UdpEndpoint endpoint, ulong cookie)
    {
        long epoch = now.ToUnixTimeSeconds() / EpochSeconds;
        return cookie != 0 && (Equals(cookie, Make(epoch, endpoint)) || Equals(cookie, Make(epoch - 1, endpoint)));
    }

    private static bool Equals(ulong a, ulong b)
    {
        Span<byte> both = stackalloc byte[16];
        BinaryPrimitives.WriteUInt64BigEndian(both, a);
        BinaryPrimitives.WriteUInt64BigEndian(both[8..], b);
        return CryptographicOperations.FixedTimeEquals(both[..8], both[8..]);
    }

    private ulong Make(long epoch, UdpEndpoint endpoint)
    {
        Span<byte> text = stackalloc byte[8 + 16 + 2];
        BinaryPrimitives.WriteInt64BigEndian(text, epoch);
        BinaryPrimitives.WriteUInt128BigEndian(text[8..], endpoint.Ip);
        BinaryPrimitives.WriteUInt16BigEndian(text[24..], endpoint.Port);
        Span<byte> hash = stackalloc byte[HMACSHA256.HashSizeInBytes];
        HMACSHA256.HashData(secret, text, hash);
        return BinaryPrimitives.ReadUInt64BigEndian(hash) | 1;
    }
}
