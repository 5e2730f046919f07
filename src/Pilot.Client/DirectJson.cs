using System.Globalization;
using System.Text;
using System.Text.Json;
using Pilot.Ipc;

namespace Pilot.Client;

/// <summary>
/// The lines of a single request without the serializer, whose set-up costs a short-lived program more time than
/// everything else it does (measured: 25 of 70 ms for <c>pilotctl info</c>). A test compares it with <see cref="IpcLine"/>.
/// </summary>
internal static class DirectJson
{
    /// <summary>The request as a line with its newline.</summary>
    public static ReadOnlyMemory<byte> Write(IpcRequest request)
    {
        StringBuilder line = new("{", 128);
        Text(line, "cmd", request.Cmd);
        if (request.Id is { } id)
        {
            Name(line, "id").Append(id.GetRawText());
        }

        Number(line, "version", request.Version);
        Text(line, "to", request.To);
        Number(line, "node", request.Node);
        Text(line, "name", request.Name);
        Number(line, "port", request.Port);
        Number(line, "src_port", request.SrcPort);
        Number(line, "backlog", request.Backlog);
        Number(line, "timeout_ms", request.TimeoutMs);
        Flag(line, "progress", request.Progress);
        Text(line, "data", request.Data);
        Text(line, "text", request.Text);
        if (request.Datagrams is { } ports)
        {
            Name(line, "datagrams").Append('[');
            for (int i = 0; i < ports.Count; i++)
            {
                line.Append(i > 0 ? "," : string.Empty).Append(ports[i].ToString(CultureInfo.InvariantCulture));
            }

            line.Append(']');
        }

        Texts(line, "events", request.Events);
        Number(line, "conn", request.Conn);
        Text(line, "justification", request.Justification);
        Text(line, "reason", request.Reason);
        Text(line, "hostname", request.Hostname);
        Flag(line, "public", request.Public);
        Texts(line, "tags", request.Tags);
        Flag(line, "task_exec", request.TaskExec);
        return Encoding.UTF8.GetBytes(line.Append("}\n").ToString());
    }

    /// <summary>A reply line of a command without hand-over; false when it is not an object.</summary>
    public static bool TryRead(ReadOnlySpan<byte> line, out IpcReply? reply)
    {
        reply = null;
        try
        {
            using JsonDocument document = JsonDocument.Parse(line.ToArray());
            JsonElement root = document.RootElement;
            if (root.ValueKind != JsonValueKind.Object)
            {
                return false;
            }

            reply = new IpcReply
            {
                Event = Member(root, "event"),
                Ok = root.TryGetProperty("ok", out JsonElement ok) && ok.ValueKind == JsonValueKind.True,
                Data = root.TryGetProperty("data", out JsonElement data) ? data.Clone() : null,
                Code = Member(root, "code"),
                Error = Member(root, "error"),
                Hint = Member(root, "hint"),
            };
            return true;
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException) // InvalidOperation: a string that is no valid Unicode
        {
            return false;
        }
    }

    private static string? Member(JsonElement root, string name) =>
        root.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    private static StringBuilder Name(StringBuilder line, string name)
    {
        if (line.Length > 1)
        {
            line.Append(',');
        }

        return line.Append('"').Append(name).Append("\":");
    }

    private static void Text(StringBuilder line, string name, string? value)
    {
        if (value is not null)
        {
            Quoted(Name(line, name), value);
        }
    }

    private static void Texts(StringBuilder line, string name, IReadOnlyList<string>? values)
    {
        if (values is null)
        {
            return;
        }

        Name(line, name).Append('[');
        for (int i = 0; i < values.Count; i++)
        {
            Quoted(line.Append(i > 0 ? "," : string.Empty), values[i]);
        }

        line.Append(']');
    }

    private static void Number(StringBuilder line, string name, long? value)
    {
        if (value is { } number)
        {
            Name(line, name).Append(number.ToString(CultureInfo.InvariantCulture));
        }
    }

    private static void Flag(StringBuilder line, string name, bool? value)
    {
        if (value is { } flag)
        {
            Name(line, name).Append(flag ? "true" : "false");
        }
    }

    private static void Quoted(StringBuilder line, string value)
    {
        line.Append('"');
        foreach (char c in value)
        {
            if (c is '"' or '\\')
            {
                line.Append('\\').Append(c);
            }
            else if (c < ' ')
            {
                line.Append("\\u").Append(((int)c).ToString("x4", CultureInfo.InvariantCulture));
            }
            else
            {
                line.Append(c);
            }
        }

        line.Append('"');
    }
}
