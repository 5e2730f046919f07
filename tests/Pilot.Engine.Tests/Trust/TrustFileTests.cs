using Pilot.Engine.Trust;

namespace Pilot.Engine.Tests.Trust;

/// <summary>Reading of odd files beyond the vectors: lenient where the reference is, never silently empty.</summary>
public class TrustFileTests
{
    [Theory]
    [InlineData("""{"trusted":null,"pending":null,"future":[{"x":1}]}""")]
    [InlineData("""{"TRUSTED":[]}""")]
    public void Empty_forms(string text)
    {
        Assert.True(TrustFile.TryParse(text, out IReadOnlyList<TrustedPeer> trusted, out _, out string? error), error);
        Assert.Empty(trusted);
    }

    [Theory]
    [InlineData("")]
    [InlineData("\0\0\0\0")]
    [InlineData("null")]
    [InlineData("{}")]
    [InlineData("""{"version":1,"marks":[]}""")]
    [InlineData("[]")]
    [InlineData("7")]
    [InlineData("{} {}")]
    [InlineData("""{"trusted":{}}""")]
    [InlineData("""{"trusted":[7]}""")]
    [InlineData("""{"trusted":[{"node_id":1.0}]}""")]
    [InlineData("""{"trusted":[{"node_id":-1}]}""")]
    [InlineData("""{"trusted":[{"node_id":4294967296}]}""")]
    [InlineData("""{"trusted":[{"node_id":1,"network":65536}]}""")]
    [InlineData("""{"trusted":[{"node_id":1,"mutual":1}]}""")]
    [InlineData("""{"trusted":[{"node_id":1,"approved_at":5}]}""")]
    [InlineData("""{"pending":[{"node_id":1,"justification":[]}]}""")]
    [InlineData("""{"pending":[{"node_id":1,"justification":"\ud800"}]}""")]
    public void Unreadable_files_are_reported(string text)
    {
        Assert.False(TrustFile.TryParse(text, out IReadOnlyList<TrustedPeer> trusted, out IReadOnlyList<PendingRequest> pending, out string? error));
        Assert.Empty(trusted);
        Assert.Empty(pending);
        Assert.False(string.IsNullOrEmpty(error));
    }

    [Fact]
    public void Output_is_sorted_and_escaped_as_the_reference_does()
    {
        string text = TrustFile.Format(
            [new TrustedPeer { NodeId = 9, ApprovedAt = TrustDriver.Start }, new TrustedPeer { NodeId = 2, ApprovedAt = TrustDriver.Start }],
            [new PendingRequest { NodeId = 5, Justification = "a\"\\\n\u0001<\u2028é\ud83d\ude00", ReceivedAt = TrustDriver.Start }]);
        Assert.True(text.IndexOf("\"node_id\": 2", StringComparison.Ordinal) < text.IndexOf("\"node_id\": 9", StringComparison.Ordinal));
        Assert.Contains("\"a\\\"\\\\\\n\\u0001\\u003c\\u2028é\ud83d\ude00\"", text, StringComparison.Ordinal);
        Assert.True(TrustFile.TryParse(text, out _, out IReadOnlyList<PendingRequest> pending, out _));
        Assert.Equal("a\"\\\n\u0001<\u2028é\ud83d\ude00", Assert.Single(pending).Justification);
    }

    [Theory]
    [InlineData("")]
    [InlineData("null")]
    [InlineData("[]")]
    [InlineData("{}")]
    [InlineData("""{"version":2}""")]
    [InlineData("""{"version":1,"former":[{"node_id":1,"state":"loved"}]}""")]
    [InlineData("""{"version":1,"former":[{"state":"revoked"}]}""")]
    [InlineData("""{"version":1,"marks":[{"since":"2026-04-01T00:00:00Z"}]}""")]
    [InlineData("""{"version":1,"marks":[{"node_id":1,"hostname":"both"}]}""")]
    [InlineData("""{"version":1,"keys":7}""")]
    public void An_extension_file_that_makes_no_sense_is_reported(string text)
    {
        Assert.False(TrustExtensionFile.TryParse(text, out TrustExtension extension, out string? error));
        Assert.Same(TrustExtension.Empty, extension);
        Assert.False(string.IsNullOrEmpty(error));
    }

    [Fact]
    public void Mutated_files_never_throw()
    {
        string trust = TrustVectors.Text("trust_json_network_trusted");
        string extension = TrustExtensionFile.Format(new TrustExtension(
            [new OutgoingMark { NodeId = 5, Since = TrustDriver.Start }, new OutgoingMark { Hostname = "x", Since = TrustDriver.Start, Justification = "why" }],
            new Dictionary<uint, string> { [1] = "k" },
            [new FormerPeer { NodeId = 3, State = FormerPeerState.KeyChanged, PublicKey = "a", NewPublicKey = "b", Since = TrustDriver.Start }],
            new Dictionary<uint, string> { [1] = "h" }));
        Assert.True(TrustExtensionFile.TryParse(extension, out _, out _));
        var random = new Random(11);
        const string Alphabet = "{}[]\":,0123456789.eE-nulltruefals \\ud8\u0000Zé";
        for (int i = 0; i < 50_000; i++)
        {
            char[] text = (i % 2 == 0 ? trust : extension).ToCharArray();
            for (int changes = 1 + random.Next(3); changes > 0; changes--)
            {
                text[random.Next(text.Length)] = Alphabet[random.Next(Alphabet.Length)];
            }

            string mutated = new string(text)[..random.Next(text.Length / 2, text.Length + 1)];
            bool readable = TrustFile.TryParse(mutated, out _, out _, out string? trustError);
            Assert.Equal(readable, trustError is null);
            readable = TrustExtensionFile.TryParse(mutated, out _, out string? extensionError);
            Assert.Equal(readable, extensionError is null);
        }
    }
}
