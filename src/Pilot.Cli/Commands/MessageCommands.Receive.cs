using System.Diagnostics;
using System.Threading.Channels;
using Pilot.Cli.CommandLine;
using Pilot.Cli.Output;
using Pilot.Cli.Streams;
using Pilot.Client;
using Pilot.Ipc;

namespace Pilot.Cli.Commands;

/// <content>The receiving side.</content>
internal static partial class MessageCommands
{
    private const int ReadersOfListen = 64; // streams read at once by listen
    private const int LargestListenMessage = 1 << 20; // bytes kept of one stream by listen

    public static async Task<int> Receive(CommandContext context)
    {
        ushort port = NumberText.Port(context.Args[0]);
        int count = context.Args.Integer("count", 1);
        TimeSpan timeout = context.Args.Duration("timeout", DefaultTimeout);
        if (count < 0)
        {
            throw CliException.InvalidArgument($"invalid --count: {count}");
        }

        string? path = context.Args.Text("out");
        bool raw = context.Args.Switch("raw") || path is not null;
        await using PilotListener listener = await BindAsync(context, port).ConfigureAwait(false);
        if (port == 0)
        {
            context.Out.Note($"listening on port {listener.Port}");
        }

        await using Stream? file = path is null ? null : CreateFile(path);
        ReceiveRun run = new(context, listener, timeout, raw, file);
        return await run.RunAsync(count).ConfigureAwait(false);
    }

    public static async Task<int> Listen(CommandContext context)
    {
        ushort port = NumberText.Port(context.Args[0]);
        int count = context.Args.Integer("count", 0);
        TimeSpan timeout = context.Args.Duration("timeout", TimeSpan.Zero);
        bool limited = context.Args.Has("timeout") && timeout != TimeSpan.Zero;
        if (count < 0)
        {
            throw CliException.InvalidArgument($"invalid --count: {count}");
        }

        context.RequireDaemon();
        using CancellationTokenSource stop = new();
        Channel<JsonMap> messages = Channel.CreateBounded<JsonMap>(ReadersOfListen);
        TaskCompletionSource subscribed = new(TaskCreationOptions.RunContinuationsAsynchronously);
        PilotListener? listener = await TryBindAsync(context, port).ConfigureAwait(false);
        await using ConfiguredAsyncDisposableHolder holder = new(listener);
        Task datagrams = ForwardDatagramsAsync(context, port, messages.Writer, subscribed, stop.Token);
        Task streams = listener is null ? Task.Delay(Timeout.Infinite, stop.Token) : ForwardStreamsAsync(listener, messages.Writer, stop.Token);
        await Task.WhenAny(subscribed.Task, datagrams).ConfigureAwait(false);
        if (datagrams.IsFaulted)
        {
            await stop.CancelAsync().ConfigureAwait(false);
            throw ListenFailure(datagrams.Exception!.InnerException!);
        }

        context.Out.Note($"listening on port {port} — waiting for datagrams...");
        if (limited)
        {
            stop.CancelAfter(timeout > TimeSpan.Zero ? timeout : TimeSpan.FromTicks(1));
        }

        List<JsonMap> kept = [];
        bool timedOut = false;
        for (int received = 0; count == 0 || received < count; received++)
        {
            Task<JsonMap> next = messages.Reader.ReadAsync(stop.Token).AsTask();
            Task first = await Task.WhenAny(next, datagrams, streams).ConfigureAwait(false);
            if (first == next && next.IsCompletedSuccessfully)
            {
                JsonMap message = await next.ConfigureAwait(false);
                if (!context.Out.Json)
                {
                    context.Out.Human($"[{message["src_addr"]}:{message["src_port"]}] {message["data"]}");
                }
                else if (count == 0)
                {
                    context.Out.NdJson(message);
                }
                else
                {
                    kept.Add(message);
                }
            }
            else if (stop.IsCancellationRequested)
            {
                timedOut = true;
                break;
            }
            else
            {
                Exception cause = (first as Task)?.Exception?.InnerException ?? new PilotException(PilotErrorCode.ConnectionLost, "connection to the daemon lost");
                await stop.CancelAsync().ConfigureAwait(false);
                throw ListenFailure(cause);
            }
        }

        await stop.CancelAsync().ConfigureAwait(false);
        if (timedOut)
        {
            context.Out.Note("timeout");
        }

        if (context.Out.Json && count > 0)
        {
            context.Out.Success(new JsonMap { ["messages"] = kept, ["timeout"] = timedOut });
        }

        return 0;
    }

    private static CliException ListenFailure(Exception cause) => cause switch
    {
        CliException known => known,
        PilotException e when e is PilotNotRunningException => CommandContext.Failure(e, "listen"),
        _ => new CliException(ErrorCodes.ConnectionFailed, "recv: " + cause.Message),
    };

    private static async Task ForwardDatagramsAsync(
        CommandContext context, ushort port, ChannelWriter<JsonMap> output, TaskCompletionSource subscribed, CancellationToken cancellationToken)
    {
        await foreach (DatagramEvent datagram in context.Client.SubscribeDatagramsAsync([port], subscribed.SetResult, cancellationToken).ConfigureAwait(false))
        {
            await output.WriteAsync(Describe(datagram.Src, datagram.SrcPort, datagram.Data.Span), cancellationToken).ConfigureAwait(false);
        }
    }

    private static async Task ForwardStreamsAsync(PilotListener listener, ChannelWriter<JsonMap> output, CancellationToken cancellationToken)
    {
        using SemaphoreSlim readers = new(ReadersOfListen);
        await foreach (PilotStream stream in listener.AcceptAllAsync(cancellationToken).ConfigureAwait(false))
        {
            await readers.WaitAsync(cancellationToken).ConfigureAwait(false);
            _ = Task.Run(() => ForwardStreamAsync(stream, output, readers, cancellationToken), CancellationToken.None);
        }
    }

    private static async Task ForwardStreamAsync(PilotStream stream, ChannelWriter<JsonMap> output, SemaphoreSlim readers, CancellationToken cancellationToken)
    {
        await using (stream.ConfigureAwait(false))
        {
            MemorySink sink = new();
            try
            {
                await new StreamExchange(stream, DefaultTimeout) { ReceiveOnly = true, Largest = LargestListenMessage }
                    .RunAsync(null, sink).ConfigureAwait(false);
            }
            catch (PilotStreamException)
            {
                // What came before the break is shown.
            }

            try
            {
                (string address, ushort port) = Split(stream.Remote);
                await output.WriteAsync(Describe(address, port, sink.Payload), cancellationToken).ConfigureAwait(false);
                readers.Release();
            }
            catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException)
            {
                // The command has ended.
            }
        }
    }

    private static JsonMap Describe(string address, ushort port, ReadOnlySpan<byte> payload)
    {
        JsonMap message = new() { ["src_addr"] = address, ["src_port"] = port, ["bytes"] = payload.Length };
        AddPayload(message, payload);
        return message;
    }

    private static void AddPayload(JsonMap message, ReadOnlySpan<byte> payload)
    {
        (string text, bool isExact) = Utf8Payload.Decode(payload);
        message["data"] = text;
        if (!isExact)
        {
            message["data_base64"] = Convert.ToBase64String(payload);
        }
    }

    private static (string Address, ushort Port) Split(string endpoint)
    {
        int colon = endpoint.LastIndexOf(':');
        return colon > 0 && ushort.TryParse(endpoint.AsSpan(colon + 1), out ushort port) ? (endpoint[..colon], port) : (endpoint, (ushort)0);
    }

    private static async Task<PilotListener> BindAsync(CommandContext context, ushort port)
    {
        try
        {
            return await context.Client.ListenAsync(port).ConfigureAwait(false);
        }
        catch (PilotException e) when (e.Code == IpcErrorCode.PortInUse)
        {
            throw new CliException(ErrorCodes.ConnectionFailed, $"listen: bind: daemon: {e.Message}", e.Hint);
        }
        catch (PilotException e)
        {
            throw CommandContext.Failure(e, "listen: bind");
        }
    }

    private static async Task<PilotListener?> TryBindAsync(CommandContext context, ushort port)
    {
        try
        {
            return await context.Client.ListenAsync(port).ConfigureAwait(false);
        }
        catch (PilotException e) when (e.Code is IpcErrorCode.PortInUse or IpcErrorCode.InvalidArgument)
        {
            // Somebody else has the streams of this port; its datagrams can be shown all the same.
            return null;
        }
    }

    private static FileStream CreateFile(string path)
    {
        try
        {
            return new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.Read, bufferSize: 0);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw new CliException(ErrorCodes.Internal, "cannot write file: " + e.Message);
        }
    }

    /// <summary>Disposes the listener, when there is one.</summary>
    private readonly struct ConfiguredAsyncDisposableHolder(PilotListener? listener) : IAsyncDisposable
    {
        public ValueTask DisposeAsync() => listener?.DisposeAsync() ?? ValueTask.CompletedTask;
    }

    /// <summary>The accept loop of <c>recv</c>.</summary>
    private sealed class ReceiveRun(CommandContext context, PilotListener listener, TimeSpan timeout, bool raw, Stream? file)
    {
        private readonly long _started = Stopwatch.GetTimestamp();
        private readonly List<JsonMap> _messages = [];
        private bool _cut;

        public async Task<int> RunAsync(int count)
        {
            bool timedOut = false;
            for (int sequence = 0; sequence < count && !timedOut; sequence++)
            {
                PilotStream? stream = await AcceptAsync().ConfigureAwait(false);
                if (stream is null)
                {
                    timedOut = true;
                    break;
                }

                await using (stream.ConfigureAwait(false))
                {
                    await ReadAsync(stream, sequence, count).ConfigureAwait(false);
                }
            }

            if (timedOut)
            {
                context.Out.Note("timeout");
            }

            if (context.Out.Json)
            {
                context.Out.Success(new JsonMap { ["messages"] = _messages, ["timeout"] = timedOut });
            }

            return _cut ? 1 : 0;
        }

        private async Task<PilotStream?> AcceptAsync()
        {
            TimeSpan left = timeout - Stopwatch.GetElapsedTime(_started);
            if (left <= TimeSpan.Zero)
            {
                return null;
            }

            try
            {
                return await listener.AcceptAsync(left).ConfigureAwait(false);
            }
            catch (PilotException e) when (e.Code == IpcErrorCode.Timeout)
            {
                return null;
            }
            catch (PilotException e)
            {
                throw new CliException(ErrorCodes.ConnectionFailed, "accept error: " + e.Message);
            }
        }

        private async Task ReadAsync(PilotStream stream, int sequence, int count)
        {
            MemorySink? kept = context.Out.Json && file is null ? new MemorySink() : null;
            PayloadSink sink = kept ?? (PayloadSink)new StreamSink(file ?? context.Out.RawOut, lineMode: !raw);
            ProgressLine progress = new(context.Out, null);
            string? error = null;
            try
            {
                ExchangeEnd end = await new StreamExchange(stream, timeout) { ReceiveOnly = true, Progress = progress.Show }
                    .RunAsync(null, sink).ConfigureAwait(false);
                _cut |= end == ExchangeEnd.TimedOut && sink.Bytes > 0;
                error = end == ExchangeEnd.TimedOut
                    ? $"no data within {GoDuration.Format(timeout)}{(sink.Bytes > 0 ? $" and no end of the stream (after {sink.Bytes} bytes)" : string.Empty)}"
                    : sink.Bytes > 0 ? null : "EOF";
            }
            catch (PilotStreamException e)
            {
                _cut = true;
                error = $"read: {e.Message} (after {sink.Bytes} bytes)";
            }
            finally
            {
                progress.Clear();
            }

            (string address, ushort port) = Split(stream.Remote);
            JsonMap message = new() { ["seq"] = sequence, ["port"] = listener.Port, ["src_addr"] = address, ["src_port"] = port };
            if (error is not null)
            {
                message["error"] = error;
                context.Out.Note("error: " + error);
            }

            if (error is null || sink.Bytes > 0)
            {
                message["bytes"] = sink.Bytes;
                if (kept is not null)
                {
                    AddPayload(message, kept.Payload);
                }
                else if (context.Out.Json)
                {
                    message["data"] = string.Empty;
                    message["file"] = context.Args.Text("out");
                }
            }

            _messages.Add(message);
        }
    }
}
