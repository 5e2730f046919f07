using System.Text;
using System.Text.Json;
using Pilot.Protocol.Tests.Fuzzing;

namespace Pilot.Protocol.Tests.Json;

/// <summary>What the framework's readers throw at is repaired, all else stays byte for byte.</summary>
public class ForeignJsonTests
{
    [Theory]
    [InlineData("""{"a":"\ud83d\ude00 \\ud800 \n"}""", """{"a":"\ud83d\ude00 \\ud800 \n"}""")]
    [InlineData("""{"a":"\ud800"}""", """{"a":"\uFFFD"}""")]
    [InlineData("""{"\udc00":"\uD800\u0041\\"}""", """{"\uFFFD":"\uFFFD\u0041\\"}""")]
    [InlineData("""["\ud800\ud800\udc00"]""", """["\uFFFD\ud800\udc00"]""")]
    [InlineData("""\""", """\""")]
    [InlineData("""\ud80""", """\ud80""")]
    public void Halves_of_pairs_are_replaced(string json, string expected) =>
        Assert.Equal(expected, Encoding.UTF8.GetString(ForeignJson.Repair(Encoding.UTF8.GetBytes(json)).Span));

    [Fact]
    public void What_is_parsed_can_be_read_whatever_came()
    {
        var mutator = new Mutator(7, [Encoding.UTF8.GetBytes("""{"a":"\ud83d\ude00","b":["\u0041é\\",{"\t":"x"}]}""")]);
        int read = 0;
        for (int i = 0; i < 60_000; i++)
        {
            try
            {
                using JsonDocument document = JsonDocument.Parse(ForeignJson.Repair(mutator.Next()));
                Read(document.RootElement);
                read++;
            }
            catch (JsonException)
            {
                // not JSON: a reader expects that
            }
        }

        Assert.True(read > 1000);
    }

    private static void Read(JsonElement element)
    {
        switch (element.ValueKind)
        {
            case JsonValueKind.String:
                Assert.NotNull(element.GetString());
                break;
            case JsonValueKind.Array:
                foreach (JsonElement item in element.EnumerateArray())
                {
                    Read(item);
                }

                break;
            case JsonValueKind.Object:
                foreach (JsonProperty member in element.EnumerateObject())
                {
                    Assert.NotNull(member.Name);
                    Read(member.Value);
                }

                break;
        }
    }
}
