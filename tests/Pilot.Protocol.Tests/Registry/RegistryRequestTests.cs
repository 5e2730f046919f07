using System.Text;
using Pilot.Protocol.Registry;

namespace Pilot.Protocol.Tests.Registry;

/// <summary>The lenient reading rules of spec 03 section 3.</summary>
public sealed class RegistryRequestTests
{
    [Theory]
    [InlineData("1", 1u)]
    [InlineData("1.9", 1u)]
    [InlineData("1e3", 1000u)]
    [InlineData("4294967295", 4294967295u)]
    [InlineData("4294967295.5", 0u)]
    [InlineData("4294967296", 0u)]
    [InlineData("-1", 0u)]
    [InlineData("-0.5", 0u)]
    [InlineData("1e300", 0u)]
    [InlineData("\"1\"", 0u)]
    [InlineData("true", 0u)]
    [InlineData("null", 0u)]
    [InlineData("[1]", 0u)]
    [InlineData("{\"a\":1}", 0u)]
    public void Ids_are_doubles_cut_to_32_bits(string value, uint expected) =>
        Assert.Equal(expected, Parse($"{{\"x\":{value}}}").GetUInt32("x"));

    [Theory]
    [InlineData("65535", 65535)]
    [InlineData("65535.99", 0)]
    [InlineData("65536", 0)]
    [InlineData("7.7", 7)]
    [InlineData("-7", 0)]
    public void Network_ids_are_doubles_cut_to_16_bits(string value, int expected) =>
        Assert.Equal(expected, Parse($"{{\"x\":{value}}}").GetUInt16("x"));

    [Theory]
    [InlineData("-3.9", true, -3L)]
    [InlineData("1000000", true, 1000000L)]
    [InlineData("1e30", true, long.MaxValue)]
    [InlineData("-1e30", true, long.MinValue)]
    [InlineData("\"5\"", false, 0L)]
    public void Signed_numbers_are_cut_and_say_whether_they_are_there(string value, bool present, long expected)
    {
        RegistryRequest request = Parse($"{{\"x\":{value}}}");
        Assert.Equal(present, request.TryGetInteger("x", out long number));
        Assert.Equal(expected, number);
        Assert.False(request.TryGetInteger("y", out _));
    }

    [Fact]
    public void Missing_members_and_wrong_types_are_empty()
    {
        RegistryRequest request = Parse("{\"s\":1,\"b\":\"true\",\"a\":\"x\",\"type\":7}");
        Assert.Equal("", request.Type);
        Assert.Equal("", request.GetString("s"));
        Assert.False(request.GetBoolean("b"));
        Assert.Null(request.GetStrings("a"));
        Assert.True(request.Has("s"));
        Assert.False(request.HasString("s"));
        Assert.False(request.Has("S"));
        Assert.True(request.GetRaw("nothing").IsEmpty);
        Assert.Equal(0u, request.GetUInt32("nothing"));
    }

    [Fact]
    public void Arrays_give_their_strings_only()
    {
        RegistryRequest request = Parse("{\"tags\":[\"a\",1,null,[\"x\"],{\"y\":\"z\"},\"b\\u0063\",\"\"]}");
        Assert.Equal(["a", "bc", ""], request.GetStrings("tags")!);
        Assert.Empty(Parse("{\"tags\":[]}").GetStrings("tags")!);
    }

    [Fact]
    public void The_last_duplicate_wins_also_when_its_name_is_escaped()
    {
        RegistryRequest request = Parse("{\"node_id\":1,\"\\u006eode_id\":2}");
        Assert.Equal(2u, request.GetUInt32("node_id"));
    }

    [Fact]
    public void Nested_values_come_back_as_their_text()
    {
        RegistryRequest request = Parse("{ \"policy\" : { \"a\" : [ 1 , 2 ] } , \"n\" : -1.50 }");
        Assert.Equal("{ \"a\" : [ 1 , 2 ] }", Encoding.UTF8.GetString(request.GetRaw("policy").Span));
        Assert.Equal("-1.50", Encoding.UTF8.GetString(request.GetRaw("n").Span));
    }

    [Theory]
    [InlineData("")]
    [InlineData(" ")]
    [InlineData("{")]
    [InlineData("{}{}")]
    [InlineData("nullx")]
    [InlineData("null null")]
    [InlineData("{\"a\":1e400}")]
    [InlineData("{\"a\":[{\"b\":-1e999}]}")]
    [InlineData("{\"a\":1,}")]
    [InlineData("{a:1}")]
    [InlineData("{\"a\":01}")]
    [InlineData("{/**/}")]
    [InlineData("\"x\"")]
    public void Bodies_that_close_the_connection(string body) =>
        Assert.False(RegistryRequest.TryParse(Encoding.UTF8.GetBytes(body), out _));

    private static RegistryRequest Parse(string body)
    {
        Assert.True(RegistryRequest.TryParse(Encoding.UTF8.GetBytes(body), out RegistryRequest? request));
        return request!;
    }
}
