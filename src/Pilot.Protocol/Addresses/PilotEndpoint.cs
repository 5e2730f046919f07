using System.Globalization;

namespace Pilot.Protocol;

/// <summary>An overlay address with a port, text form <c>address:port</c> (spec 01 section 2.4).</summary>
/// <param name="Address">The node's overlay address.</param>
/// <param name="Port">The overlay port; 0 is accepted.</param>
public readonly record struct PilotEndpoint(PilotAddress Address, ushort Port)
{
    /// <summary>Parses <c>address:port</c>, split at the last colon. Host names are not accepted. Never throws.</summary>
    public static bool TryParse(ReadOnlySpan<char> text, out PilotEndpoint endpoint)
    {
        endpoint = default;
        int colon = text.LastIndexOf(':');
        if (colon < 0
            || !PilotAddress.TryParse(text[..colon], out PilotAddress address)
            || !DecimalText.TryParseUInt16(text[(colon + 1)..], out ushort port))
        {
            return false;
        }

        endpoint = new PilotEndpoint(address, port);
        return true;
    }

    /// <summary>The canonical text, for example <c>0:0000.0000.002A:80</c>.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Address}:{Port}");
}
