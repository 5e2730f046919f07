using System.Text;
using System.Text.Json;

namespace Pilot.Protocol.Tests.Json;

public sealed class ReferenceJsonTests
{
    private static readonly JsonWriterOptions Options = new() { Encoder = ReferenceJsonEncoder.Instance };

    [Theory]
    [InlineData("plain +/= ' ` \u007f é 漢 😀", "plain +/= ' ` \u007f é 漢 😀")]
    [InlineData("<>&", "\\u003c\\u003e\\u0026")]
    [InlineData("\"\\/", "\\\"\\\\/")]
    [InlineData("\n\r\t\b\f\u0001\u001f", "\\n\\r\\t\\b\\f\\u0001\\u001f")]
    [InlineData("\u2028\u2029", "\\u2028\\u2029")]
    public void Strings_are_escaped_as_the_reference_does(string text, string expected) =>
        Assert.Equal($"\"{expected}\"", Write(text));

    [Fact]
    public void Lone_surrogates_become_the_replacement_character()
    {
        Assert.Equal("\"a\uFFFDb\"", Write("a\uD800b"));
        Assert.Equal("\"\uFFFD\"", Write("\uDC00"));
    }

    [Fact]
    public void Any_text_survives_writing_and_reading()
    {
        var random = new Random(13);
        for (int round = 0; round < 3_000; round++)
        {
            string text = RandomText(random);
            string json = Write(text);
            using JsonDocument document = JsonDocument.Parse(json);
            string expected = Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text)); // lone surrogates replaced
            Assert.Equal(expected, document.RootElement.GetString());
            var reader = new Utf8JsonReader(Encoding.UTF8.GetBytes(json));
            reader.Read();
            Assert.Equal(expected, JsonText.GetString(ref reader));
        }
    }

    [Theory]
    [InlineData("\"\\ud83d\\ude00\"", "😀")]
    [InlineData("\"\\ud83dx\"", "\uFFFDx")]
    [InlineData("\"\\ude00\\ud83d\"", "\uFFFD\uFFFD")]
    [InlineData("\"a\\/b\\u0041\\\\u0041\"", "a/bA\\u0041")]
    public void Escapes_are_read_and_halves_replaced(string json, string expected)
    {
        var reader = new Utf8JsonReader(Encoding.UTF8.GetBytes(json));
        reader.Read();
        Assert.Equal(expected, JsonText.GetString(ref reader));
    }

    [Fact]
    public void Invalid_utf8_is_replaced()
    {
        var reader = new Utf8JsonReader([(byte)'"', 0xFF, (byte)'a', (byte)'"']);
        reader.Read();
        Assert.Equal("\uFFFDa", JsonText.GetString(ref reader));
    }

    internal static string RandomText(Random random)
    {
        const string Special = "\"\\<>&\u2028\u2029\n\t\u0000 aZ9é漢\uD83D\uDE00\uD800\uDFFF";
        return string.Concat(Enumerable.Range(0, random.Next(0, 40)).Select(_ => random.Next(4) == 0 ? (char)random.Next(0x10000) : Special[random.Next(Special.Length)]));
    }

    private static string Write(string text)
    {
        using var stream = new MemoryStream();
        using (var writer = new Utf8JsonWriter(stream, Options))
        {
            writer.WriteStringValue(text);
        }

        return Encoding.UTF8.GetString(stream.ToArray());
    }
}
