using System.Data.Common;
using Pilot.Rendezvous.Registry;

namespace Pilot.Rendezvous.Storage;

// Snapshots: written beside the old one, valid when whole; then the batches that they cover are dropped.
internal abstract partial class SqlEventStore
{
    private const int RecordsPerPart = 500;
    private const int DeletedPerTransaction = 2000; // rows, so that a writer beside waits for milliseconds only
    private const long FilledPosition = 1;

    private readonly Lock _snapshotting = new(); // a second snapshot would take the first one's parts for leftovers
    private bool _replaceFailed;

    public void Compact(CancellationToken stop)
    {
        using Lock.Scope one = _snapshotting.EnterScope();
        Guard(() =>
        {
            DbConnection connection = Connect();
            try
            {
                if (!TryLockCompaction(connection))
                {
                    return;
                }

                // A copy of the state is built from the store itself: the running registry is not touched, and what is stored is read back before it is dropped.
                var state = new RegistryState(DateTimeOffset.UnixEpoch);
                long position = Read(connection, state.Apply);
                WriteSnapshot(connection, position, StoredState.Of(state), stop);
                DropCovered(connection, position, stop);
            }
            finally
            {
                Discard(connection);
            }
        });
    }

    /// <summary>Puts a whole state into an empty store.</summary>
    public void Fill(IEnumerable<RegistryEvent> records)
    {
        using Lock.Scope one = _snapshotting.EnterScope();
        Guard(() =>
        {
            WriteSnapshot(Connection, FilledPosition, records, default);
            if (IsShared)
            {
                Write(Connection, transaction => Announce(Connection, transaction, FilledPosition));
            }
        });
        Accept(FilledPosition);
    }

    /// <summary>Puts another state in place of all there is, at the next position, which it returns. For a store with no other writer. May be tried again.</summary>
    public long Replace(long position, IEnumerable<RegistryEvent> records)
    {
        using Lock.Scope one = _snapshotting.EnterScope();
        if (_replaceFailed)
        {
            // The connection may be useless since then, and the other state may be there already.
            Open();
            position = Load(static _ => { });
        }

        _replaceFailed = true;
        Guard(() =>
        {
            WriteSnapshot(Connection, position + 1, records, default);
            DropCovered(Connection, position + 1, default);
        });
        Accept(position + 1);
        _replaceFailed = false;
        return position + 1;
    }

    // Replaces the snapshot; the old one stays valid until the new one is whole.
    private void WriteSnapshot(DbConnection connection, long position, IEnumerable<RegistryEvent> records, CancellationToken stop)
    {
        long current = Scalar(connection, null, "SELECT max(value) FROM registry_meta WHERE name = 'snapshot'");
        if (current == position && position > 0)
        {
            return;
        }

        Write(connection, clean => Execute(connection, clean, FormattableString.Invariant($"DELETE FROM registry_snapshot WHERE position <> {current}")));

        int part = 0;
        foreach (RegistryEvent[] records500 in records.Chunk(RecordsPerPart))
        {
            stop.ThrowIfCancellationRequested();
            byte[] body = EventCodec.Encode(records500);
            Write(connection, transaction =>
            {
                using DbCommand insert = Command(
                    connection, transaction, "INSERT INTO registry_snapshot(position, part, body, checksum) VALUES (@position, @part, @body, @checksum)");
                Add(insert, "position", position);
                Add(insert, "part", part++);
                Add(insert, "body", body);
                Add(insert, "checksum", EventCodec.Checksum(body));
                insert.ExecuteNonQuery();
            });
        }

        Write(connection, final =>
        {
            if (Scalar(connection, final, FormattableString.Invariant($"SELECT count(*) FROM registry_snapshot WHERE position = {position}")) != part)
            {
                throw new StoreException("another snapshot was written at the same time");
            }

            Execute(connection, final, FormattableString.Invariant($"UPDATE registry_meta SET value = {position} WHERE name = 'snapshot'"));
            Execute(connection, final, FormattableString.Invariant($"UPDATE registry_meta SET value = {part} WHERE name = 'parts'"));
            Execute(connection, final, FormattableString.Invariant($"DELETE FROM registry_snapshot WHERE position <> {position}"));
        });
    }

    private void DropCovered(DbConnection connection, long position, CancellationToken stop)
    {
        // Another process may still be some batches behind; it finds out and loads again, but that is dear.
        long last = IsShared ? position - DeletedPerTransaction : position;
        long first = Scalar(connection, null, "SELECT coalesce(min(position), 0) FROM registry_events");
        while (first > 0 && first <= last)
        {
            stop.ThrowIfCancellationRequested();
            first = Math.Min(first + DeletedPerTransaction, last + 1);
            Write(connection, transaction => Execute(connection, transaction, FormattableString.Invariant($"DELETE FROM registry_events WHERE position < {first}")));
        }
    }
}
