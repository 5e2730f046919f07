using Pilot.Rendezvous.Registry;
using Pilot.Rendezvous.Server;
using Pilot.Rendezvous.Storage;

namespace Pilot.Rendezvous.Tests.Server;

/// <summary>What requests are told when a shared store goes away, before it stores them or while it does.</summary>
public sealed class WriteLaneTests
{
    private const int TriesWithinPatience = 6; // two per round, 1.5 s each: the third round ends behind the 8 s
    private static readonly TimeSpan TestPatience = TimeSpan.FromSeconds(30);

    private readonly RegistryCore _core = new(new RegistryOptions(), DateTimeOffset.UnixEpoch);
    private readonly List<int> _turns = []; // tries that had failed when a turn ended
    private readonly List<RegistryEvent> _stored = [];

    [Fact]
    public async Task A_commit_whose_fate_is_unknown_is_neither_done_nor_refused()
    {
        using var store = new VanishingStore { FailingCommits = 1, AwayAfterCommit = int.MaxValue };
        using WriteLane lane = Start(store);
        await Assert.ThrowsAsync<UnconfirmedException>(() => lane.RunAsync(Change));
        Assert.Empty(_stored);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_commit_whose_answer_was_lost_is_looked_for(bool wasStored)
    {
        using var store = new VanishingStore { FailingCommits = 1, AwayAfterCommit = 2, WasStored = wasStored };
        using WriteLane lane = Start(store);
        await lane.RunAsync(Change);
        Assert.Equal(wasStored ? 1 : 2, store.Commits); // not stored: decided and stored again
        Assert.Single(_stored); // audited once in either case
    }

    [Fact]
    public async Task Requests_wait_until_a_store_that_is_away_comes_back()
    {
        using var store = new VanishingStore { AwayTries = TriesWithinPatience - 2 };
        using WriteLane lane = Start(store);
        Assert.Equal("done", await lane.RunAsync(Change));
        Assert.Equal(1, store.Commits);
        Assert.Null(lane.Failure);
    }

    [Fact]
    public async Task Requests_wait_no_longer_than_clients_do()
    {
        using var store = new VanishingStore { AwayTries = int.MaxValue };
        using WriteLane lane = Start(store);
        Task<object>? late = null;
        store.Beginning = () => late ??= lane.RunAsync(Change); // comes while the first one begins to wait
        try
        {
            StoreException refused = await Assert.ThrowsAsync<StoreException>(() => lane.RunAsync(Change).WaitAsync(TestPatience));
            Assert.Equal("away", refused.Message);
            await Assert.ThrowsAsync<StoreException>(() => late!.WaitAsync(TestPatience));
        }
        finally
        {
            store.AwayTries = 0;
        }

        Assert.Equal("done", await lane.RunAsync(Change));
        Assert.Null(lane.Failure);

        // The first turn waited for both; the second one waited no more.
        int[] failed = [.. _turns.Where(t => t > 0).Take(2)];
        Assert.Equal([TriesWithinPatience, TriesWithinPatience + 2], failed);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task While_the_server_stops_nobody_waits(bool committing)
    {
        using var begun = new ManualResetEventSlim();
        using var stopping = new ManualResetEventSlim();
        using var store = new VanishingStore { AwayTries = committing ? 0 : int.MaxValue, FailingCommits = 1, AwayAfterCommit = int.MaxValue, TryTakes = TimeSpan.Zero };
        store.Beginning = () =>
        {
            begun.Set();
            stopping.Wait();
        };
        WriteLane lane = Start(store);
        Task<object> asked = lane.RunAsync(Change);
        begun.Wait(TestContext.Current.CancellationToken);
        Task stopped = Task.Run(lane.Dispose, TestContext.Current.CancellationToken);
        SpinWait.SpinUntil(() => lane.RunAsync(Change).IsFaulted);
        stopping.Set();
        try
        {
            Exception? told = await Record.ExceptionAsync(() => asked.WaitAsync(TestPatience));
            Assert.IsType(committing ? typeof(UnconfirmedException) : typeof(StoreException), told);
        }
        finally
        {
            store.AwayTries = 0;
            await stopped;
        }
    }

    [Fact]
    public async Task A_request_that_cannot_be_decided_costs_the_others_nothing()
    {
        using var store = new VanishingStore();
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
        using var store = new VanishingStore { FailingCommits = 1, IsDamaged = true };
        string? broken = null;
        using WriteLane lane = Start(store, broken: reason => broken = reason);
        await Assert.ThrowsAsync<StoreException>(() => lane.RunAsync(Change));
        Assert.Equal("a page is gone", broken);
        Assert.True(lane.IsBroken);
        await Assert.ThrowsAsync<StoreException>(() => lane.RunAsync(Change));
        Assert.Equal(1, store.Commits);
    }

    [Fact]
    public async Task Nodes_of_another_process_are_not_reaped_because_nothing_was_heard_of_them()
    {
        using var store = new VanishingStore { IsCompacted = true };
        using var lanes = new VerificationLanes();
        var clock = new SteadyClock();
        var options = new RegistryOptions();
        var machine = new RegistryMachine(options, clock.Now);
        var registry = new RegistryService(machine, clock, lanes);
        registry.Attach(store, 0, new WriteLaneEvents(_ => { }, _ => { }, () => { }, _ => { }));
        using WriteLane lane = registry.Lane!;
        await lane.RunAsync(() => TickAfter(options.ReapInterval));
        Assert.Equal(NodeStatus.Live, registry.Look(core => core.State.Nodes[1].Status)); // read from a snapshot that another process wrote
        await lane.RunAsync(() => TickAfter(options.StaleAfter + options.ReapInterval + options.ReapInterval));
        Assert.Equal(NodeStatus.Offline, registry.Look(core => core.State.Nodes[1].Status));

        object TickAfter(TimeSpan time)
        {
            machine.Tick(clock.Now + time);
            return WriteLane.Nothing;
        }
    }

    private object Change()
    {
        _core.Apply(new RequestsCounted(1));
        return "done";
    }

    private WriteLane Start(VanishingStore store, Action<Exception>? faulted = null, Action<string>? broken = null)
    {
        var events = new WriteLaneEvents(_stored.Add, _ => { }, () => { }, broken ?? (_ => { })) { Faulted = faulted, Idle = (_, _) => _turns.Add(store.Tries) };
        return new WriteLane(store, _core, new Lock(), 0, events, store.Time);
    }

    /// <summary>A shared store that may be away, and may fail a commit after taking it.</summary>
    private sealed class VanishingStore : IEventStore
    {
        private volatile int _awayTries;

        public TestTime Time { get; } = new();

        /// <summary>So many tries to reach it fail.</summary>
        public int AwayTries
        {
            get => _awayTries;
            set => _awayTries = value;
        }

        /// <summary>How long a try takes that fails.</summary>
        public TimeSpan TryTakes { get; init; } = TimeSpan.FromSeconds(1.5);

        /// <summary>So many commits fail.</summary>
        public int FailingCommits { get; init; }

        /// <summary>So many tries fail behind a commit that failed.</summary>
        public int AwayAfterCommit { get; init; }

        public bool WasStored { get; init; }

        /// <summary>Another process dropped what the first write has to read.</summary>
        public bool IsCompacted { get; init; }

        /// <summary>Shows when it is opened again.</summary>
        public bool IsDamaged { get; init; }

        /// <summary>Called when a write begins.</summary>
        public Action? Beginning { get; set; }

        /// <summary>Tries that failed.</summary>
        public int Tries { get; private set; }

        public int Commits { get; private set; }

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
            apply(new CountersStored(2, DateTimeOffset.UnixEpoch, 0));
            apply(new NodeStored(1, default, NodeStatus.Live));
            return 0;
        }

        public long Begin(long position, Action<RegistryEvent> apply)
        {
            Beginning?.Invoke();
            ThrowWhileAway();
            if (++Begun == 1 && IsCompacted)
            {
                throw new PositionLostException();
            }

            return position;
        }

        public void Commit(Guid token, IReadOnlyList<RegistryEvent> events)
        {
            if (++Commits <= FailingCommits)
            {
                AwayTries = AwayAfterCommit;
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
            if (AwayTries > 0)
            {
                AwayTries--;
                Tries++;
                Time.Pass(TryTakes);
                throw new StoreException("away");
            }
        }
    }
}
