using System.Net.NetworkInformation;
using System.Threading.Channels;
using Microsoft.Extensions.Logging;

namespace Pilot.Daemon.Net;

/// <summary>
/// Notices that this host's addresses changed: told by the system (netlink on Linux), and looked at every half minute where it tells nothing.
/// Changes come in bunches, so it looks when the first has settled.
/// </summary>
internal sealed class NetworkWatch(Func<HostAddresses> collect, Action<HostAddresses> changed, ILogger logger)
{
    private static readonly TimeSpan Settle = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan Look = TimeSpan.FromSeconds(30);

    private readonly Channel<bool> _signals = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });

    /// <summary>Looks again soon. Any thread.</summary>
    public void Signal() => _signals.Writer.TryWrite(true);

    /// <summary>Works until cancelled.</summary>
    public async Task RunAsync(HostAddresses last, CancellationToken cancellation)
    {
        NetworkAddressChangedEventHandler handler = (_, _) => Signal();
        NetworkChange.NetworkAddressChanged += handler;
        try
        {
            while (!cancellation.IsCancellationRequested)
            {
                using (var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation))
                {
                    limit.CancelAfter(Look);
                    try
                    {
                        await _signals.Reader.ReadAsync(limit.Token).ConfigureAwait(false);
                        await Task.Delay(Settle, cancellation).ConfigureAwait(false);
                    }
                    catch (OperationCanceledException)
                    {
                        // Time to look, or the stop.
                    }
                }

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
