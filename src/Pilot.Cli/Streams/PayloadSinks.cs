using System.Buffers;
using Pilot.Cli.Output;

namespace Pilot.Cli.Streams;

/// <summary>Where received bytes go.</summary>
internal abstract class PayloadSink
{
    public long Bytes { get; private set; }

    public async ValueTask WriteAsync(ReadOnlyMemory<byte> data, CancellationToken cancellationToken)
    {
        Bytes += data.Length;
        await AcceptAsync(data, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>The payload is complete.</summary>
    public abstract ValueTask FinishAsync(CancellationToken cancellationToken);

    protected abstract ValueTask AcceptAsync(ReadOnlyMemory<byte> data, CancellationToken cancellationToken);
}

/// <summary>Keeps the payload for the JSON envelope, up to a limit that protects this process.</summary>
internal sealed class MemorySink : PayloadSink
{
    /// <summary>Bytes. An envelope holds text and perhaps base64 of it, so memory use is several times this.</summary>
    public const int Limit = 64 << 20;

    private readonly ArrayBufferWriter<byte> _kept = new();

    public ReadOnlySpan<byte> Payload => _kept.WrittenSpan;

    public override ValueTask FinishAsync(CancellationToken cancellationToken) => ValueTask.CompletedTask;

    protected override ValueTask AcceptAsync(ReadOnlyMemory<byte> data, CancellationToken cancellationToken)
    {
        if (Bytes > Limit)
        {
            throw new CliException(ErrorCodes.InvalidArgument, "received more than 64 MiB, too much for one JSON object", "leave --json away to stream the bytes");
        }

        _kept.Write(data.Span);
        return ValueTask.CompletedTask;
    }
}

/// <summary>
/// Streams the payload to a file or standard output. In line mode a payload that is one line of text without its line end
/// gets one, as the reference prints it; everything else goes out byte for byte.
/// </summary>
internal sealed class StreamSink(Stream output, bool lineMode) : PayloadSink
{
    private const int LongestLine = 64 << 10; // bytes held back until it is clear that this is not a line
    private readonly ArrayBufferWriter<byte> _held = new();
    private bool _passThrough = !lineMode;

    public override async ValueTask FinishAsync(CancellationToken cancellationToken)
    {
        if (!_passThrough && _held.WrittenCount > 0)
        {
            _held.Write("\n"u8);
        }

        await ReleaseAsync(cancellationToken).ConfigureAwait(false);
        await output.FlushAsync(cancellationToken).ConfigureAwait(false);
    }

    protected override async ValueTask AcceptAsync(ReadOnlyMemory<byte> data, CancellationToken cancellationToken)
    {
        if (_passThrough)
        {
            await output.WriteAsync(data, cancellationToken).ConfigureAwait(false);
            return;
        }

        _held.Write(data.Span);
        if (data.Span.ContainsAny((byte)'\n', (byte)0) || _held.WrittenCount > LongestLine || !IsTextSoFar())
        {
            _passThrough = true;
            await ReleaseAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    private async ValueTask ReleaseAsync(CancellationToken cancellationToken)
    {
        if (_held.WrittenCount > 0)
        {
            await output.WriteAsync(_held.WrittenMemory, cancellationToken).ConfigureAwait(false);
            _held.ResetWrittenCount();
        }

        await output.FlushAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Valid UTF-8, apart from a character that may be cut at the end of what is here.</summary>
    private bool IsTextSoFar()
    {
        const int LongestRune = 4;
        ReadOnlySpan<byte> held = _held.WrittenSpan;
        for (int cut = 0; cut < LongestRune && cut <= held.Length; cut++)
        {
            if (System.Text.Unicode.Utf8.IsValid(held[..^cut]))
            {
                return true;
            }
        }

        return false;
    }
}
