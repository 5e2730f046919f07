namespace Pilot.Protocol.Tests.Cryptography;

/// <summary>RFC 7748 sections 5.2 and 6.1, and the points of low order.</summary>
public sealed class X25519Tests
{
    [Theory]
    [InlineData(
        "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
        "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
        "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552")]
    [InlineData(
        "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
        "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
        "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957")]
    [InlineData(
        "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
        "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
        "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")]
    public void Agreement_matches_the_rfc(string scalar, string point, string expected)
    {
        byte[] shared = new byte[X25519.KeySize];
        Assert.True(X25519.TryAgree(Convert.FromHexString(scalar), Convert.FromHexString(point), shared));
        Assert.Equal(expected, Convert.ToHexStringLower(shared));
    }

    [Fact]
    public void Iteration_matches_the_rfc()
    {
        byte[] k = new byte[X25519.KeySize];
        k[0] = 9;
        byte[] u = [.. k];
        byte[] next = new byte[X25519.KeySize];
        for (int i = 1; i <= 1000; i++)
        {
            Assert.True(X25519.TryAgree(k, u, next));
            (u, k, next) = (k, next, u);
            if (i == 1)
            {
                Assert.Equal("422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079", Convert.ToHexStringLower(k));
            }
        }

        Assert.Equal("684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51", Convert.ToHexStringLower(k));
    }

    [Theory]
    [InlineData("0000000000000000000000000000000000000000000000000000000000000000")] // 0
    [InlineData("0100000000000000000000000000000000000000000000000000000000000000")] // 1
    [InlineData("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800")] // order 8
    [InlineData("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157")] // order 8
    [InlineData("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")] // p - 1
    [InlineData("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")] // p
    [InlineData("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")] // p + 1
    [InlineData("0000000000000000000000000000000000000000000000000000000000000080")] // 0 with the bit that X25519 ignores
    [InlineData("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff")] // p - 1 with that bit
    public void Points_of_low_order_are_refused(string point)
    {
        byte[] shared = [.. Enumerable.Repeat((byte)7, X25519.KeySize)];
        byte[] key = [.. Enumerable.Repeat((byte)7, TunnelKey.Size)];
        byte[] own = Convert.FromHexString("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
        Assert.False(X25519.TryAgree(own, Convert.FromHexString(point), shared));
        Assert.False(TunnelKey.TryDerive(own, Convert.FromHexString(point), key));
        Assert.All(shared, b => Assert.Equal(0, b));
        Assert.All(key, b => Assert.Equal(0, b));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(31)]
    [InlineData(33)]
    [InlineData(64)]
    public void Peer_keys_of_a_wrong_length_are_refused(int length)
    {
        byte[] own = new byte[32];
        Assert.False(X25519.TryAgree(own, new byte[length], new byte[32]));
        Assert.False(TunnelKey.TryDerive(own, new byte[length], new byte[32]));
    }

    [Fact]
    public void Both_sides_derive_the_same_key_and_strangers_another()
    {
        var random = new Random(9);
        byte[] a = new byte[32];
        byte[] b = new byte[32];
        byte[] publicA = new byte[32];
        byte[] publicB = new byte[32];
        byte[] keyA = new byte[32];
        byte[] keyB = new byte[32];
        for (int round = 0; round < 50; round++)
        {
            random.NextBytes(a);
            random.NextBytes(b);
            X25519.GetPublicKey(a, publicA);
            X25519.GetPublicKey(b, publicB);
            Assert.True(TunnelKey.TryDerive(a, publicB, keyA));
            Assert.True(TunnelKey.TryDerive(b, publicA, keyB));
            Assert.Equal(keyA, keyB);
            Assert.True(TunnelKey.TryDerive(b, publicB, keyB));
            Assert.NotEqual(keyA, keyB);
        }
    }
}
