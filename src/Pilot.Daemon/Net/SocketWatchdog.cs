using Pilot.Engine;

namespace Pilot.Daemon.Net;

internal enum WatchdogAction : byte
{
    None,

    /// <summary>Open the socket again on the same port.</summary>
    Rebind,

    /// <summary>Open the socket again on another port, if the user does not want a certain one: the NAT makes a new mapping.</summary>
    RebindElsewhere,

    /// <summary>End the process for its supervisor.</summary>
    Exit,
}

/// <summary>What the watchdog looks at.</summary>
/// <param name="Sent">Datagrams sent since the start.</param>
/// <param name="Received">Datagrams received since the start.</param>
/// <param name="IsRegistryConnected">Whether the registry can be reached: if not, it is the network, and no socket helps.</param>
/// <param name="HasStreams">Whether anybody waits for data.</param>
internal readonly record struct WatchdogSample(long Sent, long Received, bool IsRegistryConnected, bool HasStreams);

/// <summary>
/// The last two steps of recovery, behind the engine's own (single paths): when for minutes nothing at all comes in on the tunnel socket although we
/// send and the registry answers, the socket is opened again, then on another port, and only then, where a supervisor will start us again, the
/// process ends (lessons 37-40). Guards: something must have come in before; an exit needs half an hour of uptime, streams that wait, and that
/// the last such exit is long ago, since a restart that did not help then will not help now.
/// </summary>
internal sealed class SocketWatchdog(Instant start, bool isSupervised, TimeSpan? sinceLastExit)
{
    /// <summary>Silence that counts, and the time between two steps (lessons 37: 3 min).</summary>
    public static readonly TimeSpan Silence = TimeSpan.FromMinutes(3);

    /// <summary>Not sooner after the start (lessons 37).</summary>
    public static readonly TimeSpan MinUptime = TimeSpan.FromMinutes(30);

    /// <summary>Two exits are at least this far apart (lessons 39).</summary>
    public static readonly TimeSpan MinBetweenExits = TimeSpan.FromHours(6);

    /// <summary>Datagrams that must have gone out during the silence (lessons 37).</summary>
    public const long MinSent = 30;

    private static readonly TimeSpan MaxWait = TimeSpan.FromHours(1);

    private long _received;
    private long _sentThen;
    private Instant _since;
    private TimeSpan _wait = Silence;
    private int _steps;
    private bool _hasStarted;

    /// <summary>To be called every half minute or so.</summary>
    public WatchdogAction Look(Instant now, in WatchdogSample sample)
    {
        if (sample.Received != _received || !_hasStarted)
        {
            _hasStarted = true;
            (_received, _steps, _wait) = (sample.Received, 0, Silence);
            Restart(now, sample);
            return WatchdogAction.None;
        }

        if (sample.Received == 0 || !sample.IsRegistryConnected)
        {
            Restart(now, sample);
            return WatchdogAction.None;
        }

        if (now - _since < _wait || sample.Sent - _sentThen < MinSent)
        {
            return WatchdogAction.None;
        }

        Restart(now, sample);
        switch (_steps++)
        {
            case 0:
                return WatchdogAction.Rebind;
            case 1:
                return WatchdogAction.RebindElsewhere;
            default:
                if (isSupervised && sample.HasStreams && now - start >= MinUptime && !(sinceLastExit + (now - start) < MinBetweenExits))
                {
                    return WatchdogAction.Exit;
                }

                _wait = _wait * 2 < MaxWait ? _wait * 2 : MaxWait;
                return WatchdogAction.RebindElsewhere;
        }
    }

    private void Restart(Instant now, in WatchdogSample sample) => (_since, _sentThen) = (now, sample.Sent);
}
