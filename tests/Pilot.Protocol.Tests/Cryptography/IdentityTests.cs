namespace Pilot.Protocol.Tests.Cryptography;

public sealed class IdentityTests
{
    [Fact]
    public void Created_identities_differ_and_survive_the_file()
    {
        Identity a = Identity.Create();
        Identity b = Identity.Create();
        Assert.NotEqual(a.PublicKeyText, b.PublicKeyText);
        Assert.True(Identity.TryParseJson(a.ToJson(), out Identity? loaded, out string? error));
        Assert.Null(error);
        Assert.Equal(a.PublicKey, loaded!.PublicKey);
        Assert.Equal(a.SignText("x"), loaded.SignText("x"));
        Assert.True(Identity.VerifyText(a.PublicKeyText, "heartbeat:7", loaded.SignText("heartbeat:7")));
        Assert.False(Identity.VerifyText(b.PublicKeyText, "heartbeat:7", loaded.SignText("heartbeat:7")));
    }

    [Fact]
    public void Line_breaks_inside_base64_are_tolerated()
    {
        Identity made = new(new byte[32]);
        string text = made.ToJson().Replace(made.PublicKeyText, made.PublicKeyText.Insert(10, "\\r\\n"), StringComparison.Ordinal);
        Assert.True(Identity.TryParseJson(text, out Identity? loaded, out _));
        Assert.Equal(made.PublicKey, loaded!.PublicKey);
    }

    [Theory]
    [InlineData("{}")]
    [InlineData("[]")]
    [InlineData("null")]
    [InlineData("{\"private_key\":\"\\ud800\",\"public_key\":\"\"}")]
    [InlineData("{\"private_key\":null,\"public_key\":null}")]
    public void Errors_name_the_file_and_no_secret(string text)
    {
        Assert.False(Identity.TryParseJson(text, out Identity? identity, out string? error));
        Assert.Null(identity);
        Assert.Contains("identity file", error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(null, null)]
    [InlineData("", "")]
    [InlineData("AAAA", "AAAA")]
    [InlineData("!!!", "AAAA")]
    [InlineData("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "AA==")]
    public void Malformed_keys_and_signatures_verify_false(string? key, string? signature) =>
        Assert.False(Identity.VerifyText(key, "x", signature));

    [Theory]
    [InlineData("AA==", 1)]
    [InlineData("AB==", 1)] // unused bits set: the reference's decoder does not mind
    [InlineData("A\nA=\r=", 1)]
    [InlineData("", 0)]
    [InlineData("AA=", -1)]
    [InlineData("AA", -1)]
    [InlineData("A A==", -1)]
    [InlineData("AA==\t", -1)]
    [InlineData("-_==", -1)]
    [InlineData("AA==AA==", -1)]
    public void Base64_is_as_lenient_as_the_reference(string text, int bytes)
    {
        Assert.Equal(bytes >= 0, StandardBase64.TryDecode(text, out byte[]? decoded));
        Assert.Equal(bytes, decoded?.Length ?? -1);
    }
}
