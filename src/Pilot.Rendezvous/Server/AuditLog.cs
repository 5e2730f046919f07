using System.Buffers;
using System.Text.Json;
using Pilot.Rendezvous.Registry;

namespace Pilot.Rendezvous.Server;

/// <summary>Changes as JSON lines (spec 03 section 6.11), appended after they are durable. Readable by its owner only.</summary>
internal sealed class AuditLog : IDisposable
{
    private readonly string _path;
    private readonly Lock _writing = new();
    private FileStream _file;
    private readonly SteadyClock _clock;
    private readonly Action<string> _failed;
    private bool _failing;

    /// <exception cref="IOException">The file cannot be opened.</exception>
    public AuditLog(string path, SteadyClock clock, Action<string> failed)
    {
        _clock = clock;
        _failed = failed;
        _path = path;
        _file = Open(path);
    }

    /// <summary>Closes the file and opens the name again, for those who move it away.</summary>
    /// <exception cref="IOException">It cannot be opened; the old file is used on.</exception>
    public void Reopen()
    {
        FileStream fresh = Open(_path);
        FileStream old;
        lock (_writing)
        {
            (old, _file) = (_file, fresh);
        }

        old.Dispose();
    }

    private static FileStream Open(string path)
    {
        var options = new FileStreamOptions { Mode = FileMode.Append, Access = FileAccess.Write, Share = FileShare.ReadWrite, BufferSize = 0 };
        if (!OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        }

        return new FileStream(path, options);
    }

    /// <summary>Appends one line: time, action, and the event as it is stored. One caller at a time.</summary>
    public void Write(RegistryEvent happened)
    {
        var buffer = new ArrayBufferWriter<byte>();
        if (_failing)
        {
            // What failed may have left half a line.
            buffer.Write("\n"u8);
        }

        using (var writer = new Utf8JsonWriter(buffer))
        {
            writer.WriteStartObject();
            writer.WriteString("timestamp", _clock.Now.UtcDateTime);
            writer.WriteString("action", happened.AuditAction);
            writer.WritePropertyName("event");
            writer.WriteRawValue(JsonSerializer.SerializeToUtf8Bytes(happened, RegistryEventContext.Default.RegistryEvent));
            writer.WriteEndObject();
        }

        buffer.GetSpan(1)[0] = (byte)'\n';
        buffer.Advance(1);
        try
        {
            lock (_writing)
            {
                _file.Write(buffer.WrittenSpan);
            }

            _failing = false;
        }
        catch (IOException e)
        {
            // The change is stored and stays; said once per run of failures.
            if (!_failing)
            {
                _failed(e.Message);
            }

            _failing = true;
        }
    }

    public void Dispose() => _file.Dispose();
}
