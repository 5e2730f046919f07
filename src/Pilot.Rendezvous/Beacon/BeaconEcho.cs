using Pilot.Protocol;
using Pilot.Rendezvous.Registry;

namespace Pilot.Rendezvous.Beacon;

/// <summary>What answers at a beacon's further ports: extended DISCOVERs, and nothing else. Stores nothing. One caller at a time.</summary>
public sealed class BeaconEcho
{
    private const int Sources = 10_000;

    private readonly BeaconCookies _cookies;
    private readonly RateLimiter _requests;
    private readonly RateLimiter _all;

    internal BeaconEcho(BeaconCookies cookies, BeaconOptions options)
    {
        _cookies = cookies;
        _requests = new RateLimiter(3 * options.RequestsPerSecond, TimeSpan.FromSeconds(3), Sources);
        _all = new RateLimiter(options.UnverifiedPerSecond, TimeSpan.FromSeconds(1), 1);
    }

    /// <summary>Writes the answer; 0 when there is none. It is never longer than what it answers.</summary>
    public int Answer(DateTimeOffset now, UdpEndpoint source, ReadOnlySpan<byte> datagram, Span<byte> reply)
    {
        if (!BeaconDiscoverExtension.TryParse(datagram, out BeaconDiscoverExtension extension)
            || !_all.TryTake(now, 0, out _) || !_requests.TryTake(now, source.Ip, out _))
        {
            return 0;
        }

        return new BeaconReplyExtension(extension.Token, _cookies.Make(now, source), BeaconCapabilities.None, 0, 0, 0, default).Write(reply, source);
    }
}
