using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Serilog.Events;
using Serilog.Formatting;
using Serilog.Formatting.Display;

namespace Pilot.Daemon.Logging;

/// <summary>Parts that both formats share: fixed field names in snake_case (07 §8).</summary>
internal static class LogFields
{
    /// <summary>Properties that say nothing to an operator.</summary>
    private static readonly string[] Hidden = ["SourceContext", "EventId", "ActionId", "RequestId"];

    private static readonly MessageTemplateTextFormatter Message = new("{Message:l}", CultureInfo.InvariantCulture);

    /// <summary>The message with its values in place, without quotes around them.</summary>
    public static string Render(LogEvent logEvent)
    {
        using var text = new StringWriter(CultureInfo.InvariantCulture);
        Message.Format(logEvent, text);
        return text.ToString();
    }

    public static string Level(LogEventLevel level) => level switch
    {
        LogEventLevel.Verbose or LogEventLevel.Debug => "DEBUG",
        LogEventLevel.Information => "INFO",
        LogEventLevel.Warning => "WARN",
        _ => "ERROR",
    };

    public static string Time(DateTimeOffset time) => time.ToString("yyyy-MM-dd'T'HH:mm:ss.fffzzz", CultureInfo.InvariantCulture);

    public static IEnumerable<(string Name, string Value)> Properties(LogEvent logEvent)
    {
        foreach (var (name, value) in logEvent.Properties)
        {
            if (!Hidden.Contains(name))
            {
                yield return (JsonNamingPolicy.SnakeCaseLower.ConvertName(name), value is ScalarValue { Value: var scalar } ? Convert.ToString(scalar, CultureInfo.InvariantCulture) ?? string.Empty : value.ToString());
            }
        }

        if (logEvent.Exception is { } exception)
        {
            yield return ("exception", exception.ToString());
        }
    }
}

/// <summary><c>time=… level=INFO msg="…" key=value</c>. Control characters never reach the file or terminal raw.</summary>
internal sealed class TextLineFormatter : ITextFormatter
{
    public void Format(LogEvent logEvent, TextWriter output)
    {
        output.Write("time=");
        output.Write(LogFields.Time(logEvent.Timestamp));
        output.Write(" level=");
        output.Write(LogFields.Level(logEvent.Level));
        output.Write(" msg=");
        output.Write(Quote(LogFields.Render(logEvent), always: true));
        foreach (var (name, value) in LogFields.Properties(logEvent))
        {
            output.Write(' ');
            output.Write(name);
            output.Write('=');
            output.Write(Quote(value, always: false));
        }

        output.Write('\n');
    }

    private static string Quote(string text, bool always)
    {
        if (!always && text.Length > 0 && text.All(static c => c > ' ' && c != '"' && c != '=' && c < 0x7F))
        {
            return text;
        }

        var quoted = new StringBuilder(text.Length + 2).Append('"');
        foreach (var c in text)
        {
            _ = c switch
            {
                '"' or '\\' => quoted.Append('\\').Append(c),
                '\n' => quoted.Append("\\n"),
                _ when char.IsControl(c) => quoted.Append(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}"),
                _ => quoted.Append(c),
            };
        }

        return quoted.Append('"').ToString();
    }
}

/// <summary>One JSON object per line: <c>time</c>, <c>level</c>, <c>msg</c>, then the fields.</summary>
internal sealed class JsonLineFormatter : ITextFormatter
{
    private static readonly JsonWriterOptions Options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public void Format(LogEvent logEvent, TextWriter output)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer, Options))
        {
            json.WriteStartObject();
            json.WriteString("time"u8, LogFields.Time(logEvent.Timestamp));
            json.WriteString("level"u8, LogFields.Level(logEvent.Level));
            json.WriteString("msg"u8, LogFields.Render(logEvent));
            foreach (var (name, value) in LogFields.Properties(logEvent))
            {
                json.WriteString(name, value);
            }

            json.WriteEndObject();
        }

        output.Write(Encoding.UTF8.GetString(buffer.GetBuffer(), 0, (int)buffer.Length));
        output.Write('\n');
    }
}
