using System.Numerics;

namespace Pilot.Protocol.Tests.Cryptography;

/// <summary>RFC 8032 section 7.1, and everything malformed.</summary>
public sealed class Ed25519Tests
{
    // Order of the base point, RFC 8032 section 5.1.
    private static readonly BigInteger Order = BigInteger.Pow(2, 252) + BigInteger.Parse("27742317777372353535851937790883648493", System.Globalization.CultureInfo.InvariantCulture);

    [Theory]
    [InlineData(
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b")]
    [InlineData(
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00")]
    [InlineData(
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a")]
    public void Signatures_match_the_rfc(string seed, string publicKey, string message, string signature)
    {
        byte[] derived = new byte[Ed25519.PublicKeySize];
        Ed25519.GetPublicKey(Convert.FromHexString(seed), derived);
        Assert.Equal(publicKey, Convert.ToHexStringLower(derived));
        byte[] made = new byte[Ed25519.SignatureSize];
        Ed25519.Sign(Convert.FromHexString(seed), Convert.FromHexString(message), made);
        Assert.Equal(signature, Convert.ToHexStringLower(made));
        Assert.True(Ed25519.Verify(derived, Convert.FromHexString(message), made));
    }

    [Fact]
    public void Any_changed_bit_makes_a_signature_invalid()
    {
        byte[] seed = new byte[32];
        byte[] key = new byte[32];
        Ed25519.GetPublicKey(seed, key);
        byte[] message = [1, 2, 3, 4, 5];
        byte[] signature = new byte[64];
        Ed25519.Sign(seed, message, signature);
        foreach (byte[] part in new[] { key, message, signature })
        {
            for (int bit = 0; bit < part.Length * 8; bit += part.Length == 5 ? 1 : 7)
            {
                part[bit / 8] ^= (byte)(1 << bit % 8);
                Assert.False(Ed25519.Verify(key, message, signature));
                part[bit / 8] ^= (byte)(1 << bit % 8);
            }
        }

        Assert.True(Ed25519.Verify(key, message, signature));
    }

    [Fact]
    public void Wrong_lengths_and_keys_that_are_no_point_give_false()
    {
        byte[] signature = new byte[64];
        for (int length = 0; length < 100; length++)
        {
            if (length != 32)
            {
                Assert.False(Ed25519.Verify(new byte[length], [1], signature));
            }

            if (length != 64)
            {
                Assert.False(Ed25519.Verify(new byte[32], [1], new byte[length]));
            }
        }

        byte[] noPoint = [.. Enumerable.Repeat((byte)0xFF, 32)];
        Assert.False(Ed25519.Verify(noPoint, [1], signature));
        byte[] two = new byte[32];
        two[0] = 2; // y = 2 is on no point of the curve
        Assert.False(Ed25519.Verify(two, [1], signature));
    }

    [Fact]
    public void A_signature_with_S_above_the_group_order_is_refused()
    {
        byte[] seed = new byte[32];
        byte[] key = new byte[32];
        Ed25519.GetPublicKey(seed, key);
        byte[] signature = new byte[64];
        Ed25519.Sign(seed, "malleable"u8, signature);
        BigInteger s = new BigInteger(signature.AsSpan(32), isUnsigned: true) + Order;
        Assert.True(s.TryWriteBytes(signature.AsSpan(32), out _, isUnsigned: true));
        Assert.False(Ed25519.Verify(key, "malleable"u8, signature));
    }

    [Theory]
    [InlineData("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", true)]
    [InlineData("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", true)]
    [InlineData("5866666666666666666666666666666666666666666666666666666666666666", true)] // the base point
    [InlineData("0000000000000000000000000000000000000000000000000000000000000000", false)] // order 4
    [InlineData("0100000000000000000000000000000000000000000000000000000000000000", false)] // order 1
    [InlineData("0100000000000000000000000000000000000000000000000000000000000080", false)] // the same with the sign of a zero x
    [InlineData("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", false)] // order 2
    [InlineData("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", false)] // order 8
    [InlineData("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85", false)]
    [InlineData("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a", false)]
    [InlineData("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa", false)]
    [InlineData("0200000000000000000000000000000000000000000000000000000000000000", false)] // not on the curve
    [InlineData("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", false)] // y = p, not canonical
    [InlineData("ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", false)]
    [InlineData("aabb", false)]
    [InlineData("", false)]
    public void Public_keys_are_canonical_points_of_large_order(string hex, bool valid) =>
        Assert.Equal(valid, Ed25519.IsValidPublicKey(Convert.FromHexString(hex)));

    [Fact]
    public void Every_made_key_is_valid_and_half_of_random_bytes_are_not()
    {
        var random = new Random(15);
        byte[] bytes = new byte[32];
        byte[] key = new byte[32];
        int points = 0;
        for (int round = 0; round < 300; round++)
        {
            random.NextBytes(bytes);
            Ed25519.GetPublicKey(bytes, key);
            Assert.True(Ed25519.IsValidPublicKey(key));
            points += Ed25519.IsValidPublicKey(bytes) ? 1 : 0;
        }

        Assert.InRange(points, 100, 200);
    }

    [Fact]
    public void Wrong_lengths_of_own_secrets_are_an_error_of_the_caller()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => Ed25519.Sign(new byte[31], default, new byte[64]));
        Assert.Throws<ArgumentOutOfRangeException>(() => Ed25519.Sign(new byte[32], default, new byte[63]));
        Assert.Throws<ArgumentOutOfRangeException>(() => Ed25519.GetPublicKey(new byte[33], new byte[32]));
        Assert.Throws<ArgumentOutOfRangeException>(() => new Identity(new byte[31]));
    }
}
