using System.Text;

namespace Pilot.Cli.Output;

/// <summary>
/// The only way out of a command: envelope or human lines on stdout, errors and progress on stderr (07 §2).
/// In JSON mode stderr carries nothing but the error envelope.
/// </summary>
internal sealed class CliOutput(bool json, Stream stdout, Stream stderr, bool stderrIsTerminal)
{
    public bool Json { get; } = json;

    /// <summary>Progress that is redrawn in place is shown to a person only.</summary>
    public bool ShowsProgress => !Json && stderrIsTerminal;

    public Stream RawOut => stdout;

    /// <summary>Writes the success envelope, or <paramref name="human"/> (default: the data, indented).</summary>
    public void Success(JsonMap data, string? human = null)
    {
        if (Json)
        {
            Line(stdout, JsonText.Compact(new JsonMap { ["data"] = data, ["status"] = "ok" }));
        }
        else
        {
            Line(stdout, human ?? JsonText.Indented(data));
        }
    }

    /// <summary>One bare object per line (07 §6.3, endless listen).</summary>
    /// <exception cref="IOException">The reader is gone: an endless command is to end.</exception>
    public void NdJson(JsonMap data) => stdout.Write(Encoding.UTF8.GetBytes(JsonText.Compact(data) + "\n"));

    /// <summary>A line for people on stdout; nothing in JSON mode.</summary>
    public void Human(string line)
    {
        if (!Json)
        {
            Line(stdout, line);
        }
    }

    /// <summary>A line for people on stderr; nothing in JSON mode.</summary>
    public void Note(string line)
    {
        if (!Json)
        {
            Line(stderr, line);
        }
    }

    /// <summary>Text on stderr without a line end, only on a terminal.</summary>
    public void Progress(string text)
    {
        if (ShowsProgress)
        {
            Text(stderr, text);
        }
    }

    public void Error(string code, string message, string? hint)
    {
        if (Json)
        {
            JsonMap envelope = new() { ["code"] = code, ["message"] = message, ["status"] = "error" };
            if (!string.IsNullOrEmpty(hint))
            {
                envelope["hint"] = hint;
            }

            Line(stderr, JsonText.Compact(envelope));
            return;
        }

        Line(stderr, "error: " + message);
        if (!string.IsNullOrEmpty(hint))
        {
            Line(stderr, "hint:  " + hint);
        }
    }

    /// <summary>Plain text on stderr in either mode (usage page of a human invocation).</summary>
    public void ErrorText(string text) => Line(stderr, text);

    /// <summary>Plain text on stdout in either mode (help).</summary>
    public void Text(string text) => Line(stdout, text);

    private void Line(Stream stream, string text) => Text(stream, text + "\n");

    private void Text(Stream stream, string text)
    {
        try
        {
            stream.Write(Encoding.UTF8.GetBytes(text));
            stream.Flush();
        }
        catch (IOException e) when (stream == stderr || e is ReaderGoneException)
        {
            // Nobody is left to tell. A result that could not be written for another reason (full disk) is a failure, though.
        }
    }
}
