using System.Diagnostics;
using System.Text.Json;
using Pilot.Cli.Output;
using Pilot.Cli.Streams;
using Pilot.Client;
using Pilot.Ipc;

namespace Pilot.Cli.Commands;

/// <summary>
/// <c>connect</c> without a message: builds the tunnel and says what happens (07 §12). Each line is printed when the daemon reports what it
/// says, and not otherwise: a tunnel that is there already is not punched for.
/// </summary>
internal sealed class TunnelSetup(CommandContext context, string address)
{
    private const string Symmetric = "symmetric";

    /// <summary>How long a beacon may take that was not heard yet.</summary>
    private static readonly TimeSpan NatLimit = TimeSpan.FromSeconds(1);

    /// <summary>How long a relayed tunnel is given to become direct before it is called relayed.</summary>
    private static readonly TimeSpan DirectLimit = TimeSpan.FromSeconds(3);

    private static readonly TimeSpan Step = TimeSpan.FromMilliseconds(100);

    private readonly Lock _gate = new();
    private bool _isPunchRequested;
    private bool _isPunched;
    private bool _isBegun;
    private bool _isOver;

    /// <param name="context">The command.</param>
    /// <param name="address">Peer.</param>
    /// <param name="port">Dial this port as well; null: the tunnel is enough.</param>
    /// <param name="timeout">Limit until the tunnel is there.</param>
    public static async Task<int> RunAsync(CommandContext context, string address, ushort? port, TimeSpan timeout)
    {
        TunnelSetup setup = new(context, address);
        EventSubscription? watching = await setup.WatchAsync().ConfigureAwait(false);
        try
        {
            return await setup.BuildAsync(port, timeout, watching).ConfigureAwait(false);
        }
        finally
        {
            if (watching is not null)
            {
                await watching.DisposeAsync().ConfigureAwait(false);
            }
        }
    }

    private async Task<int> BuildAsync(ushort? port, TimeSpan timeout, EventSubscription? watching)
    {
        string nat = await NatTypeAsync().ConfigureAwait(false);
        context.Out.Note($"Discovering NAT type... {nat}");
        lock (_gate)
        {
            _isBegun = true;
        }

        long started = Stopwatch.GetTimestamp();
        JsonMap data = new() { ["target"] = address, ["nat_type"] = nat, ["connected"] = true };
        if (port is { } wanted)
        {
            PilotStream stream = await PeerDial.OpenAsync(context, address, wanted, timeout).ConfigureAwait(false);
            await stream.DisposeAsync().ConfigureAwait(false);
            data["port"] = wanted;
        }

        PingData ping = await PingAsync(timeout).ConfigureAwait(false);
        while (ping.Path == PathName.Relay && Stopwatch.GetElapsedTime(started) < DirectLimit)
        {
            await Task.Delay(Step).ConfigureAwait(false);
            ping = await PingAsync(timeout).ConfigureAwait(false);
        }

        if (watching is not null)
        {
            await watching.CatchUpAsync().ConfigureAwait(false); // what led to this path was told before the answer, on another connection
        }

        Report(data, ping, nat);
        return 0;
    }

    private void Report(JsonMap data, PingData ping, string nat)
    {
        lock (_gate)
        {
            _isOver = true;
            data["path"] = ping.Path;
            data["endpoint"] = ping.Endpoint;
            data["rtt_ms"] = Math.Round(ping.RttMs, 3);
            data["punched"] = _isPunched;
            if (ping.Via is { } via)
            {
                data["via"] = via;
            }

            string time = $" RTT: {TunnelLine.Milliseconds(TimeSpan.FromMilliseconds(ping.RttMs))}";
            if (ping.Path == PathName.Relay)
            {
                context.Out.Note(nat == Symmetric ? "Hole-punch not possible. Switching to relay..." : "No direct path yet. Switching to relay...");
            }

            context.Out.Success(
                data,
                ping.Path == PathName.Relay
                    ? $"✓ Relay tunnel via beacon.{time}\n✓ All data encrypted end-to-end. Relay cannot decrypt."
                    : $"✓ Direct tunnel established.{time}");
        }
    }

    private async Task<PingData> PingAsync(TimeSpan timeout)
    {
        try
        {
            return await context.Client.PingAsync(address, timeout).ConfigureAwait(false);
        }
        catch (PilotException e) when (e is PilotNotRunningException || e.Code == PilotErrorCode.ConnectionLost)
        {
            throw CommandContext.Failure(e, "connect");
        }
        catch (PilotException e)
        {
            throw new CliException(
                ErrorCodes.ConnectionFailed, $"cannot connect to {address}: {e.Message}", e.Hint ?? $"check that {address} is reachable: pilotctl ping {address}");
        }
    }

    /// <summary>The daemon measures by itself; right after its start it may not be through.</summary>
    private async Task<string> NatTypeAsync()
    {
        long started = Stopwatch.GetTimestamp();
        while (true)
        {
            JsonElement info = context.Ask(new IpcRequest { Cmd = IpcCommand.Info }, "connect");
            string nat = info.Text("nat_type") is { Length: > 0 } known ? known : "unknown";
            if (nat != "unknown" || info.Text("beacon").Length == 0 || Stopwatch.GetElapsedTime(started) > NatLimit)
            {
                return nat;
            }

            await Task.Delay(Step).ConfigureAwait(false);
        }
    }

    /// <summary>Null with an older daemon: the lines about punching are missing then.</summary>
    private async Task<EventSubscription?> WatchAsync()
    {
        try
        {
            return await context.Client.SubscribeEventsAsync(
                [IpcEvent.Punch],
                occurred =>
                {
                    if (NodeArgument.TryParseAddress(address, out uint node) && occurred.Whole("node_id") == node)
                    {
                        OnPunch(occurred.Text("step"));
                    }
                }).ConfigureAwait(false);
        }
        catch (PilotException e) when (e is not PilotNotRunningException)
        {
            return null;
        }
        catch (PilotException e)
        {
            throw CommandContext.Failure(e, "connect");
        }
    }

    private void OnPunch(string step)
    {
        lock (_gate)
        {
            if (!_isBegun || _isOver)
            {
                return;
            }

            if (step == PunchEvent.Requested && !_isPunchRequested)
            {
                _isPunchRequested = true;
                context.Out.Note("Requesting hole-punch via beacon...");
            }
            else if (step == PunchEvent.Received && _isPunchRequested && !_isPunched)
            {
                _isPunched = true;
                context.Out.Note("✓ Punch sent → peer punched back");
            }
        }
    }
}
