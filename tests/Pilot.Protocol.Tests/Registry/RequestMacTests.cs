using System.Text;
using Pilot.Protocol.Registry;

namespace Pilot.Protocol.Tests.Registry;

/// <summary>Keys and layout of the MACs: both sides must come to the same bytes for ever. The expected values were computed apart from this code.</summary>
public sealed class RequestMacTests
{
    // RFC 7748 section 6.1: Alice is the node, Bob the server.
    private static readonly byte[] NodePrivate = Convert.FromHexString("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
    private static readonly byte[] NodePublic = Convert.FromHexString("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
    private static readonly byte[] ServerPrivate = Convert.FromHexString("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
    private static readonly byte[] ServerPublic = Convert.FromHexString("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
    private static readonly byte[] Session = [.. Enumerable.Range(0, 16).Select(i => (byte)i)];
    private static readonly byte[] Node = [.. Enumerable.Repeat((byte)7, 32)];

    [Fact]
    public void Both_sides_derive_the_key_of_node_connection_and_exchange()
    {
        Assert.Equal("da95fc628d2370189e90edef29559d413858e16f353efd38ff0886598066fdf1", Convert.ToHexStringLower(Key(isServer: true)));
        Assert.Equal(Key(isServer: true), Key(isServer: false));
        byte[] other = new byte[32];
        Assert.True(RequestMac.TryDeriveKey(NodePrivate, ServerPublic, NodePublic, false, new byte[16], Node, other));
        Assert.NotEqual(Key(false), other);
        Assert.True(RequestMac.TryDeriveKey(NodePrivate, ServerPublic, NodePublic, false, Session, new byte[32], other));
        Assert.NotEqual(Key(false), other);
    }

    [Fact]
    public void Keys_of_low_order_or_wrong_length_are_refused()
    {
        byte[] key = [.. Enumerable.Repeat((byte)1, 32)];
        foreach (byte[] bad in (byte[][])[new byte[32], [1, .. new byte[31]], [.. Convert.FromHexString("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")], new byte[31], []])
        {
            Assert.False(RequestMac.TryDeriveKey(ServerPrivate, ServerPublic, bad, true, Session, Node, key));
            Assert.Equal(new byte[32], key);
            Assert.False(RequestMac.TryDeriveKey(NodePrivate, bad, NodePublic, false, Session, Node, key));
        }
    }

    [Fact]
    public void Seal_adds_number_and_mac()
    {
        byte[] body = RequestMac.Seal("{\"type\":\"heartbeat\",\"node_id\":5}"u8, Session, 7, Key(false));
        Assert.Equal("{\"type\":\"heartbeat\",\"node_id\":5,\"seq\":7,\"mac\":\"LiKQNoNERCnHOTfm/Jin40eWFfi2TylZsOBTt9ex3Lw=\"}", Encoding.UTF8.GetString(body));
        Assert.True(Verify(Encoding.UTF8.GetString(body), Session));
        Assert.False(Verify(Encoding.UTF8.GetString(body), new byte[16]));
    }

    [Theory]
    [InlineData("LiKQNoNERCnHOTfm/Jin40eWFfi2TylZsOBTt9ex3Lw=", true)]
    [InlineData("LiKQNoNERCnHOTfm\\/Jin40eWFfi2TylZsOBTt9ex3Lw=", true)] // the same string
    [InlineData("LiKQNoNERCnHOTfm/Jin40eWFfi2TylZsOBTt9ex3Lx=", false)]
    [InlineData("MiKQNoNERCnHOTfm/Jin40eWFfi2TylZsOBTt9ex3Lw=", false)]
    [InlineData("", false)]
    [InlineData("LiKQNoNERCnHOTfm/Jin40eWFfi2TylZsOBTt9ex3L==", false)] // 31 bytes
    [InlineData("LiKQNoNERCnHOTfm/Jin40eWFfi2TylZsOBTt9ex3LwA", false)] // 33 bytes
    [InlineData("    LiKQNoNERCnHOTfm/Jin40eWFfi2TylZsOBTt9e=", false)]
    public void Macs_are_read_as_strings_of_32_bytes(string mac, bool right) =>
        Assert.Equal(right, Verify($"{{\"mac\":\"{mac}\",\"seq\":7,\"node_id\":5,\"type\":\"heartbeat\"}}", Session));

    [Theory]
    [InlineData("heartbeat", true)]
    [InlineData("poll_handshakes", true)]
    [InlineData("resolve", true)]
    [InlineData("register", false)]
    [InlineData("rotate_key", false)]
    [InlineData("deregister", false)]
    [InlineData("set_key_expiry", false)]
    [InlineData("report_trust", false)]
    [InlineData("set_hostname", false)]
    [InlineData("of a later version", false)]
    public void What_changes_a_node_needs_the_signature(string type, bool covered) => Assert.Equal(covered, RequestMac.Covers(type));

    private static byte[] Key(bool isServer)
    {
        byte[] key = new byte[32];
        Assert.True(RequestMac.TryDeriveKey(isServer ? ServerPrivate : NodePrivate, ServerPublic, NodePublic, isServer, Session, Node, key));
        return key;
    }

    private static bool Verify(string body, byte[] session)
    {
        Assert.True(RegistryRequest.TryParse(Encoding.UTF8.GetBytes(body), out RegistryRequest? request));
        return RequestMac.Verify(Key(true), session, request!);
    }
}
