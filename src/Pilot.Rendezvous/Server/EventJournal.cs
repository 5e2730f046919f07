using System.Text.Json;
using Pilot.Rendezvous.Registry;

namespace Pilot.Rendezvous.Server;

/// <summary>
/// The registry's events as a file of JSON lines: read at start, appended to before a request is answered. Survives the death of the process. Not
/// compacted, and not forced to the disk line by line, so a power failure may cost the last moments.
/// </summary>
internal sealed class EventJournal : IDisposable
{
    private const byte NewLine = (byte)'\n';
    private const int ReadBuffer = 1 << 16;

    private static readonly byte[] Header = [.. "{\"format\":\"pilot-registry-events\",\"version\":1}\n"u8];

    private readonly FileStream _file;

    private EventJournal(FileStream file) => _file = file;

    /// <summary>Opens or creates the file for this process alone and hands its events to <paramref name="apply"/>.</summary>
    /// <exception cref="InvalidDataException">The file is no journal, or a line other than an unfinished last one cannot be read. Nothing is changed.</exception>
    /// <exception cref="IOException">The file cannot be used, or another process has it.</exception>
    public static EventJournal Open(string path, Action<RegistryEvent> apply, out int count)
    {
        if (Path.GetDirectoryName(Path.GetFullPath(path)) is { } directory)
        {
            Directory.CreateDirectory(directory);
        }

        var options = new FileStreamOptions { Mode = FileMode.OpenOrCreate, Access = FileAccess.ReadWrite, Share = FileShare.None, BufferSize = 0 };
        if (!OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        }

        var file = new FileStream(path, options);
        try
        {
            count = Replay(file, apply);
            return new EventJournal(file);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Appends one event in one write.</summary>
    public void Append(RegistryEvent happened)
    {
        byte[] json = JsonSerializer.SerializeToUtf8Bytes(happened, RegistryEventContext.Default.RegistryEvent);
        byte[] line = new byte[json.Length + 1];
        json.CopyTo(line, 0);
        line[^1] = NewLine;
        _file.Write(line);
    }

    public void Dispose()
    {
        _file.Flush(flushToDisk: true);
        _file.Dispose();
    }

    private static int Replay(FileStream file, Action<RegistryEvent> apply)
    {
        byte[] start = new byte[Header.Length];
        int read = file.ReadAtLeast(start, start.Length, throwOnEndOfStream: false);
        if (!Header.AsSpan().StartsWith(start.AsSpan(0, read)))
        {
            throw new InvalidDataException("the file is no event journal of this version");
        }

        if (read < Header.Length)
        {
            // New, or a first start that died in the middle of the header.
            file.SetLength(0);
            file.Write(Header);
            return 0;
        }

        // Not disposed: it would close the file.
        var reader = new BufferedStream(file, ReadBuffer);
        using var line = new MemoryStream();
        int count = 0;
        long complete = Header.Length;
        for (int next = reader.ReadByte(); next >= 0; next = reader.ReadByte())
        {
            if (next != NewLine)
            {
                line.WriteByte((byte)next);
                continue;
            }

            count++;
            complete += line.Length + 1;
            Apply(line.GetBuffer().AsSpan(0, (int)line.Length), apply, count);
            line.SetLength(0);
        }

        // A line without an end was being written when the process died: its request was never answered.
        file.SetLength(complete);
        file.Seek(0, SeekOrigin.End);
        return count;
    }

    private static void Apply(ReadOnlySpan<byte> json, Action<RegistryEvent> apply, int number)
    {
        try
        {
            apply(JsonSerializer.Deserialize(json, RegistryEventContext.Default.RegistryEvent) ?? throw new JsonException("null"));
        }
        catch (Exception e) when (e is JsonException or NotSupportedException or InvalidOperationException or ArgumentException)
        {
            throw new InvalidDataException($"event {number} is damaged ({e.Message}); restore the file from a backup, or cut it before that line", e);
        }
    }
}
