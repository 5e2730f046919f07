using Pilot.Cli.CommandLine;
using Pilot.Cli.Output;
using Pilot.Cli.Streams;
using Pilot.Client;
using Pilot.Ipc;

namespace Pilot.Cli.Commands;

/// <summary>Dialling with the messages of 07 §2.3.</summary>
internal static class PeerDial
{
    /// <summary>What a failed dial is called in the message; null for <c>port N</c>.</summary>
    public static async Task<PilotStream> OpenAsync(CommandContext context, string address, ushort port, TimeSpan timeout, string? what = null)
    {
        try
        {
            return await context.Client.DialAsync(address, port, timeout).ConfigureAwait(false);
        }
        catch (PilotException e) when (e.Code is not (PilotErrorCode.NotRunning or PilotErrorCode.ConnectionLost) && e is not PilotNotRunningException)
        {
            throw Failed(address, what ?? $"port {port}", e);
        }
        catch (PilotException e)
        {
            throw CommandContext.Failure(e, context.Command.Name);
        }
    }

    public static CliException Failed(string address, string what, PilotException e) =>
        new(ErrorCodes.ConnectionFailed, $"cannot connect to {address} {what}: {e.Message}", HintFor(address, what, e));

    private static string HintFor(string address, string what, PilotException e) =>
        e.Code == IpcErrorCode.Refused && what.StartsWith("port ", StringComparison.Ordinal)
            ? $"the peer answers, but nothing listens there; on the peer: pilotctl recv {what["port ".Length..]}"
            : e.Hint ?? $"check that {address} is reachable: pilotctl ping {address}";

    public static CliException NoResponse(TimeSpan timeout, string hint) =>
        new(ErrorCodes.Timeout, $"no response within {GoDuration.Format(timeout)}", hint);

    /// <summary>Path and round trip of the stream, measured now when the daemon had no sample yet.</summary>
    public static async Task<(string Path, double? RttMs)> PathOfAsync(CommandContext context, PilotStream stream, string address)
    {
        if (stream.RoundTrip is { } known)
        {
            return (stream.Path, known.TotalMilliseconds);
        }

        try
        {
            PingData ping = await context.Client.PingAsync(address, TimeSpan.FromSeconds(2)).ConfigureAwait(false);
            return (ping.Path, ping.RttMs);
        }
        catch (PilotException)
        {
            return (stream.Path, null); // no sample: the line and the JSON simply lack the round trip
        }
    }

    public static void Note(CommandContext context, string path, double? rttMs) =>
        context.Out.Note(TunnelLine.Format(path, rttMs is { } ms ? TimeSpan.FromMilliseconds(ms) : null));
}
