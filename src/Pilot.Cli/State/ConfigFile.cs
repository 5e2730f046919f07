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
                        values[property.Name] = property.Value;
                    }

                    return new ConfigFile(path, values, wasUnreadable: false);
                }
            }
        }
        catch (Exception e) when (e is JsonException or IOException or UnauthorizedAccessException)
        {
            // Counts as empty (07 §3.1); the caller warns, and Save keeps the old bytes.
        }

        return new ConfigFile(path, values, wasUnreadable: true);
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

    /// <exception cref="CliException"><c>internal</c>, <c>save config: …</c></exception>
    public void Save()
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

            File.Move(temporary, _path, overwrite: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CliException(ErrorCodes.Internal, "save config: " + e.Message);
        }
    }
}
