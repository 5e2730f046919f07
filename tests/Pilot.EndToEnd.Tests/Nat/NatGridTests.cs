using System.Diagnostics;
using System.Globalization;
using Pilot.EndToEnd.Tests.Lab;
using Pilot.EndToEnd.Tests.Nat.Lab;
using Pilot.EndToEnd.Tests.Nat.Machines;
using Pilot.EndToEnd.Tests.Nat.Wire;
using Pilot.Ipc;

namespace Pilot.EndToEnd.Tests.Nat;

/// <summary>The networks of the grid, from the most open to the strictest; between two of them physics decides the route.</summary>
public enum Network
{
    None,
    FullCone,
    AddressRestricted,
    PortRestricted,
    Symmetric,
}

/// <summary>Every pair of NATs, both directions, strangers before: data flows, and by the best route that there is.</summary>
public sealed class NatGridTests(ITestOutputHelper output)
{
    private static readonly TimeSpan OneWay = TimeSpan.FromMilliseconds(15);
    private static readonly Network[] All = Enum.GetValues<Network>();

    [Fact]
    public async Task Every_pair_exchanges_data_by_the_best_route_that_there_is()
    {
        long begun = Stopwatch.GetTimestamp();
        await using NatLab lab = new(OneWay);
        await LabRendezvous.StartAsync(lab);
        Dictionary<(Network, int), LabAgent> agents = [];
        foreach (Network network in All)
        {
            LabAgent[] started = await Task.WhenAll(
                LabAgent.StartAsync(lab, NewSite(lab, network, "1", kernel: true)), LabAgent.StartAsync(lab, NewSite(lab, network, "2", kernel: false)));
            (agents[(network, 1)], agents[(network, 2)]) = (started[0], started[1]);
        }

        Note("started");

        // x1 -> y2: each of the 25 is a pair of strangers of its own. They ask all at once and wait afterwards: private nodes hear of a request when
        // they next poll the registry.
        foreach (Network from in All)
        {
            await Task.WhenAll(All.Select(to => agents[(from, 1)].Client.HandshakeAsync(agents[(to, 2)].Name)));
        }

        foreach ((Network from, Network to) in All.SelectMany(from => All.Select(to => (from, to))))
        {
            await agents[(from, 1)].UntilTrustAsync(agents[(to, 2)]);
        }

        Note("trusted");
        List<string> wrong = [];
        foreach (Network from in All)
        {
            await Task.WhenAll(All.Select(to => TryAsync(agents[(from, 1)], agents[(to, 2)], from, to, wrong)));
        }

        Note("tried");
        foreach (((Network network, _), LabAgent agent) in agents)
        {
            string? said = null;
            try
            {
                await Wait.UntilAsync(
                    "NAT measured", async () => (said = (await agent.Client.GetInfoAsync()).NatType) == TypeOf(network), TimeSpan.FromSeconds(10));
            }
            catch (TimeoutException)
            {
                wrong.Add($"{agent.Name} says that its NAT is {said}, but it is {TypeOf(network)}");
            }
        }

        Note("NATs asked for");
        Assert.True(wrong.Count == 0, string.Join('\n', wrong));

        void Note(string what) => output.WriteLine($"{what} after {Ms(Stopwatch.GetElapsedTime(begun))}");

        async Task TryAsync(LabAgent a, LabAgent b, Network from, Network to, List<string> failures)
        {
            string cell = $"{from} -> {to}";
            try
            {
                string problem = await CellAsync(lab, a, b, from, to, cell);
                Fail(problem.Length > 0 ? $"{cell}: {problem}" : null);
            }
            catch (Exception e) when (e is Client.PilotException or IOException or TimeoutException or OperationCanceledException)
            {
                Fail($"{cell}: {e.GetType().Name} {e.Message}");
            }

            void Fail(string? line)
            {
                lock (failures)
                {
                    if (line is not null)
                    {
                        failures.Add(line);
                    }
                }
            }
        }
    }

    /// <summary>Two symmetric NATs, or one and a port-restricted one, leave no port to guess; everything else does.</summary>
    internal static bool CanBeDirect(Network a, Network b) => (int)a + (int)b < (int)Network.PortRestricted + (int)Network.Symmetric;

    /// <summary>The word for it (spec 04 section 11).</summary>
    private static string TypeOf(Network network) => network switch
    {
        Network.None => "open",
        Network.FullCone => "full-cone",
        Network.AddressRestricted => "restricted cone",
        Network.PortRestricted => "port-restricted cone",
        _ => "symmetric",
    };

    private static Site NewSite(NatLab lab, Network network, string number, bool kernel)
    {
        string name = network.ToString().ToLowerInvariant() + number;
        return network switch
        {
            Network.None => lab.AddPublic(name),
            Network.FullCone => lab.AddBehind(name, NatRules.FullCone),
            Network.AddressRestricted => lab.AddBehind(name, NatRules.AddressRestricted),
            Network.PortRestricted when kernel && NetworkNamespace.HasNft => lab.AddBehindKernel(name, KernelNatKind.PortRestricted),
            Network.PortRestricted => lab.AddBehind(name, NatRules.PortRestricted),
            _ when kernel && NetworkNamespace.HasNft => lab.AddBehindKernel(name, KernelNatKind.Symmetric),
            _ => lab.AddBehind(name, NatRules.Symmetric),
        };
    }

    private async Task<string> CellAsync(NatLab lab, LabAgent a, LabAgent b, Network from, Network to, string cell)
    {
        (TimeSpan first, string opened) = await a.EchoAsync(b);
        bool direct = CanBeDirect(from, to);
        long started = Stopwatch.GetTimestamp();
        string there = opened;
        string back = PathName.None;
        try
        {
            await Wait.UntilAsync(
                "direct",
                async () => (there = await a.PathToAsync(b)) is not (PathName.Relay or PathName.None) == direct
                    && (back = await b.PathToAsync(a)) is not (PathName.Relay or PathName.None) == direct,
                TimeSpan.FromSeconds(10));
        }
        catch (TimeoutException)
        {
            return $"opened {opened} in {Ms(first)}, then {there}, back {back}; expected {(direct ? "direct" : "relay")}";
        }

        TimeSpan settled = Stopwatch.GetElapsedTime(started);

        // What the wire says: payload between the two outside addresses, or none of it.
        const int Payload = 50_000;
        long before = Wire(lab, a, b);
        await a.EchoAsync(b, Payload);
        long crossed = Wire(lab, a, b) - before;
        bool wasDirect = crossed > 2 * Payload;
        output.WriteLine($"{cell}: first {opened} {Ms(first)}, {there} after {Ms(settled)} more, {crossed} bytes between them");
        return wasDirect == direct ? string.Empty : $"says {there}/{back}, but {crossed} of {2 * Payload} bytes went directly";
    }

    private static long Wire(NatLab lab, LabAgent a, LabAgent b) =>
        lab.Internet.UdpBytes(a.Site.Outside, b.Site.Outside) + lab.Internet.UdpBytes(b.Site.Outside, a.Site.Outside);

    private static string Ms(TimeSpan time) => string.Create(CultureInfo.InvariantCulture, $"{time.TotalMilliseconds:0} ms");
}
