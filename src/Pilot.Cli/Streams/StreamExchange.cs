using System.Diagnostics;
using Pilot.Client;

namespace Pilot.Cli.Streams;

/// <summary>How an exchange ended.</summary>
internal enum ExchangeEnd
{
    /// <summary>The peer ended its side, or went quiet after an answer.</summary>
    Complete,

    /// <summary>Nothing moved for the whole limit, and nothing was received or the peer had still to tell its end.</summary>
    TimedOut,
}

/// <summary>
/// Sends a source and receives until the peer's end, both at once and without holding the payload. The limit counts from the
/// last byte that moved, so that it bounds silence and not the size of a transfer; waiting for our own source is not silence.
/// </summary>
internal sealed class StreamExchange(PilotStream stream, TimeSpan limit)
{
    private const int ChunkSize = 128 << 10; // bytes

    /// <summary>A peer without half-close never ends its side first: after an answer this much silence is its end.</summary>
    private static readonly TimeSpan QuietEnd = TimeSpan.FromSeconds(1);

    private static readonly TimeSpan ConfirmStep = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(1);
    private long _lastMoved = Stopwatch.GetTimestamp();
    private volatile bool _waitsForSource;
    private volatile bool _writesDone;
    private long _daemonBytes = -1;
    private long _sampledAt;

    /// <summary>Told the bytes sent and received so far, at most every <see cref="LongestWait"/>/4.</summary>
    public Action<long, long>? Progress { get; init; }

    /// <summary>Only receive: our side is not ended before the payload is read, as the peer may wait for either.</summary>
    public bool ReceiveOnly { get; init; }

    /// <summary>Bytes after which receiving stops, or 0 for no limit.</summary>
    public long Largest { get; init; }

    public async Task<ExchangeEnd> RunAsync(PayloadSource? source, PayloadSink sink)
    {
        using CancellationTokenSource stop = new();
        Task writing = ReceiveOnly ? Task.CompletedTask : WriteAllAsync(source, stop.Token);
        _writesDone = ReceiveOnly;
        try
        {
            ExchangeEnd end = await ReadAllAsync(source, sink, writing, stop).ConfigureAwait(false);

            return end == ExchangeEnd.Complete && !ReceiveOnly && !writing.IsCompleted
                ? await FinishWritingAsync(writing, stop.Token).ConfigureAwait(false)
                : await ObserveAsync(writing, end).ConfigureAwait(false);
        }
        finally
        {
            await stop.CancelAsync().ConfigureAwait(false);
            if (!_waitsForSource)
            {
                // Standard input cannot be cancelled, everything else can.
                await writing.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    private static async Task<ExchangeEnd> ObserveAsync(Task writing, ExchangeEnd end)
    {
        if (writing.IsCompleted)
        {
            await writing.ConfigureAwait(false);
        }

        return end;
    }

    /// <summary>
    /// The peer has ended its side while we were still sending. It may go on reading, so the rest is sent and its arrival
    /// awaited; only a source that has nothing to send right now (a person, an idle pipe) is given up.
    /// </summary>
    private async Task<ExchangeEnd> FinishWritingAsync(Task writing, CancellationToken cancellationToken)
    {
        while (!writing.IsCompleted)
        {
            TimeSpan quiet = Stopwatch.GetElapsedTime(Interlocked.Read(ref _lastMoved));
            if (_waitsForSource && quiet > QuietEnd)
            {
                return ExchangeEnd.Complete;
            }

            if (!_waitsForSource && quiet > limit && !await StillMovesAsync(cancellationToken).ConfigureAwait(false))
            {
                return ExchangeEnd.TimedOut;
            }

            await Task.WhenAny(writing, Task.Delay(ConfirmStep, cancellationToken)).ConfigureAwait(false);
        }

        await writing.ConfigureAwait(false);
        while (true)
        {
            Ipc.ConnResultData result = await stream.GetResultAsync(cancellationToken).ConfigureAwait(false);
            if (!result.Open)
            {
                return result.Reason is "closed" ? ExchangeEnd.Complete : throw new PilotStreamException(result.Reason, result.Error);
            }

            if (Stopwatch.GetElapsedTime(Interlocked.Read(ref _lastMoved)) > limit && !await StillMovesAsync(cancellationToken).ConfigureAwait(false))
            {
                return ExchangeEnd.TimedOut;
            }

            await Task.Delay(ConfirmStep, cancellationToken).ConfigureAwait(false);
        }
    }

    private async Task WriteAllAsync(PayloadSource? source, CancellationToken cancellationToken)
    {
        // Off the caller's thread: reading standard input blocks.
        await Task.Yield();
        if (source is not null)
        {
            byte[] chunk = new byte[ChunkSize];
            while (true)
            {
                _waitsForSource = true;
                int read = await source.ReadAsync(chunk, cancellationToken).ConfigureAwait(false);
                _waitsForSource = false;
                Moved();
                if (read == 0)
                {
                    break;
                }

                await stream.WriteAsync(chunk.AsMemory(0, read), cancellationToken).ConfigureAwait(false);
                Moved();
            }
        }

        stream.CompleteWrites();
        _writesDone = true;
        Moved();
    }

    private async Task<ExchangeEnd> ReadAllAsync(PayloadSource? source, PayloadSink sink, Task writing, CancellationTokenSource stop)
    {
        byte[] chunk = new byte[ChunkSize];
        Task<int> read = stream.ReadAsync(chunk, stop.Token).AsTask();
        while (true)
        {
            if (!read.IsCompleted)
            {
                TimeSpan left = Left(sink.Bytes > 0);
                if (left <= TimeSpan.Zero)
                {
                    if (await StillMovesAsync(stop.Token).ConfigureAwait(false))
                    {
                        continue;
                    }

                    await sink.FinishAsync(CancellationToken.None).ConfigureAwait(false);
                    return sink.Bytes > 0 && !EndIsTold ? ExchangeEnd.Complete : ExchangeEnd.TimedOut;
                }

                if (left < limit / 2 && _sampledAt != Interlocked.Read(ref _lastMoved))
                {
                    // The reference point for the question at the end of the limit.
                    _sampledAt = Interlocked.Read(ref _lastMoved);
                    await SampleAsync(stop.Token).ConfigureAwait(false);
                }

                TimeSpan wait = left < LongestWait / 4 ? left : LongestWait / 4;
                await Task.WhenAny(read, Task.Delay(wait, stop.Token)).ConfigureAwait(false);
                Progress?.Invoke(source?.Bytes ?? 0, sink.Bytes);
                if (writing.IsFaulted && !read.IsCompleted)
                {
                    await writing.ConfigureAwait(false);
                }

                continue;
            }

            int received = await read.ConfigureAwait(false);
            if (received == 0)
            {
                await sink.FinishAsync(CancellationToken.None).ConfigureAwait(false);
                return ExchangeEnd.Complete;
            }

            Moved();
            await sink.WriteAsync(chunk.AsMemory(0, received), stop.Token).ConfigureAwait(false);
            Moved();
            if (Largest > 0 && sink.Bytes >= Largest)
            {
                await sink.FinishAsync(CancellationToken.None).ConfigureAwait(false);
                return ExchangeEnd.Complete;
            }

            read = stream.ReadAsync(chunk, stop.Token).AsTask();
        }
    }

    /// <summary>What is only received is complete when its sender has said so, as every sender of ours does: silence is a cut then.</summary>
    private bool EndIsTold => ReceiveOnly && stream.PeerHalfCloses;

    private TimeSpan Left(bool answered)
    {
        if (_waitsForSource)
        {
            return LongestWait;
        }

        TimeSpan quiet = Stopwatch.GetElapsedTime(Interlocked.Read(ref _lastMoved));
        TimeSpan allowed = answered && _writesDone && !stream.PeerHalfCloses && QuietEnd < limit ? QuietEnd : limit;
        return allowed - quiet;
    }

    /// <summary>Bytes may still be on their way out of the daemon long after it took them from us: its counts decide.</summary>
    private async Task<bool> StillMovesAsync(CancellationToken cancellationToken)
    {
        long before = _daemonBytes;
        if (!await SampleAsync(cancellationToken).ConfigureAwait(false) || before < 0 || before == _daemonBytes)
        {
            return false;
        }

        Moved();
        return true;
    }

    private async Task<bool> SampleAsync(CancellationToken cancellationToken)
    {
        try
        {
            Ipc.ConnResultData result = await stream.GetResultAsync(cancellationToken).ConfigureAwait(false);
            _daemonBytes = result.BytesSent + result.BytesRecv;
            return result.Open;
        }
        catch (PilotException)
        {
            return false; // the read reports what happened to the stream
        }
    }

    private void Moved() => Interlocked.Exchange(ref _lastMoved, Stopwatch.GetTimestamp());
}
