using System.Net.Sockets;
using System.Text;

namespace Pilot.Flags;

/// <summary>Tells the service manager about this process: one datagram to NOTIFY_SOCKET, if there is one.</summary>
public static class SystemdNotifier
{
    /// <summary>How often <c>WATCHDOG=1</c> must come; null when nobody watches.</summary>
    public static TimeSpan? WatchdogInterval =>
        long.TryParse(Environment.GetEnvironmentVariable("WATCHDOG_USEC"), out var microseconds) && microseconds > 0
        && (Environment.GetEnvironmentVariable("WATCHDOG_PID") is not { Length: > 0 } pid || pid == Environment.ProcessId.ToString(System.Globalization.CultureInfo.InvariantCulture))
            ? TimeSpan.FromMicroseconds(microseconds)
            : null;

    /// <summary>The configuration is being read again; <c>READY=1</c> ends it.</summary>
    public static void SendReloading() =>
        Send(FormattableString.Invariant($"RELOADING=1\nMONOTONIC_USEC={System.Diagnostics.Stopwatch.GetElapsedTime(0).Ticks / TimeSpan.TicksPerMicrosecond}"));

    /// <summary>Sends assignments, one per line, for example <c>READY=1</c>. Does nothing without a service manager.</summary>
    public static void Send(string state)
    {
        var path = Environment.GetEnvironmentVariable("NOTIFY_SOCKET");
        if (string.IsNullOrEmpty(path) || path[0] is not ('/' or '@'))
        {
            return;
        }

        try
        {
            using var socket = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
            // A leading @ means the abstract namespace: a zero byte.
            socket.SendTo(Encoding.UTF8.GetBytes(state), new UnixDomainSocketEndPoint(path[0] == '@' ? "\0" + path[1..] : path));
        }
        catch (SocketException)
        {
            // The service manager is gone or does not listen; nothing of ours depends on it.
        }
    }
}
