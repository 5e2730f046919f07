using System.Net.NetworkInformation;
using System.Threading.Channels;
using Microsoft.Extensions.Logging;

namespace Pilot.Daemon.Net;

/// <summary>
/// Notices that this host's addresses changed: told by the system (netlink on Linux), and looked at every half minute where it tells nothing.
/// Changes come in bunches, so it looks when the first has settled. Such a look makes the whole list only when a fingerprint of the interfaces is
/// another one, or after some time for what that does not show (which IPv6 address the system prefers).
/// </summary>
/// <param name="collect">Makes the list.</param>
/// <param name="changed">Told the new list.</param>
/// <param name="logger">Log.</param>
/// <param name="fingerprint">A cheap sign of change, null if unknown; default <see cref="InterfaceFingerprint"/>.</param>
/// <param name="look">Time between two looks; default half a minute.</param>
internal sealed class NetworkWatch(
    Func<HostAddresses> collect, Action<HostAddresses> changed, ILogger logger, Func<ulong?>? fingerprint = null, TimeSpan? look = null)
{
    private const int LooksPerList = 20;

    private static readonly TimeSpan Settle = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan Look = TimeSpan.FromSeconds(30);

    private readonly Channel<bool> _signals = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });

    /// <summary>Looks again soon. Any thread.</summary>
    public void Signal() => _signals.Writer.TryWrite(true);

    /// <summary>Works until cancelled.</summary>
    /// <param name="last">The list that is known.</param>
    /// <param name="seen">The fingerprint from before that list was made; null: the first look makes a new one.</param>
    /// <param name="cancellation">Ends it.</param>
    public async Task RunAsync(HostAddresses last, ulong? seen, CancellationToken cancellation)
    {
        NetworkAddressChangedEventHandler handler = (_, _) => Signal();
        NetworkChange.NetworkAddressChanged += handler;
        var read = fingerprint ?? InterfaceFingerprint.Read;
        var looks = 0;
        try
        {
            while (!cancellation.IsCancellationRequested)
            {
                var isTold = false;
                using (var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation))
                {
                    limit.CancelAfter(look ?? Look);
                    try
                    {
                        await _signals.Reader.ReadAsync(limit.Token).ConfigureAwait(false);
                        isTold = true;
                        await Task.Delay(Settle, cancellation).ConfigureAwait(false);
                    }
                    catch (OperationCanceledException)
                    {
                        // Time to look, or the stop.
                    }
                }

                var before = seen;
                seen = read(); // before the list: what changes between the two is seen by the next look
                if (!isTold && seen is not null && seen == before && ++looks < LooksPerList)
                {
                    continue;
                }

                looks = 0;
                if (!cancellation.IsCancellationRequested && collect() is var now && !now.Equals(last))
                {
                    last = now;
                    logger.LogInformation("own addresses changed: {Addresses}", string.Join(", ", now.All.Select(address => address.IpText())));
                    changed(now);
                }
            }
        }
        finally
        {
            NetworkChange.NetworkAddressChanged -= handler;
        }
    }
}
