namespace Pilot.Benchmarks.EndToEnd;

/// <summary>Trust between two daemons, by handshake and approval as users do it.</summary>
internal static class BenchmarkTrust
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    /// <summary>Returns when both trust each other.</summary>
    public static async Task EstablishAsync(BenchmarkDaemon a, BenchmarkDaemon b)
    {
        await a.Client.HandshakeAsync(b.Address, "benchmark").ConfigureAwait(false);
        var deadline = DateTime.UtcNow + Patience;
        var isApproved = false;
        while (true)
        {
            if (!isApproved && (await b.Client.GetPendingAsync().ConfigureAwait(false)).Pending.Any(p => p.NodeId == a.NodeId))
            {
                await b.Client.ApproveAsync(a.Address).ConfigureAwait(false);
                isApproved = true;
            }

            if (await TrustsAsync(a, b).ConfigureAwait(false) && await TrustsAsync(b, a).ConfigureAwait(false))
            {
                return;
            }

            if (DateTime.UtcNow > deadline)
            {
                throw new BenchmarkException($"{a.Name} and {b.Name} did not come to trust each other");
            }

            await Task.Delay(100).ConfigureAwait(false);
        }
    }

    private static async Task<bool> TrustsAsync(BenchmarkDaemon daemon, BenchmarkDaemon other) =>
        (await daemon.Client.GetTrustedAsync().ConfigureAwait(false)).Trusted.Any(t => t.NodeId == other.NodeId);
}
