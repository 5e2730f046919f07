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
    private bool _whole; // the file is known to end with a whole line, and its end is where we are

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
            (old, _file, _whole) = (_file, fresh, false);
        }

        old.Dispose();
    }

    private static FileStream Open(string path)
    {
        var options = new FileStreamOptions { Mode = FileMode.OpenOrCreate, Access = FileAccess.ReadWrite, Share = FileShare.ReadWrite, BufferSize = 0 };
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
        lock (_writing)
        {
            try
            {
                Append(buffer.WrittenSpan);
                _failing = false;
            }
            catch (IOException e)
            {
                // The change is stored and stays; said once per run of failures.
                if (!_failing)
                {
                    _failed(e.Message);
                }

                (_failing, _whole) = (true, false);
            }
        }
    }

    // A full disk, or a process that was killed, may have left half a line: what follows begins one of its own.
    private void Append(ReadOnlySpan<byte> line)
    {
        if (!_whole && _file.CanSeek && _file.Seek(0, SeekOrigin.End) is var end and > 0)
        {
            Span<byte> last = stackalloc byte[1];
            if (RandomAccess.Read(_file.SafeFileHandle, last, end - 1) == 1 && last[0] != (byte)'\n')
            {
                _file.WriteByte((byte)'\n');
            }
        }

        _whole = true;
        _file.Write(line);
    }

    public void Dispose() => _file.Dispose();
}
