using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Pilot.Rendezvous.Startup;

/// <summary>Listen addresses as the reference writes them: <c>:9000</c> (all interfaces, both families), <c>1.2.3.4:9000</c>, <c>[::1]:9000</c>, <c>name:9000</c>.</summary>
internal static class ListenAddress
{
    /// <exception cref="StartException">The text is no address, or its name is unknown.</exception>
    public static IPEndPoint Parse(string flag, string text)
    {
        int colon = text.LastIndexOf(':');
        if (colon < 0 || !ushort.TryParse(text[(colon + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out ushort port))
        {
            throw new StartException($"-{flag}: \"{text}\" is no address (want host:port or :port)");
        }

        string host = text[..colon].Trim('[', ']');
        if (host.Length == 0)
        {
            return new IPEndPoint(IPAddress.IPv6Any, port);
        }

        if (IPAddress.TryParse(host, out IPAddress? address))
        {
            return new IPEndPoint(address, port);
        }

        try
        {
            IPAddress[] addresses = Dns.GetHostAddresses(host);
            return new IPEndPoint(
                Array.Find(addresses, a => a.AddressFamily == AddressFamily.InterNetwork) ?? (addresses.Length > 0 ? addresses[0] : throw new ArgumentException("it has no address")), port);
        }
        catch (Exception e) when (e is SocketException or ArgumentException)
        {
            throw new StartException($"-{flag}: cannot resolve \"{host}\": {e.Message}");
        }
    }
}
