using System.Text;
using System.Text.Json;
using Pilot.Cli.Output;

namespace Pilot.Cli.State;

/// <summary>
/// <c>config.json</c> (07 §3.1): a JSON object, two-space indent, sorted keys, final newline. Unknown keys are
/// kept, wrong-typed values are ignored on reading. Written atomically with mode 0600. A file that is not a JSON
/// object is never silently replaced: reading treats it as empty, saving moves it aside to <c>config.json.bad</c>.
/// </summary>
internal sealed class ConfigFile
{
    private const long LargestFile = 1 << 20; // bytes; a configuration is a few hundred
    private readonly string _path;
    private readonly JsonMap _values;
    private readonly bool _wasUnreadable;

    private ConfigFile(string path, JsonMap values, bool wasUnreadable)
    {
        _path = path;
        _values = values;
        _wasUnreadable = wasUnreadable;
    }

    public JsonMap Values => _values;

    public static ConfigFile Load(string path)
    {
        JsonMap values = new();
        try
        {
            FileInfo file = new(path);
            if (!file.Exists)
            {
                return new ConfigFile(path, values, wasUnreadable: false);
            }

            if (file.Length <= LargestFile)
            {
                // Only the first JSON value of the file counts.
                Utf8JsonReader reader = new(File.ReadAllBytes(path), isFinalBlock: true, default);
                if (JsonDocument.TryParseValue(ref reader, out JsonDocument? document) && document.RootElement.ValueKind == JsonValueKind.Object)
                {
                    foreach (JsonProperty property in document.RootElement.EnumerateObject())
                    {
                        values[property.Name] = property.Value.ValueKind == JsonValueKind.String ? Checked(property.Value) : property.Value;
                    }

                    return new ConfigFile(path, values, wasUnreadable: false);
                }
            }
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or IOException or UnauthorizedAccessException)
        {
            // Counts as empty (07 §3.1); the caller warns, and Save keeps the old bytes.
        }

        return new ConfigFile(path, new JsonMap(), wasUnreadable: true);
    }

    /// <exception cref="InvalidOperationException">The string is no valid Unicode.</exception>
    private static JsonElement Checked(JsonElement text)
    {
        _ = text.GetString();
        return text;
    }

    public bool WasUnreadable => _wasUnreadable;

    /// <summary>A non-empty string value, else null.</summary>
    public string? Text(string key)
    {
        string? value = _values[key] switch
        {
            JsonElement { ValueKind: JsonValueKind.String } element => element.GetString(),
            string text => text,
            _ => null,
        };
        return string.IsNullOrEmpty(value) ? null : value;
    }

    public void Set(string key, string? value)
    {
        if (value is null)
        {
            _values.Remove(key);
        }
        else
        {
            _values[key] = value;
        }
    }

    /// <param name="problemOf">Tells what is wrong with a file; null = nothing.</param>
    /// <exception cref="CliException"><c>internal</c>, <c>save config: …</c>; <c>invalid_argument</c> when a new fault would come into the file.</exception>
    public void Save(Func<string, string?>? problemOf = null)
    {
        string directory = Path.GetDirectoryName(_path)!;
        string temporary = _path + ".tmp";
        try
        {
            if (!Directory.Exists(directory))
            {
                Directory.CreateDirectory(directory, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
            }

            if (_wasUnreadable && File.Exists(_path))
            {
                File.Copy(_path, _path + ".bad", overwrite: true);
            }

            File.Delete(temporary);
            FileStreamOptions options = new()
            {
                Mode = FileMode.CreateNew,
                Access = FileAccess.Write,
                UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
            };
            using (FileStream file = new(temporary, options))
            {
                file.Write(Encoding.UTF8.GetBytes(JsonText.Indented(_values) + "\n"));
                file.Flush(flushToDisk: true);
            }

            // Only what was not there before: one fault must not keep others from being repaired.
            if (problemOf?.Invoke(temporary) is { } problem && problem != problemOf(_path))
            {
                File.Delete(temporary);
                throw CliException.InvalidArgument(problem);
            }

            File.Move(temporary, _path, overwrite: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CliException(ErrorCodes.Internal, "save config: " + e.Message);
        }
    }
}
