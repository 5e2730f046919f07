namespace Pilot.EndToEnd.Tests.Lab;

/// <summary>
/// One rendezvous and two private nodes that became trusted by handshakes by name, as the product pages show it.
/// Shared by the tests that do not break anything.
/// </summary>
public sealed class TrustedPair : IAsyncLifetime
{
    internal RendezvousProcess Rendezvous { get; private set; } = null!;

    internal TestNode A { get; private set; } = null!;

    internal TestNode B { get; private set; } = null!;

    internal Outcome FirstStart { get; private set; } = null!;

    internal Outcome FirstHandshake { get; private set; } = null!;

    internal Outcome SecondHandshake { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        Rendezvous = await RendezvousProcess.StartNewAsync();
        A = new TestNode(Rendezvous.Registry, Rendezvous.Beacon, "agent-a");
        B = new TestNode(Rendezvous.Registry, Rendezvous.Beacon, "agent-b");
        try
        {
            await TrustEachOtherAsync();
        }
        catch
        {
            await DisposeAsync(); // xUnit does not dispose what failed to initialise, and processes would stay behind
            throw;
        }
    }

    private async Task TrustEachOtherAsync()
    {
        FirstStart = await A.StartAsync();
        await B.StartAsync();
        FirstHandshake = await B.CtlAsync("handshake", "agent-a");
        SecondHandshake = await A.CtlAsync("handshake", "agent-b", "hello from a");
        Assert.True(FirstHandshake.Exit == 0, FirstHandshake.Everything);
        Assert.True(SecondHandshake.Exit == 0, SecondHandshake.Everything);
        await A.WaitForTrustAsync(B);
        await B.WaitForTrustAsync(A);
    }

    public async ValueTask DisposeAsync()
    {
        await A.DisposeAsync();
        await B.DisposeAsync();
        await Rendezvous.DisposeAsync();
    }
}

/// <summary>The tests that share a <see cref="TrustedPair"/>.</summary>
[CollectionDefinition(Name)]
public sealed class TrustedPairCollection : ICollectionFixture<TrustedPair>
{
    public const string Name = "trusted pair";
}
