using System.Globalization;
using System.Numerics;

namespace Pilot.Protocol;

/// <summary>Whether 32 bytes encode a usable point of edwards25519 (RFC 8032 sections 5.1, 5.1.3). libcrypto has no function for it. Works on public values only, so timing does not matter.</summary>
internal static class Ed25519Point
{
    private static readonly BigInteger P = BigInteger.Pow(2, 255) - 19;

    private static readonly BigInteger D = Modulo(-121665 * BigInteger.ModPow(121666, P - 2, P));

    // y coordinates of the 8 points whose order divides 8.
    private static readonly BigInteger[] SmallOrder = MakeSmallOrder();

    public static bool IsValid(ReadOnlySpan<byte> encoding)
    {
        Span<byte> bytes = stackalloc byte[Ed25519.PublicKeySize];
        encoding.CopyTo(bytes);
        bytes[^1] &= 0x7F; // the sign of x
        var y = new BigInteger(bytes, isUnsigned: true);
        if (y >= P || SmallOrder.Contains(y))
        {
            return false;
        }

        // x^2 = u / v; it has a root iff u * v is a square. x = 0 occurs only at the small-order points y = 1 and y = -1.
        BigInteger u = Modulo(y * y - 1);
        BigInteger v = Modulo(D * y * y + 1);
        return BigInteger.ModPow(u * v, (P - 1) / 2, P).IsOne;
    }

    private static BigInteger[] MakeSmallOrder()
    {
        // A root of d*y^4 + 2*y^2 - 1: the points whose double has y = 0, which is of order 4.
        BigInteger order8 = BigInteger.Parse("2707385501144840649318225287225658788936804267575313519463743609750303402022", CultureInfo.InvariantCulture);
        return [BigInteger.Zero, BigInteger.One, P - 1, order8, P - order8];
    }

    private static BigInteger Modulo(BigInteger value)
    {
        BigInteger rest = value % P;
        return rest.Sign < 0 ? rest + P : rest;
    }
}
