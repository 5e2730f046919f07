using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Microsoft.Extensions.Logging;
using Pilot.Protocol;

namespace Pilot.Rendezvous.Startup;

/// <summary>What the embedded and the stand-alone beacon read of their settings alike.</summary>
internal static class BeaconStart
{
    private const int MinKeyBytes = 16;

    /// <summary>The shared secret of a cluster; empty without a file.</summary>
    /// <exception cref="StartException">The file cannot be read, or holds too little.</exception>
    public static byte[] ReadKey(string file)
    {
        if (file.Length == 0)
        {
            return [];
        }

        try
        {
            byte[] key = Encoding.UTF8.GetBytes(File.ReadAllText(file).Trim());
            return key.Length >= MinKeyBytes ? key : throw new StartException($"beacon key: {file} holds fewer than {MinKeyBytes} bytes");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new StartException($"beacon key: {e.Message}");
        }
    }

    /// <summary>IP or IP:port; null when empty.</summary>
    /// <exception cref="StartException">Neither.</exception>
    public static IPEndPoint? SecondAddress(string text)
    {
        if (text.Length == 0)
        {
            return null;
        }

        if (IPAddress.TryParse(text.Trim('[', ']'), out IPAddress? address))
        {
            return new IPEndPoint(address, 0);
        }

        return IPEndPoint.TryParse(text, out IPEndPoint? endpoint) && endpoint.Port != 0
            ? endpoint
            : throw new StartException($"beacon second address {text}: must be IP or IP:port");
    }

    /// <summary>Resolves <c>host:port</c> entries, comma-separated; what cannot be resolved is left out with a warning (spec 04 section 1.1).</summary>
    public static async Task<UdpEndpoint[]> ResolveAsync(string list, ILogger logger)
    {
        var found = new List<UdpEndpoint>();
        foreach (string entry in list.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            if (await ResolveOneAsync(entry) is { } endpoint)
            {
                found.Add(endpoint);
            }
            else
            {
                logger.LogWarning("beacon peer {Peer} cannot be resolved", entry);
            }
        }

        return [.. found];
    }

    private static async Task<UdpEndpoint?> ResolveOneAsync(string entry)
    {
        if (UdpEndpoint.TryParse(entry, out UdpEndpoint endpoint))
        {
            return endpoint;
        }

        int colon = entry.LastIndexOf(':');
        if (colon <= 0 || !ushort.TryParse(entry.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out ushort port))
        {
            return null;
        }

        try
        {
            IPAddress[] addresses = await Dns.GetHostAddressesAsync(entry[..colon]);
            IPAddress? chosen = addresses.FirstOrDefault(a => a.AddressFamily == AddressFamily.InterNetwork) ?? addresses.FirstOrDefault();
            return chosen is null ? null : UdpEndpoint.FromBytes(chosen.GetAddressBytes(), port);
        }
        catch (SocketException)
        {
            return null;
        }
    }
}
