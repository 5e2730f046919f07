using System.Numerics;
using System.Text.Json.Nodes;
using Pilot.Protocol;
using Pilot.Rendezvous.Registry;

namespace Pilot.Rendezvous.Tests.Registry;

public sealed class CurvePointTests
{
    [Fact]
    public void Every_public_key_is_a_point()
    {
        byte[] seed = new byte[32];
        byte[] key = new byte[32];
        for (int i = 0; i < 200; i++)
        {
            seed[i % 32]++;
            Ed25519.GetPublicKey(seed, key);
            Assert.True(CurvePoint.IsValid(PublicKey.Read(key)));
        }
    }

    [Fact]
    public void About_half_of_all_byte_strings_are_none()
    {
        var random = new Random(7);
        byte[] key = new byte[32];
        int points = 0;
        for (int i = 0; i < 1000; i++)
        {
            random.NextBytes(key);
            points += CurvePoint.IsValid(PublicKey.Read(key)) ? 1 : 0;
        }

        Assert.InRange(points, 400, 600);
    }

    [Theory]
    [InlineData(0)] // y = p is a second spelling of 0
    [InlineData(1)] // and p + 1 of the neutral element
    public void Other_spellings_and_the_neutral_element_are_refused(int offset)
    {
        byte[] key = (BigInteger.Pow(2, 255) - 19 + offset).ToByteArray(isUnsigned: true);
        Assert.False(CurvePoint.IsValid(PublicKey.Read(key)));
        byte[] neutral = new byte[32];
        neutral[0] = 1;
        Assert.False(CurvePoint.IsValid(PublicKey.Read(neutral)));
    }

    [Theory]
    [InlineData(RegistryPolicy.Strict, false)]
    [InlineData(RegistryPolicy.Reference, true)]
    public void Registration_with_something_else_is_refused(RegistryPolicy policy, bool accepted)
    {
        var session = new RegistrySession(policy);
        byte[] notAPoint = new byte[32];
        notAPoint[0] = 2;
        Assert.False(CurvePoint.IsValid(PublicKey.Read(notAPoint)));
        var request = new JsonObject { ["type"] = "register", ["public_key"] = Convert.ToBase64String(notAPoint) };
        JsonObject answer = session.Send("192.0.2.1", request);
        Assert.Equal(accepted, answer.IsOk());
        Assert.True(accepted || answer.Error() == "invalid public key: not a point of the curve");
    }
}
