using System.Text;
using Pilot.Cli.Output;

namespace Pilot.Cli.Streams;

/// <summary>What is to be sent: a text, a file or standard input, read in pieces and never held as a whole.</summary>
internal sealed class PayloadSource : IDisposable
{
    private const int Remembered = 1 << 20; // bytes kept for the "sent" member of the envelope
    private readonly Stream _stream;
    private readonly bool _remember;
    private readonly MemoryStream _sent = new();

    private PayloadSource(Stream stream, bool remember)
    {
        _stream = stream;
        _remember = remember;
    }

    public long Bytes { get; private set; }

    /// <summary>Size when it is known beforehand, for progress.</summary>
    public long? Length => _stream.CanSeek ? _stream.Length : null;

    public static PayloadSource FromText(string text, bool remember) => new(new MemoryStream(Encoding.UTF8.GetBytes(text)), remember);

    public static PayloadSource FromStandardInput(bool remember) =>
        new(StandardDescriptors.IsOpen(StandardDescriptors.Input) ? Console.OpenStandardInput() : Stream.Null, remember);

    public static PayloadSource FromFile(string path, bool remember)
    {
        try
        {
            return new PayloadSource(new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite, bufferSize: 0), remember);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new CliException(ErrorCodes.NotFound, "file not found: " + path);
        }
        catch (UnauthorizedAccessException)
        {
            throw new CliException(
                Directory.Exists(path) ? ErrorCodes.InvalidArgument : ErrorCodes.Internal,
                Directory.Exists(path) ? "not a file: " + path : "permission denied: " + path);
        }
        catch (IOException e)
        {
            throw new CliException(ErrorCodes.Internal, "read file: " + e.Message);
        }
    }

    public async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken)
    {
        int read = await _stream.ReadAsync(buffer, cancellationToken).ConfigureAwait(false);
        Bytes += read;
        if (_remember && _sent.Length < Remembered)
        {
            _sent.Write(buffer.Span[..(int)Math.Min(read, Remembered - _sent.Length)]);
        }

        return read;
    }

    /// <summary>Adds <c>sent</c> and <c>sent_bytes</c>; <c>sent_base64</c> when it is not UTF-8; <c>sent_truncated</c> above 1 MiB.</summary>
    public void Describe(JsonMap data)
    {
        ReadOnlySpan<byte> sent = _sent.GetBuffer().AsSpan(0, (int)_sent.Length);
        (string text, bool isExact) = Utf8Payload.Decode(sent);
        data["sent"] = text;
        data["sent_bytes"] = Bytes;
        if (Bytes > sent.Length)
        {
            data["sent_truncated"] = true;
        }
        else if (!isExact)
        {
            data["sent_base64"] = Convert.ToBase64String(sent);
        }
    }

    public void Dispose()
    {
        _stream.Dispose();
        _sent.Dispose();
    }
}
