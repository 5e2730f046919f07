using System.Numerics;

namespace Pilot.Rendezvous.Registry;

/// <summary>Whether 32 bytes are a point of the Ed25519 curve, which half of all byte strings are not (RFC 8032 section 5.1.3). About 0.1 ms; not for secrets.</summary>
internal static class CurvePoint
{
    private static readonly BigInteger P = BigInteger.Pow(2, 255) - 19;
    private static readonly BigInteger D = Mod(-121665 * BigInteger.ModPow(121666, P - 2, P)); // RFC 8032 section 5.1
    private static readonly BigInteger HalfOrder = (P - 1) / 2;

    public static bool IsValid(PublicKey key)
    {
        Span<byte> bytes = stackalloc byte[PublicKey.Size];
        key.Write(bytes);
        bytes[31] &= 0x7F; // the sign of x
        var y = new BigInteger(bytes, isUnsigned: true);
        if (y >= P)
        {
            return false;
        }

        // x^2 = (y^2 - 1) / (d y^2 + 1) has a root when numerator times denominator is a square. Zero is the neutral element and the point of order 2.
        BigInteger ySquared = y * y % P;
        BigInteger product = Mod((ySquared - 1) * (D * ySquared + 1));
        return !product.IsZero && BigInteger.ModPow(product, HalfOrder, P).IsOne;
    }

    private static BigInteger Mod(BigInteger value)
    {
        BigInteger rest = value % P;
        return rest.Sign < 0 ? rest + P : rest;
    }
}
