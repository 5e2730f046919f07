using System.Text.Json;
using Pilot.Cli.CommandLine;
using Pilot.Cli.Output;
using Pilot.Cli.State;
using Pilot.Cli.Streams;
using Pilot.Client;
using Pilot.Ipc;

namespace Pilot.Cli.Commands;

/// <summary><c>connect send recv listen</c> (07 §6.3).</summary>
internal static partial class MessageCommands
{
    private const ushort StdioPort = 1000; // 06 §3
    private static readonly TimeSpan DefaultTimeout = TimeSpan.FromSeconds(30);

    public static async Task<int> Connect(CommandContext context)
    {
        TimeSpan timeout = context.Args.Duration("timeout", DefaultTimeout);
        string address = NodeArgument.Address(context, context.Args[0]);
        bool portGiven = context.Args.Count > 1;
        ushort port = portGiven ? NumberText.Port(context.Args[1]) : StdioPort;
        string? message = context.Args.Text("message");
        if (string.IsNullOrEmpty(message))
        {
            if (StandardInput.IsCharacterDevice())
            {
                return await TunnelSetup.RunAsync(context, address, portGiven ? port : null, timeout).ConfigureAwait(false);
            }

            using PayloadSource input = PayloadSource.FromStandardInput(context.Out.Json);
            return await ExchangeAsync(context, address, port, input, timeout, emptyInput: "no data on stdin — use --message or pipe data").ConfigureAwait(false);
        }

        using PayloadSource text = PayloadSource.FromText(message, context.Out.Json);
        PilotStream stream;
        try
        {
            stream = await context.Client.DialAsync(address, port, timeout).ConfigureAwait(false);
        }
        catch (PilotException e) when (!portGiven && e.Code == IpcErrorCode.Refused)
        {
            // Nobody waits on the default port: leave the message in the peer's inbox.
            return await DataExchange.SendTextAsync(context, address, message, timeout, e).ConfigureAwait(false);
        }
        catch (PilotException e) when (e is PilotNotRunningException || e.Code == PilotErrorCode.ConnectionLost)
        {
            throw CommandContext.Failure(e, "connect");
        }
        catch (PilotException e)
        {
            throw PeerDial.Failed(address, $"port {port}", e);
        }

        return await ExchangeAsync(
            context, stream, address, port, text, timeout, "increase with --timeout, or check if the target is listening on that port").ConfigureAwait(false);
    }

    public static async Task<int> Send(CommandContext context)
    {
        TimeSpan timeout = context.Args.Duration("timeout", DefaultTimeout);
        string address = NodeArgument.Address(context, context.Args[0]);
        ushort port = NumberText.Port(context.Args[1]);
        string? data = context.Args.Text("data");
        string? file = context.Args.Text("file");
        if (data is not null && file is not null)
        {
            throw CliException.InvalidArgument("--data and --file exclude each other");
        }

        if (string.IsNullOrEmpty(data) && string.IsNullOrEmpty(file))
        {
            throw CliException.InvalidArgument("--data is required");
        }

        bool remember = context.Out.Json;
        using PayloadSource source = data == "-" || file == "-" ? PayloadSource.FromStandardInput(remember)
            : file is not null ? PayloadSource.FromFile(file, remember)
            : PayloadSource.FromText(data!, remember);
        return await ExchangeAsync(context, address, port, source, timeout, emptyInput: null).ConfigureAwait(false);
    }

    private static async Task<int> ExchangeAsync(
        CommandContext context, string address, ushort port, PayloadSource source, TimeSpan timeout, string? emptyInput)
    {
        PilotStream stream = await PeerDial.OpenAsync(context, address, port, timeout).ConfigureAwait(false);
        string hint = $"increase with --timeout, or check peer: pilotctl ping {address}";
        return await ExchangeAsync(context, stream, address, port, source, timeout, hint, emptyInput).ConfigureAwait(false);
    }

    private static async Task<int> ExchangeAsync(
        CommandContext context, PilotStream stream, string address, ushort port, PayloadSource source, TimeSpan timeout, string timeoutHint, string? emptyInput = null)
    {
        await using (stream.ConfigureAwait(false))
        {
            (string path, double? rtt) = await PeerDial.PathOfAsync(context, stream, address).ConfigureAwait(false);
            if (context.Command.Name == "connect")
            {
                PeerDial.Note(context, path, rtt);
            }

            MemorySink? kept = context.Out.Json ? new MemorySink() : null;
            PayloadSink sink = kept ?? (PayloadSink)new StreamSink(context.Out.RawOut, lineMode: true);
            ProgressLine progress = new(context.Out, source.Length);
            ExchangeEnd end;
            try
            {
                end = await new StreamExchange(stream, timeout) { Progress = progress.Show }.RunAsync(source, sink).ConfigureAwait(false);
            }
            catch (PilotStreamException e)
            {
                throw new CliException(ErrorCodes.ConnectionFailed, $"{context.Command.Name}: stream to {address} port {port} failed: {e.Message}");
            }
            finally
            {
                progress.Clear();
            }

            if (source.Bytes == 0 && emptyInput is not null && sink.Bytes == 0)
            {
                throw CliException.InvalidArgument(emptyInput);
            }

            if (end == ExchangeEnd.TimedOut)
            {
                throw PeerDial.NoResponse(timeout, timeoutHint);
            }

            if (kept is null)
            {
                if (sink.Bytes == 0)
                {
                    context.Out.Note($"sent {source.Bytes} bytes (no response)");
                }

                return 0;
            }

            JsonMap data = new() { ["target"] = address, ["port"] = port, ["path"] = path };
            source.Describe(data);
            (string response, bool isExact) = Utf8Payload.Decode(kept.Payload);
            data["response"] = response;
            data["response_bytes"] = kept.Bytes;
            if (!isExact)
            {
                data["response_base64"] = Convert.ToBase64String(kept.Payload);
            }

            if (rtt is { } ms)
            {
                data["rtt_ms"] = Math.Round(ms, 3);
            }

            context.Out.Success(data);
            return 0;
        }
    }
}
