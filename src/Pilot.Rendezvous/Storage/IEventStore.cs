using Pilot.Rendezvous.Registry;

namespace Pilot.Rendezvous.Storage;

/// <summary>
/// The registry's history as batches of events behind a snapshot. A position counts the batches from the beginning. One caller at a time, except for
/// <see cref="Compact"/>, which has a connection of its own.
/// </summary>
internal interface IEventStore : IDisposable
{
    /// <summary>What an operator calls it, without secrets.</summary>
    string Name { get; }

    /// <summary>True when other processes append, too.</summary>
    bool IsShared { get; }

    /// <summary>Connects, or connects again after a failure. Makes an empty store where there is none.</summary>
    /// <exception cref="StoreException">Not to be had now.</exception>
    /// <exception cref="StoreDamagedException">There, but not usable.</exception>
    void Open();

    /// <summary>Hands out snapshot and events and returns the position behind them. Opens the store for writing where it can.</summary>
    /// <exception cref="StoreException">It cannot be read now.</exception>
    /// <exception cref="StoreDamagedException">A checksum or the order is wrong.</exception>
    long Load(Action<RegistryEvent> apply);

    /// <summary>Begins a write and keeps other writers out. Hands out what they appended behind a position, and returns the new one.</summary>
    /// <exception cref="StoreException">Not to be had now.</exception>
    /// <exception cref="PositionLostException">What stood behind the position was compacted away: load again.</exception>
    long Begin(long position, Action<RegistryEvent> apply);

    /// <summary>Appends one batch and ends the write. On return it is durable.</summary>
    /// <param name="token">Names the batch, so that it can be looked for when the answer was lost.</param>
    /// <param name="events">At least one.</param>
    /// <exception cref="StoreException">Not written, or the answer was lost.</exception>
    void Commit(Guid token, IReadOnlyList<RegistryEvent> events);

    /// <summary>Ends a write without a change.</summary>
    void Abort();

    /// <summary>True when the batch is stored.</summary>
    /// <exception cref="StoreException">It cannot be told now.</exception>
    bool Contains(Guid token);

    /// <summary>Hands out what others appended behind a position, without keeping anybody out. Returns the new position.</summary>
    long Follow(long position, Action<RegistryEvent> apply);

    /// <summary>Writes and takes back a little, to see whether there is room.</summary>
    /// <exception cref="StoreException">There is not.</exception>
    void Probe();

    /// <summary>Batches behind the snapshot and its size, for the decision to compact.</summary>
    (long Batches, long EventBytes, long SnapshotBytes) Measure();

    /// <summary>Writes a snapshot of the present position and drops what it covers. Runs beside the writer.</summary>
    void Compact(CancellationToken stop);
}

/// <summary>The events behind the caller's position are gone: the state must be loaded again.</summary>
internal sealed class PositionLostException() : Exception("the store was compacted past our position");
