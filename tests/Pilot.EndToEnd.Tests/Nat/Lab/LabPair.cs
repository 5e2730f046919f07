using System.Diagnostics;
using Pilot.EndToEnd.Tests.Lab;
using Pilot.Ipc;

namespace Pilot.EndToEnd.Tests.Nat.Lab;

/// <summary>Two agents that trust each other, behind NATs of the test's choice, and their rendezvous.</summary>
internal sealed class LabPair : IAsyncDisposable
{
    private static readonly TimeSpan OneWay = TimeSpan.FromMilliseconds(15); // a round trip of 30 ms, across a country
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(15);

    private LabPair(NatLab lab) => Lab = lab;

    public NatLab Lab { get; }

    public LabRendezvous Rendezvous { get; private set; } = null!;

    public LabAgent A { get; private set; } = null!;

    public LabAgent B { get; private set; } = null!;

    public static async Task<LabPair> StartAsync(Func<NatLab, Site> siteA, Func<NatLab, Site> siteB, params string[] rendezvousFlags)
    {
        LabPair pair = new(new NatLab(OneWay));
        try
        {
            pair.Rendezvous = await LabRendezvous.StartAsync(pair.Lab, rendezvousFlags);
            LabAgent[] agents = await Task.WhenAll(LabAgent.StartAsync(pair.Lab, siteA(pair.Lab)), LabAgent.StartAsync(pair.Lab, siteB(pair.Lab)));
            (pair.A, pair.B) = (agents[0], agents[1]);
            await pair.A.TrustAsync(pair.B);
            await pair.A.EchoAsync(pair.B);
            return pair;
        }
        catch
        {
            await pair.DisposeAsync();
            throw;
        }
    }

    /// <summary>Waits until both say that they reach each other directly (or, with <paramref name="direct"/> false, by relay); how long it took.</summary>
    public async Task<TimeSpan> UntilRouteAsync(bool direct, TimeSpan? patience = null)
    {
        long started = Stopwatch.GetTimestamp();
        (string there, string back) = (PathName.None, PathName.None);
        try
        {
            await Wait.UntilAsync(
                "route",
                async () => Is(there = await A.PathToAsync(B), direct) && Is(back = await B.PathToAsync(A), direct),
                patience ?? Patience);
        }
        catch (TimeoutException)
        {
            Assert.Fail($"expected {(direct ? "a direct path" : "relay")}, but A says {there} and B says {back}");
        }

        return Stopwatch.GetElapsedTime(started);
    }

    /// <summary>UDP bytes between the two outside addresses, both ways.</summary>
    public long DirectBytes() =>
        Lab.Internet.UdpBytes(A.Site.Outside, B.Site.Outside) + Lab.Internet.UdpBytes(B.Site.Outside, A.Site.Outside);

    public ValueTask DisposeAsync() => Lab.DisposeAsync();

    private static bool Is(string path, bool direct) => direct ? path is not (PathName.Relay or PathName.None) : path == PathName.Relay;
}
