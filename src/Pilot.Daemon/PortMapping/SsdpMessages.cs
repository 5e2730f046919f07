using System.Diagnostics.CodeAnalysis;
using System.Text;
using Pilot.Protocol;

namespace Pilot.Daemon.PortMapping;

/// <summary>The search for an Internet gateway device (UPnP Device Architecture 1.1 section 1.3).</summary>
internal static class SsdpMessages
{
    private const int MaxHeaders = 64;
    private const int MaxLocation = 512;

    /// <summary>What is searched for; version 2 devices answer to version 1 as well, but not all do.</summary>
    public static readonly string[] Targets = ["urn:schemas-upnp-org:device:InternetGatewayDevice:1", "urn:schemas-upnp-org:device:InternetGatewayDevice:2"];

    public static byte[] Search(string target) => Encoding.ASCII.GetBytes(
        $"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: {target}\r\n\r\n");

    /// <summary>Reads the address of the description from an answer. False when it is no answer, or the address is not on <paramref name="gateway"/> itself.</summary>
    public static bool TryParse(ReadOnlySpan<byte> data, UdpEndpoint gateway, [NotNullWhen(true)] out Uri? location)
    {
        location = null;
        if (!TakeLine(ref data, out var status) || !status.StartsWith("HTTP/1."u8) || status.Length < 12 || !status[8..12].SequenceEqual(" 200"u8))
        {
            return false;
        }

        for (var i = 0; i < MaxHeaders && TakeLine(ref data, out var line) && !line.IsEmpty; i++)
        {
            var colon = line.IndexOf((byte)':');
            if (colon == 8 && Ascii.EqualsIgnoreCase(line[..colon], "LOCATION"u8))
            {
                var value = line[(colon + 1)..].Trim((byte)' ');
                return value.Length <= MaxLocation && Ascii.IsValid(value) && TryParseAddress(Encoding.ASCII.GetString(value), gateway, out location);
            }
        }

        return false;
    }

    /// <summary>An http address whose host is the gateway's IP: everything else is somebody else's.</summary>
    public static bool TryParseAddress(string text, UdpEndpoint gateway, [NotNullWhen(true)] out Uri? address)
    {
        if (Uri.TryCreate(text, UriKind.Absolute, out var uri) && IsOn(uri, gateway))
        {
            address = uri;
            return true;
        }

        address = null;
        return false;
    }

    public static bool IsOn(Uri address, UdpEndpoint gateway) =>
        address.Scheme == Uri.UriSchemeHttp && address.UserInfo.Length == 0
        && UdpEndpoint.TryParseIp(address.Host.AsSpan().Trim("[]"), 0, out var host) && host.Ip == gateway.Ip;

    private static bool TakeLine(ref ReadOnlySpan<byte> data, out ReadOnlySpan<byte> line)
    {
        var end = data.IndexOf((byte)'\n');
        if (end < 0)
        {
            line = default;
            return false;
        }

        line = data[..end].TrimEnd((byte)'\r');
        data = data[(end + 1)..];
        return true;
    }
}
