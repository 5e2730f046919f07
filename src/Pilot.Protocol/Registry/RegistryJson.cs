using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;

namespace Pilot.Protocol.Registry;

/// <summary>Writing of registry messages, and reading of responses on the client's side. Servers read requests with <see cref="RegistryRequest"/>.</summary>
public static class RegistryJson
{
    private static readonly JsonSerializerOptions Options = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        Encoder = ReferenceJsonEncoder.Instance,
    };

    /// <summary>Type information of all messages: members in snake case, absent when null, the reference's escapes.</summary>
    public static RegistryJsonContext Context { get; } = new(Options);

    /// <summary>Options for a writer that is handed to the serializer (a writer's own options win over the serializer's).</summary>
    internal static JsonWriterOptions WriterOptions { get; } = new() { Encoder = ReferenceJsonEncoder.Instance };

    /// <summary>Reads a response. Any response with a string member <c>error</c> is a refusal, whatever its type says (spec 03 section 3). Never throws.</summary>
    /// <param name="body">Body of the frame.</param>
    /// <param name="type">Type information from <see cref="Context"/>.</param>
    /// <param name="response">The response, or null.</param>
    /// <param name="error">The refusal, or null.</param>
    /// <returns>True when either is set; false when the body is no response of this type, and the connection should be given up.</returns>
    public static bool TryReadResponse<T>(ReadOnlySpan<byte> body, JsonTypeInfo<T> type, out T? response, out ErrorResponse? error)
        where T : class
    {
        response = null;
        error = null;
        try
        {
            if (!TryScan(body, out bool refused))
            {
                return false;
            }

            if (refused)
            {
                error = JsonSerializer.Deserialize(body, Context.ErrorResponse);
                return error is not null;
            }

            response = JsonSerializer.Deserialize(body, type);
            return response is not null;
        }
        catch (Exception e) when (IsBadInput(e))
        {
            return false;
        }
    }

    // JsonException: not JSON or a wrong type. InvalidOperationException: a string that is no valid Unicode.
    private static bool IsBadInput(Exception e) => e is JsonException or InvalidOperationException;

    // One walk over the tokens: refuses null inside arrays, so that no list ever holds null, and looks for a top-level string member "error".
    private static bool TryScan(ReadOnlySpan<byte> body, out bool hasErrorText)
    {
        hasErrorText = false;
        var reader = new Utf8JsonReader(body);
        if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject)
        {
            return false;
        }

        bool isErrorMember = false;
        JsonTokenType previous = JsonTokenType.StartObject;
        while (reader.Read())
        {
            if (reader.TokenType == JsonTokenType.Null && previous != JsonTokenType.PropertyName)
            {
                return false;
            }

            if (isErrorMember)
            {
                hasErrorText = reader.TokenType == JsonTokenType.String;
            }

            previous = reader.TokenType;
            isErrorMember = previous == JsonTokenType.PropertyName && reader.CurrentDepth == 1 && reader.ValueTextEquals("error"u8);
        }

        return true;
    }
}
