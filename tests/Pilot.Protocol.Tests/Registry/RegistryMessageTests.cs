using System.Buffers;
using System.Text;
using Pilot.Protocol.Registry;
using Pilot.Protocol.Tests.Golden;

namespace Pilot.Protocol.Tests.Registry;

public sealed class RegistryMessageTests
{
    [Fact]
    public void Extensions_are_written_only_when_set()
    {
        Assert.Equal(
            "{\"from_node_id\":1,\"justification\":\"\",\"signature\":\"s\",\"to_hostname\":\"agent-a\",\"type\":\"request_handshake\"}",
            Body(RegistryFrame.Encode(
                new RequestHandshakeRequest { FromNodeId = 1, ToHostname = "agent-a", Signature = "s" }, RegistryJson.Context.RequestHandshakeRequest)));
        Assert.Equal(
            "{\"code\":\"rate_limited\",\"error\":\"rate limited: too many queries from 1.2.3.4\",\"retry_after_ms\":250,\"type\":\"error\"}",
            Body(RegistryFrame.Encode(
                new ErrorResponse { Error = "rate limited: too many queries from 1.2.3.4", Code = RegistryErrorCode.RateLimited, RetryAfterMs = 250 },
                RegistryJson.Context.ErrorResponse)));
        Assert.Equal(
            "{\"requests\":[{\"from_hostname\":\"b\",\"from_node_id\":2,\"justification\":\"\\u003c\",\"timestamp\":3}],\"responses\":[],\"type\":\"poll_handshakes_ok\"}",
            Body(RegistryFrame.Encode(
                new PollHandshakesResponse { Requests = [new HandshakeRequestEntry { FromHostname = "b", FromNodeId = 2, Justification = "<", Timestamp = 3 }] },
                RegistryJson.Context.PollHandshakesResponse)));
        Assert.Equal("handshake_name:1:agent-a", Challenge.HandshakeByName(1, "agent-a"));
    }

    [Theory]
    [InlineData("{\"error\":\"x\",\"type\":\"lookup_ok\",\"node_id\":1}", true)]
    [InlineData("{\"type\":\"error\",\"error\":7}", false)]
    [InlineData("{\"node_id\":1,\"extra\":{\"error\":\"x\"}}", false)]
    [InlineData("{\"node_id\":1,\"error\":null}", false)]
    public void A_string_member_error_is_a_refusal_whatever_the_type_says(string body, bool refused)
    {
        Assert.True(RegistryJson.TryReadResponse(Encoding.UTF8.GetBytes(body), RegistryJson.Context.LookupResponse, out LookupResponse? response, out ErrorResponse? error));
        Assert.Equal(refused, error is not null);
        Assert.Equal(!refused, response is not null);
    }

    [Theory]
    [InlineData("")]
    [InlineData("null")]
    [InlineData("[]")]
    [InlineData("{\"requests\":[null]}")]
    [InlineData("{\"requests\":{}}")]
    [InlineData("{\"requests\":[{\"from_node_id\":-1}]}")]
    [InlineData("{\"requests\":[{\"from_node_id\":4294967296}]}")]
    [InlineData("{\"requests\":[{\"justification\":\"\\ud800\"}]}")]
    [InlineData("{} {}")]
    public void Malformed_responses_are_refused(string body) =>
        Assert.False(RegistryJson.TryReadResponse(
            Encoding.UTF8.GetBytes(body), RegistryJson.Context.PollHandshakesResponse, out PollHandshakesResponse? _, out ErrorResponse? _));

    [Fact]
    public void Null_members_and_missing_members_never_give_null_lists_or_texts()
    {
        Assert.True(RegistryJson.TryReadResponse(
            "{\"requests\":null}"u8, RegistryJson.Context.PollHandshakesResponse, out PollHandshakesResponse? poll, out _));
        Assert.Empty(poll!.Requests);
        Assert.Empty(poll.Responses);
        Assert.True(RegistryJson.TryReadResponse("{\"address\":null}"u8, RegistryJson.Context.LookupResponse, out LookupResponse? lookup, out _));
        Assert.Equal("", lookup!.Address);
        Assert.Equal("", lookup.PublicKey);
    }

    [Fact]
    public void Frames_are_found_at_any_segmentation_and_limit()
    {
        byte[] frame = RegistryFrame.Encode(new BeaconListRequest(), RegistryJson.Context.BeaconListRequest);
        byte[] stream = [.. frame, .. frame, 0, 0];
        for (int segment = 1; segment <= stream.Length; segment++)
        {
            ReadOnlySequence<byte> buffer = SegmentedSequence.Create(stream, segment);
            Assert.Equal(RegistryFrameStatus.Complete, RegistryFrame.TryReadFrame(ref buffer, RegistryFrame.MaxRequestBody, out ReadOnlySequence<byte> first));
            Assert.Equal(RegistryFrameStatus.Complete, RegistryFrame.TryReadFrame(ref buffer, RegistryFrame.MaxRequestBody, out ReadOnlySequence<byte> second));
            Assert.Equal(first.ToArray(), second.ToArray());
            Assert.Equal(RegistryFrameStatus.Incomplete, RegistryFrame.TryReadFrame(ref buffer, RegistryFrame.MaxRequestBody, out _));
            Assert.Equal(2, buffer.Length);
        }

        for (int length = 0; length < frame.Length; length++)
        {
            Assert.Equal(RegistryFrameStatus.Incomplete, RegistryFrame.TryReadFrame(frame.AsSpan(0, length), RegistryFrame.MaxRequestBody, out _, out _));
        }

        Assert.Equal(RegistryFrameStatus.TooLarge, RegistryFrame.TryReadFrame(frame, frame.Length - RegistryFrame.PrefixSize - 1, out _, out _));
        Assert.Equal(RegistryFrameStatus.TooLarge, RegistryFrame.TryReadFrame([0xFF, 0xFF, 0xFF, 0xFF], RegistryFrame.MaxResponseBody, out _, out _));
    }

    [Theory]
    [InlineData("a", null)]
    [InlineData("0", null)]
    [InlineData("agent-1", null)]
    [InlineData("a--b", null)]
    [InlineData("123", null)]
    [InlineData("", "hostname must be lowercase alphanumeric with hyphens, start/end with alphanumeric")]
    [InlineData("-a", "hostname must be lowercase alphanumeric with hyphens, start/end with alphanumeric")]
    [InlineData("a-", "hostname must be lowercase alphanumeric with hyphens, start/end with alphanumeric")]
    [InlineData("Carol", "hostname must be lowercase alphanumeric with hyphens, start/end with alphanumeric")]
    [InlineData("carol\n", "hostname must be lowercase alphanumeric with hyphens, start/end with alphanumeric")]
    [InlineData("a.b", "hostname must be lowercase alphanumeric with hyphens, start/end with alphanumeric")]
    [InlineData("a_b", "hostname must be lowercase alphanumeric with hyphens, start/end with alphanumeric")]
    [InlineData("é", "hostname must be lowercase alphanumeric with hyphens, start/end with alphanumeric")]
    [InlineData("localhost", "hostname \"localhost\" is reserved")]
    [InlineData("backbone", "hostname \"backbone\" is reserved")]
    [InlineData("broadcast", "hostname \"broadcast\" is reserved")]
    public void Hostname_rules(string hostname, string? expected)
    {
        Assert.Equal(expected is null, HostnameRules.TryValidate(hostname, out string? error));
        Assert.Equal(expected, error);
    }

    [Fact]
    public void Hostname_length_is_counted_in_bytes_and_checked_first()
    {
        Assert.True(HostnameRules.TryValidate(new string('a', 63), out _));
        Assert.False(HostnameRules.TryValidate(new string('a', 64), out string? error));
        Assert.Equal("hostname too long (max 63 chars)", error);
        Assert.False(HostnameRules.TryValidate(new string('é', 32), out error));
        Assert.Equal("hostname too long (max 63 chars)", error);
    }

    private static string Body(byte[] frame) => Encoding.UTF8.GetString(frame.AsSpan(RegistryFrame.PrefixSize));
}
