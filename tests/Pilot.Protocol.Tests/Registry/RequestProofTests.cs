using System.Text;
using Pilot.Protocol.Registry;

namespace Pilot.Protocol.Tests.Registry;

/// <summary>Layout of what the better signature covers: both sides must build the same bytes for ever.</summary>
public sealed class RequestProofTests
{
    [Fact]
    public void Signed_bytes_are_domain_session_and_members_by_name()
    {
        byte[] session = [.. Enumerable.Range(0, 16).Select(i => (byte)i)];
        Assert.True(RegistryRequest.TryParse("{\"type\":\"x\", \"b\": [1, 2],\"signature_v2\":\"s\",\"a\":\"\\u0041\"}"u8.ToArray(), out RegistryRequest? request));
        byte[] expected =
        [
            .. "pilot registry request 2\n"u8, .. session,
            0, 0, 0, 1, (byte)'a', 0, 0, 0, 8, .. "\"\\u0041\""u8,
            0, 0, 0, 1, (byte)'b', 0, 0, 0, 6, .. "[1, 2]"u8,
            0, 0, 0, 4, .. "type"u8, 0, 0, 0, 3, .. "\"x\""u8,
        ];
        Assert.Equal(expected, RequestProof.GetSignedBytes(session, request!));
    }

    [Fact]
    public void Signature_verifies_over_the_extended_body()
    {
        Identity identity = new(new byte[32]);
        byte[] session = new byte[16];
        byte[] body = RequestProof.Sign("{\"type\":\"heartbeat\",\"node_id\":5}"u8, session, 7, "ab", identity);
        Assert.StartsWith("{\"type\":\"heartbeat\",\"node_id\":5,\"seq\":7,\"server\":\"ab\",\"signature_v2\":\"", Encoding.UTF8.GetString(body), StringComparison.Ordinal);
        Assert.True(RegistryRequest.TryParse(body, out RegistryRequest? request));
        Assert.True(Ed25519.Verify(identity.PublicKey, RequestProof.GetSignedBytes(session, request!), Convert.FromBase64String(request!.GetString("signature_v2"))));
        session[0] = 1;
        Assert.False(Ed25519.Verify(identity.PublicKey, RequestProof.GetSignedBytes(session, request!), Convert.FromBase64String(request!.GetString("signature_v2"))));
    }
}
