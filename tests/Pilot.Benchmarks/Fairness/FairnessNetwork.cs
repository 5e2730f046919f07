using Pilot.Benchmarks.EndToEnd;
using Pilot.Benchmarks.Link;

namespace Pilot.Benchmarks.Fairness;

/// <summary>Two daemons at the left end of a link and one at the right; the rendezvous is at the left, too.</summary>
internal sealed class FairnessNetwork : IAsyncDisposable
{
    private const int FirstPort = 4500; // the namespaces are our own

    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("pilot-fair-");
    private readonly List<BenchmarkDaemon> _daemons = [];
    private BenchmarkRendezvous? _rendezvous;
    private LinkedNamespaces? _link;

    private FairnessNetwork()
    {
    }

    public LinkedNamespaces Link => _link!;

    public BenchmarkDaemon FirstSender => _daemons[0];

    public BenchmarkDaemon SecondSender => _daemons[1];

    public BenchmarkDaemon Receiver => _daemons[2];

    public static async Task<FairnessNetwork> StartAsync()
    {
        var network = new FairnessNetwork();
        try
        {
            network._link = await LinkedNamespaces.CreateAsync().ConfigureAwait(false);
            await network._link.SetAsync(new LinkParameters()).ConfigureAwait(false);
            network._rendezvous = await BenchmarkRendezvous.StartAsync(network._link.InLeft, network._directory.FullName, LinkedNamespaces.LeftAddress).ConfigureAwait(false);
            await network.AddAsync(network._link.InLeft, "fair-a", LinkedNamespaces.LeftAddress).ConfigureAwait(false);
            await network.AddAsync(network._link.InLeft, "fair-b", LinkedNamespaces.LeftAddress).ConfigureAwait(false);
            await network.AddAsync(network._link.InRight, "fair-c", LinkedNamespaces.RightAddress).ConfigureAwait(false);
            await BenchmarkTrust.EstablishAsync(network.FirstSender, network.Receiver).ConfigureAwait(false);
            await BenchmarkTrust.EstablishAsync(network.SecondSender, network.Receiver).ConfigureAwait(false);
            return network;
        }
        catch
        {
            await network.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var daemon in _daemons)
        {
            await daemon.DisposeAsync().ConfigureAwait(false);
        }

        _rendezvous?.Dispose();
        _link?.Dispose();
        _directory.Delete(recursive: true);
    }

    private async Task AddAsync(string[] launcher, string name, string address)
    {
        var endpoint = $"{address}:{FirstPort + _daemons.Count}";
        _daemons.Add(await BenchmarkDaemon.StartByAsync(
            launcher, _directory.FullName, name, _rendezvous!.Registry, "-beacon", "", "-listen", endpoint, "-endpoint", endpoint).ConfigureAwait(false));
    }
}
