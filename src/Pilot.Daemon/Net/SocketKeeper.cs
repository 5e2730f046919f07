using System.Globalization;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using Pilot.Daemon.Configuration;
using Pilot.Daemon.Loop;
using Pilot.Daemon.PortMapping;
using Pilot.Daemon.State;
using Pilot.Net;
using Pilot.Protocol;

namespace Pilot.Daemon.Net;

/// <summary>
/// Keeps the tunnel socket useful: learns of new addresses of this host (roaming), and opens the socket again in place when its address is gone or
/// the watchdog wants it.
/// </summary>
internal sealed class SocketKeeper(DaemonSettings settings, StateDirectory state, EngineLoop loop, OwnAddresses own, ILogger logger)
{
    /// <summary>Exit status of a daemon that ends for its supervisor (lessons 37).</summary>
    public const int ExitCode = 86;

    private static readonly TimeSpan LookInterval = TimeSpan.FromSeconds(30);

    private readonly string _host = settings.Listen[..settings.Listen.LastIndexOf(':')].Trim('[', ']');
    private readonly ushort _port = ushort.Parse(settings.Listen.AsSpan(settings.Listen.LastIndexOf(':') + 1), CultureInfo.InvariantCulture);

    /// <summary>Asks the new gateway after a change; null when the gateway is left alone.</summary>
    public PortMappingService? PortMapping { get; set; }

    public HostAddresses Collect() => HostAddresses.Collect(loop.LocalEndpoint.Port);

    /// <summary>Takes what peers may be told of these addresses: a socket on one address is reached at no other.</summary>
    public void Take(HostAddresses addresses)
    {
        var local = loop.LocalEndpoint;
        own.SetInterfaces(addresses.Lan, [.. addresses.Global.Where(address => local.IsUnspecified || address.Ip == local.Ip)]);
        loop.Post(() => loop.Node.SetLocalEndpoints(local.IsUnspecified ? addresses.All : [local])); // a mapping that equals one was not translated
    }

    /// <summary>This host's addresses changed: asks the beacons where we are now, at once, and moves the socket if its address is gone. Any thread.</summary>
    public void Changed(HostAddresses addresses)
    {
        Take(addresses);
        PortMapping?.NetworkChanged();
        loop.Post(() =>
        {
            var local = loop.LocalEndpoint;
            if (!local.IsUnspecified && addresses.All.All(address => address.Ip != local.Ip))
            {
                logger.LogWarning("the tunnel's address {Address} is gone", local.IpText());
                Rebind(elsewhere: false);
            }
            else
            {
                loop.Node.Discover(loop.Now);
            }
        });
    }

    /// <summary>Opens the socket again. Tunnels and streams stay; peers learn the new endpoint from authenticated packets. Loop thread.</summary>
    /// <param name="elsewhere">On another port, unless the user wants a certain one.</param>
    public void Rebind(bool elsewhere)
    {
        var before = loop.LocalEndpoint;
        loop.Rebind(
            () => Open(elsewhere && _port == 0 ? (ushort)0 : before.Port),
            () =>
            {
                var now = loop.LocalEndpoint;
                logger.LogWarning("tunnel socket opened again: {Before} is {Now}", before, now);
                if (now.Port != before.Port)
                {
                    if (_port == 0)
                    {
                        state.WriteLastPort(now.Port);
                    }

                    PortMapping?.PortChanged(now.Port);
                }

                Take(Collect());
                loop.Node.Discover(loop.Now);
            });
    }

    /// <summary>Looks after the socket from now on. Before the loop's start, or on its thread.</summary>
    /// <param name="isRegistryConnected">Whether the registry can be reached.</param>
    /// <param name="exit">Ends the daemon.</param>
    public void StartWatchdog(Func<bool> isRegistryConnected, Action exit)
    {
        // Whom a service manager started, it starts again; a daemon of a terminal would just be gone.
        var isSupervised = Environment.GetEnvironmentVariable("INVOCATION_ID") is { Length: > 0 } || Environment.GetEnvironmentVariable("NOTIFY_SOCKET") is { Length: > 0 };
        var watchdog = new SocketWatchdog(MonotonicClock.Now, isSupervised, DateTimeOffset.UtcNow - state.ReadLastExit());
        loop.StartTimer(LookInterval, Look);

        void Look()
        {
            var sample = new WatchdogSample(loop.DatagramsSent, loop.DatagramsReceived, isRegistryConnected(), loop.Node.Connections.Any());
            switch (watchdog.Look(loop.Now, sample))
            {
                case WatchdogAction.Rebind:
                    logger.LogWarning("nothing came in on the tunnel socket for minutes");
                    Rebind(elsewhere: false);
                    break;
                case WatchdogAction.RebindElsewhere:
                    logger.LogWarning("still nothing comes in on the tunnel socket");
                    Rebind(elsewhere: true);
                    break;
                case WatchdogAction.Exit:
                    logger.LogError("the tunnel socket stays dumb: ending with status {Status} for the service manager", ExitCode);
                    state.WriteLastExit();
                    exit();
                    return;
            }

            loop.StartTimer(LookInterval, Look);
        }
    }

    /// <summary>The wanted address and port, else any address, else any port: reachable somewhere is better than nowhere.</summary>
    private IDatagramSocket? Open(ushort port)
    {
        foreach (var (host, chosen) in new[] { (_host, port), (string.Empty, port), (string.Empty, (ushort)0) })
        {
            try
            {
                return DatagramSocket.Open(host, chosen);
            }
            catch (SocketException exception)
            {
                logger.LogDebug("tunnel socket {Host}:{Port}: {Error}", host, chosen, exception.Message);
            }
        }

        return null;
    }
}
