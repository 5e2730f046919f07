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

    [Fact]
    public async Task A_request_that_cannot_be_decided_costs_the_others_nothing()
    {
        using var store = new VanishingStore { Commits = 1, ComesBack = true }; // the first commit of a store fails
        Exception? told = null;
        using WriteLane lane = Start(store, faulted: e => told = e);
        Task<object> before = lane.RunAsync(Change);
        Task<object> bad = lane.RunAsync(() =>
        {
            Change();
            throw new ArgumentException("a fault of ours");
        });
        Task<object> behind = lane.RunAsync(Change);
        Assert.Equal("done", await before);
        await Assert.ThrowsAsync<ArgumentException>(() => bad);
        Assert.Equal("done", await behind);
        Assert.IsType<ArgumentException>(told);
        Assert.Equal(0, store.Begun - store.Ended); // no transaction is left open
        Assert.Null(lane.Failure);
    }

    [Fact]
    public async Task Damage_found_while_a_failed_write_is_looked_into_ends_all_writing()
    {
        using var store = new VanishingStore { ComesBack = true, IsDamaged = true };
        string? broken = null;
        using WriteLane lane = Start(store, broken: reason => broken = reason);
        await Assert.ThrowsAsync<StoreException>(() => lane.RunAsync(Change));
        Assert.Equal("a page is gone", broken);
        Assert.True(lane.IsBroken);
        await Assert.ThrowsAsync<StoreException>(() => lane.RunAsync(Change));
        Assert.Equal(1, store.Commits);
    }

    private readonly RegistryCore _core = new(new RegistryOptions(), DateTimeOffset.UnixEpoch);

    private object Change()
    {
        _core.Apply(new RequestsCounted(1));
        return "done";
    }

    private WriteLane Start(IEventStore store, Action<Exception>? faulted = null, Action<string>? broken = null) =>
        new(store, _core, new Lock(), 0, new WriteLaneEvents(_ => { }, _ => { }, () => { }, broken ?? (_ => { })) { Faulted = faulted }, TimeSpan.FromMilliseconds(300));

    /// <summary>Fails the first commit after taking it, and may be away from then on.</summary>
    private sealed class VanishingStore : IEventStore
    {
        public bool ComesBack { get; init; }

        public bool WasStored { get; init; }

        public bool IsDamaged { get; init; }

        public int Commits { get; set; }

        /// <summary>Transactions begun.</summary>
        public int Begun { get; private set; }

        /// <summary>Transactions ended.</summary>
        public int Ended { get; private set; }

        public string Name => "vanishing";

        public bool IsShared => true;

        public void Open()
        {
            ThrowWhileAway();
            if (IsDamaged)
            {
                throw new StoreDamagedException("a page is gone");
            }
        }

        public long Load(Action<RegistryEvent> apply)
        {
            ThrowWhileAway();
            apply(new CountersStored(1, DateTimeOffset.UnixEpoch, 0));
            return 0;
        }

        public long Begin(long position, Action<RegistryEvent> apply)
        {
            ThrowWhileAway();
            Begun++;
            return position;
        }

        public void Commit(Guid token, IReadOnlyList<RegistryEvent> events)
        {
            if (++Commits == 1)
            {
                throw new StoreException("connection lost");
            }

            Ended++;
        }

        public void Abort() => Ended++;

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
