using Pilot.Rendezvous.Registry;
using Pilot.Rendezvous.Server;
using Pilot.Rendezvous.Storage;

namespace Pilot.Rendezvous.Tests.Server;

/// <summary>What requests are told when a shared store goes away while it stores them.</summary>
public sealed class WriteLaneTests
{
    [Fact]
    public async Task A_commit_whose_fate_is_unknown_is_neither_done_nor_refused()
    {
        using var store = new VanishingStore { ComesBack = false };
        using WriteLane lane = Start(store);
        await Assert.ThrowsAsync<UnconfirmedException>(() => lane.RunAsync(Change));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_commit_whose_answer_was_lost_is_looked_for(bool wasStored)
    {
        using var store = new VanishingStore { ComesBack = true, WasStored = wasStored };
        using WriteLane lane = Start(store);
        await lane.RunAsync(Change);
        Assert.Equal(wasStored ? 1 : 2, store.Commits); // not stored: decided and stored again
    }

    private readonly RegistryCore _core = new(new RegistryOptions(), DateTimeOffset.UnixEpoch);

    private object Change()
    {
        _core.Apply(new RequestsCounted(1));
        return "done";
    }

    private WriteLane Start(IEventStore store) =>
        new(store, _core, new Lock(), 0, new WriteLaneEvents(_ => { }, _ => { }, () => { }, _ => { }), TimeSpan.FromMilliseconds(300));

    /// <summary>Fails the first commit after taking it, and may be away from then on.</summary>
    private sealed class VanishingStore : IEventStore
    {
        public bool ComesBack { get; init; }

        public bool WasStored { get; init; }

        public int Commits { get; private set; }

        public string Name => "vanishing";

        public bool IsShared => true;

        public void Open() => ThrowWhileAway();

        public long Load(Action<RegistryEvent> apply)
        {
            ThrowWhileAway();
            apply(new CountersStored(1, DateTimeOffset.UnixEpoch, 0));
            return 0;
        }

        public long Begin(long position, Action<RegistryEvent> apply)
        {
            ThrowWhileAway();
            return position;
        }

        public void Commit(Guid token, IReadOnlyList<RegistryEvent> events)
        {
            if (++Commits == 1)
            {
                throw new StoreException("connection lost");
            }
        }

        public void Abort()
        {
        }

        public bool Contains(Guid token)
        {
            ThrowWhileAway();
            return WasStored;
        }

        public long Follow(long position, Action<RegistryEvent> apply) => position;

        public void Probe() => ThrowWhileAway();

        public (long Batches, long EventBytes, long SnapshotBytes) Measure() => default;

        public void Compact(CancellationToken stop)
        {
        }

        public void Dispose()
        {
        }

        private void ThrowWhileAway()
        {
            if (Commits > 0 && !ComesBack)
            {
                throw new StoreException("away");
            }
        }
    }
}
