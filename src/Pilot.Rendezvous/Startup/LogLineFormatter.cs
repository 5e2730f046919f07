using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Serilog.Events;
using Serilog.Formatting;
using Serilog.Parsing;

namespace Pilot.Rendezvous.Startup;

/// <summary>One line per event, as text (<c>time=… level=INFO msg="…" key=value</c>) or as a JSON object with the same members (spec 03 section 12).</summary>
internal sealed class LogLineFormatter(bool json) : ITextFormatter
{
    private static readonly SearchValues<char> Quotable = SearchValues.Create(
        (char[])[' ', '"', '=', .. Enumerable.Range(0, char.MaxValue).Select(c => (char)c).Where(char.IsControl)]); // no control characters on a terminal

    public void Format(LogEvent logEvent, TextWriter output)
    {
        string time = logEvent.Timestamp.ToString("yyyy-MM-dd'T'HH:mm:ss.fffzzz", CultureInfo.InvariantCulture);
        string level = LevelWord(logEvent.Level);
        string message = Render(logEvent, out HashSet<string> used);
        output.Write(json ? $"{{\"time\":\"{time}\",\"level\":\"{level}\",\"msg\":{Quote(message)}" : $"time={time} level={level} msg={Quote(message)}");
        foreach ((string name, LogEventPropertyValue value) in logEvent.Properties)
        {
            if (name is not ("EventId" or "SourceContext") && !used.Contains(name))
            {
                Write(output, SnakeCase(name), Text(value));
            }
        }

        if (logEvent.Exception is not null)
        {
            Write(output, "error", logEvent.Exception.ToString());
        }

        output.WriteLine(json ? "}" : "");
    }

    // As Serilog renders it, but without quotes around strings: the whole message is quoted already.
    private static string Render(LogEvent logEvent, out HashSet<string> used)
    {
        used = [];
        var message = new StringBuilder();
        foreach (MessageTemplateToken token in logEvent.MessageTemplate.Tokens)
        {
            if (token is PropertyToken property && logEvent.Properties.TryGetValue(property.PropertyName, out LogEventPropertyValue? value))
            {
                used.Add(property.PropertyName);
                message.Append(Text(value));
            }
            else
            {
                message.Append(token);
            }
        }

        return message.ToString();
    }

    private static string Text(LogEventPropertyValue value) =>
        value is ScalarValue { Value: { } scalar } ? Convert.ToString(scalar, CultureInfo.InvariantCulture)! : value.ToString();

    private void Write(TextWriter output, string name, string value) =>
        output.Write(json ? $",{Quote(name)}:{Quote(value)}" : $" {name}={(NeedsQuotes(value) ? Quote(value) : value)}");

    private static bool NeedsQuotes(string value) => value.Length == 0 || value.AsSpan().ContainsAny(Quotable);

    private static string Quote(string text) => $"\"{JsonEncodedText.Encode(text, System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping)}\"";

    private static string SnakeCase(string name) => JsonNamingPolicy.SnakeCaseLower.ConvertName(name);

    private static string LevelWord(LogEventLevel level) => level switch
    {
        LogEventLevel.Verbose or LogEventLevel.Debug => "DEBUG",
        LogEventLevel.Information => "INFO",
        LogEventLevel.Warning => "WARN",
        _ => "ERROR",
    };
}
