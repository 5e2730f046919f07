using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Pilot.Flags;

namespace Pilot.Rendezvous.Server;

/// <summary>Runs the registry's timers and cuts off connections that are past their deadline.</summary>
internal sealed class RegistryTimers(RegistryService registry, OpenConnections connections, ConnectionLimits limits, ILogger<RegistryTimers> logger)
    : BackgroundService
{
    private readonly bool _watchdog = SystemdNotifier.WatchdogInterval is not null;

    /// <summary>Called every second as well.</summary>
    public Action? Tick { get; set; }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(limits.SweepInterval);
        try
        {
            while (await timer.WaitForNextTickAsync(stoppingToken))
            {
                if (registry.CatchUp() is var leap && leap > TimeSpan.Zero)
                {
                    logger.LogWarning("the clock of this machine leapt by {Seconds} s: nodes have a stale period from now on to be heard of", (long)leap.TotalSeconds);
                }

                registry.Tick();
                Tick?.Invoke();
                if (_watchdog)
                {
                    _ = registry.LiveNodes; // takes the registry's lock: one that hangs there is not alive
                    SystemdNotifier.Send("WATCHDOG=1");
                }

                int aborted = connections.AbortOverdue();
                if (aborted > 0)
                {
                    logger.LogDebug("closed {Count} connections past their deadline", aborted);
                }
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            logger.LogDebug("registry timers stopped");
        }
    }
}
