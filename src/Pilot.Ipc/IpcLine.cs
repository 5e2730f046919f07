using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace Pilot.Ipc;

/// <summary>Writes and parses whole lines. Every writer ends the line with a newline.</summary>
public static class IpcLine
{
    private const byte NewLine = (byte)'\n';
    private static readonly JsonWriterOptions WriterOptions = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true };

    /// <summary>Parses a request line (without newline). False with a text for the client when it is not a request.</summary>
    public static bool TryParseRequest(ReadOnlySpan<byte> line, [NotNullWhen(true)] out IpcRequest? request, [NotNullWhen(false)] out string? error)
    {
        try
        {
            request = JsonSerializer.Deserialize(line, IpcJson.Context.IpcRequest);
        }
        catch (JsonException exception)
        {
            request = null;
            error = exception.Path is { Length: > 2 } path ? $"invalid value of {path.AsSpan(2)}" : "not a JSON object";
            return false;
        }

        if (request is null || string.IsNullOrEmpty(request.Cmd))
        {
            request = null;
            error = "missing cmd";
            return false;
        }

        error = null;
        return true;
    }

    /// <summary>Writes a request line.</summary>
    public static void WriteRequest(IBufferWriter<byte> output, IpcRequest request) => WriteObject(output, request, IpcJson.Context.IpcRequest);

    /// <summary>Writes one object as a line: an event, a request, a raw reply.</summary>
    public static void WriteObject<T>(IBufferWriter<byte> output, T value, JsonTypeInfo<T> type)
    {
        ArgumentNullException.ThrowIfNull(output);
        using (var writer = new Utf8JsonWriter(output, WriterOptions))
        {
            JsonSerializer.Serialize(writer, value, type);
        }

        EndLine(output);
    }

    /// <summary>Writes a success reply <c>{"id":…,"ok":true,"data":…}</c>.</summary>
    public static void WriteSuccess<T>(IBufferWriter<byte> output, JsonElement? id, T data, JsonTypeInfo<T> type)
    {
        ArgumentNullException.ThrowIfNull(output);
        using (var writer = new Utf8JsonWriter(output, WriterOptions))
        {
            Begin(writer, id, ok: true);
            writer.WritePropertyName("data"u8);
            JsonSerializer.Serialize(writer, data, type);
            writer.WriteEndObject();
        }

        EndLine(output);
    }

    /// <summary>Writes a failure reply.</summary>
    public static void WriteFailure(IBufferWriter<byte> output, JsonElement? id, string code, string error, string? hint = null)
    {
        ArgumentNullException.ThrowIfNull(output);
        using (var writer = new Utf8JsonWriter(output, WriterOptions))
        {
            Begin(writer, id, ok: false);
            writer.WriteString("code"u8, code);
            writer.WriteString("error"u8, error);
            if (hint is not null)
            {
                writer.WriteString("hint"u8, hint);
            }

            writer.WriteEndObject();
        }

        EndLine(output);
    }

    /// <summary>Writes a raw reply; everything after it is stream data (08 §10.3).</summary>
    public static void WriteRaw(IBufferWriter<byte> output, RawReply reply) => WriteObject(output, reply, IpcRawContext.Default.RawReply);

    private static void Begin(Utf8JsonWriter writer, JsonElement? id, bool ok)
    {
        writer.WriteStartObject();
        if (id is { } value)
        {
            writer.WritePropertyName("id"u8);
            value.WriteTo(writer);
        }

        writer.WriteBoolean("ok"u8, ok);
    }

    private static void EndLine(IBufferWriter<byte> output)
    {
        output.GetSpan(1)[0] = NewLine;
        output.Advance(1);
    }
}
