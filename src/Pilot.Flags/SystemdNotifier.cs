using System.Net.Sockets;
using System.Text;

namespace Pilot.Flags;

/// <summary>Tells the service manager about this process: one datagram to NOTIFY_SOCKET, if there is one.</summary>
public static class SystemdNotifier
{
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
