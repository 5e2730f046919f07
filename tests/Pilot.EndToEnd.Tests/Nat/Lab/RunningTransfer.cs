using System.Diagnostics;
using System.Security.Cryptography;
using Pilot.Client;
using Pilot.EndToEnd.Tests.Lab;

namespace Pilot.EndToEnd.Tests.Nat.Lab;

/// <summary>A stream that carries random bytes from one agent to another at a steady pace, whatever is done to the network, until it is told to finish.</summary>
internal sealed class RunningTransfer : IAsyncDisposable
{
    private const int Chunk = 8 * 1024;
    private static readonly TimeSpan Pace = TimeSpan.FromMilliseconds(10); // about 800 kB/s
    private readonly CancellationTokenSource _stop = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
    private readonly PilotListener _listener;
    private readonly PilotStream _writing;
    private readonly PilotStream _reading;
    private readonly Task<byte[]> _writer;
    private readonly Task<byte[]> _reader;
    private long _received;
    private long _lastArrival = Stopwatch.GetTimestamp();
    private long _longestSilence;
    private volatile bool _finish;

    private RunningTransfer(PilotListener listener, PilotStream writing, PilotStream reading)
    {
        (_listener, _writing, _reading) = (listener, writing, reading);
        _writer = Task.Run(WriteAsync);
        _reader = Task.Run(ReadAsync);
    }

    public long Received => Interlocked.Read(ref _received);

    /// <summary>The longest time without a byte at the receiver since the last call.</summary>
    public TimeSpan TakeLongestSilence() => TimeSpan.FromSeconds((double)Interlocked.Exchange(ref _longestSilence, 0) / Stopwatch.Frequency);

    public static async Task<RunningTransfer> StartAsync(LabAgent from, LabAgent to, ushort port)
    {
        PilotListener listener = await to.Client.ListenAsync(port);
        Task<PilotStream> accepting = listener.AcceptAsync(TimeSpan.FromSeconds(30));
        PilotStream writing = await from.Client.DialAsync(to.Address, port, TimeSpan.FromSeconds(30));
        RunningTransfer transfer = new(listener, writing, await accepting);
        await transfer.FlowsAsync();
        return transfer;
    }

    /// <summary>Waits until new bytes arrive: such as were not under way when this was called.</summary>
    public async Task FlowsAsync(TimeSpan? limit = null)
    {
        long before = Received;
        await Wait.UntilAsync("bytes flow", () => Received > before + (4 * Chunk) || (_writer.IsCompleted || _reader.IsCompleted ? throw Broken() : false), limit);
    }

    /// <summary>Ends the stream in order; everything that was written has arrived, and nothing else.</summary>
    public async Task<long> FinishAsync(TimeSpan? limit = null)
    {
        _finish = true;
        _stop.CancelAfter(limit ?? TimeSpan.FromSeconds(30));
        byte[] sent = await _writer;
        Assert.Equal(Convert.ToHexString(sent), Convert.ToHexString(await _reader));
        return Received;
    }

    public async ValueTask DisposeAsync()
    {
        _finish = true;
        await _stop.CancelAsync();
        await Task.WhenAny(Task.WhenAll(_writer, _reader));
        await _writing.DisposeAsync();
        await _reading.DisposeAsync();
        await _listener.DisposeAsync();
        _stop.Dispose();
    }

    private InvalidOperationException Broken() => new(
        "the transfer ended", _writer.Exception?.GetBaseException() ?? _reader.Exception?.GetBaseException());

    private async Task<byte[]> WriteAsync()
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        using PeriodicTimer pace = new(Pace);
        byte[] chunk = new byte[Chunk];
        while (!_finish)
        {
            RandomNumberGenerator.Fill(chunk);
            hash.AppendData(chunk);
            await _writing.WriteAsync(chunk, _stop.Token);
            await pace.WaitForNextTickAsync(_stop.Token);
        }

        await _writing.CompleteWritesAsync();
        return hash.GetHashAndReset();
    }

    private async Task<byte[]> ReadAsync()
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        byte[] buffer = new byte[64 * 1024];
        int count;
        while ((count = await _reading.ReadAsync(buffer, _stop.Token)) > 0)
        {
            hash.AppendData(buffer, 0, count);
            Interlocked.Add(ref _received, count);
            long now = Stopwatch.GetTimestamp();
            long silence = now - _lastArrival;
            _lastArrival = now;
            if (silence > Interlocked.Read(ref _longestSilence))
            {
                Interlocked.Exchange(ref _longestSilence, silence);
            }
        }

        return hash.GetHashAndReset();
    }
}
