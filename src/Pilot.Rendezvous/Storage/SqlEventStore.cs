using System.Data;
using System.Data.Common;
using Pilot.Rendezvous.Registry;

namespace Pilot.Rendezvous.Storage;

/// <summary>
/// Events and snapshots in three tables over ADO.NET. A batch is one row, a snapshot is rows of some hundred records each. What differs between databases
/// (types, locking, opening) stands in the subclasses.
/// </summary>
internal abstract partial class SqlEventStore : IEventStore
{
    /// <summary>Of the tables. A store of another one is refused.</summary>
    public const int FormatVersion = 1;

    private const int ProbeBytes = 64 * 1024;

    private DbConnection? _connection;
    private DbTransaction? _transaction;

    public abstract string Name { get; }

    public abstract bool IsShared { get; }

    /// <summary>How to get back, in the words of the operator's commands.</summary>
    protected abstract string RestoreHint { get; }

    protected abstract string Blob { get; }

    protected virtual bool IsReadOnly => false;

    protected DbConnection Connection => _connection ?? throw new StoreException($"{Name} is not open");

    /// <summary>A new open connection.</summary>
    protected abstract DbConnection Connect();

    /// <summary>Checks what only this kind of database can check.</summary>
    protected abstract void CheckIntegrity(DbConnection connection);

    /// <summary>A transaction of a reader: everything in it is of one moment.</summary>
    protected abstract DbTransaction BeginRead(DbConnection connection);

    /// <summary>A transaction of a writer; other writers wait, or have to.</summary>
    protected abstract DbTransaction BeginWrite(DbConnection connection);

    /// <summary>Runs inside the transaction of a commit, behind the insert.</summary>
    protected abstract void Announce(DbConnection connection, DbTransaction transaction, long position);

    /// <summary>Turns a failure of the database into one of ours.</summary>
    protected abstract Exception Translate(DbException e);

    /// <summary>The last connection failed or is closed.</summary>
    protected bool IsOpen => _connection is { State: ConnectionState.Open };

    public virtual void Open()
    {
        Close();
        Guard(() =>
        {
            _connection = Connect();
            CheckIntegrity(_connection);
            if (!IsReadOnly)
            {
                CreateTables(_connection);
            }
        });
    }

    public long Load(Action<RegistryEvent> apply)
    {
        long position = 0;
        Guard(() =>
        {
            position = Read(Connection, apply);
            Accept(position);
        });
        Position = position;
        return position;
    }

    public long Begin(long position, Action<RegistryEvent> apply)
    {
        Guard(() =>
        {
            _transaction = BeginWrite(Connection);
            if (IsShared)
            {
                position = ReadBehind(Connection, _transaction, position, apply);
            }
        });
        Position = position;
        return position;
    }

    public void Commit(Guid token, IReadOnlyList<RegistryEvent> events)
    {
        byte[] body = EventCodec.Encode(events);
        Guard(() =>
        {
            using (DbCommand insert = Command(
                Connection, _transaction, "INSERT INTO registry_events(position, token, body, checksum) VALUES (@position, @token, @body, @checksum)"))
            {
                Add(insert, "position", Position + 1);
                Add(insert, "token", token.ToString("N"));
                Add(insert, "body", body);
                Add(insert, "checksum", EventCodec.Checksum(body));
                insert.ExecuteNonQuery();
            }

            Announce(Connection, _transaction!, Position + 1);
            _transaction!.Commit();
            _transaction.Dispose();
            _transaction = null;
        });
        Position++;
        Note(Position);
    }

    public void Abort()
    {
        DbTransaction? transaction = _transaction;
        _transaction = null;
        if (transaction is not null)
        {
            Guard(() =>
            {
                transaction.Rollback();
                transaction.Dispose();
            });
        }
    }

    public bool Contains(Guid token)
    {
        bool found = false;
        Guard(() =>
        {
            using DbCommand command = Command(Connection, null, "SELECT count(*) FROM registry_events WHERE token = @token");
            Add(command, "token", token.ToString("N"));
            found = ToLong(command.ExecuteScalar()) > 0;
        });
        return found;
    }

    public long Follow(long position, Action<RegistryEvent> apply)
    {
        Guard(() => position = ReadBehind(Connection, null, position, apply));
        Position = position;
        return position;
    }

    public void Probe()
    {
        Guard(() =>
        {
            byte[] filling = new byte[ProbeBytes];
            Random.Shared.NextBytes(filling);
            Write(Connection, transaction =>
            {
                // One may be there: of a process that was killed at this moment, or of another one that looks, too.
                Execute(Connection, transaction, "DELETE FROM registry_snapshot WHERE position = -1");
                using DbCommand write = Command(Connection, transaction, "INSERT INTO registry_snapshot(position, part, body, checksum) VALUES (-1, 0, @body, 0)");
                Add(write, "body", filling);
                write.ExecuteNonQuery();
            });
            Write(Connection, transaction => Execute(Connection, transaction, "DELETE FROM registry_snapshot WHERE position = -1"));
        });
    }

    public (long Batches, long EventBytes, long SnapshotBytes) Measure()
    {
        (long, long, long) result = default;
        Guard(() =>
        {
            using DbConnection connection = Connect();
            result = (
                Scalar(connection, null, "SELECT count(*) FROM registry_events WHERE position > (SELECT max(value) FROM registry_meta WHERE name = 'snapshot')"),
                Scalar(connection, null, "SELECT coalesce(sum(length(body)), 0) FROM registry_events WHERE position > (SELECT max(value) FROM registry_meta WHERE name = 'snapshot')"),
                Scalar(connection, null, "SELECT coalesce(sum(length(body)), 0) FROM registry_snapshot WHERE position >= 0"));
        });
        return result;
    }

    public void Dispose()
    {
        Close();
        GC.SuppressFinalize(this);
        DisposeMore();
    }

    protected virtual void DisposeMore()
    {
    }

    /// <summary>Everything up to the position is there and whole: it was read, or just written.</summary>
    /// <exception cref="StoreDamagedException">It ought to be more.</exception>
    protected virtual void Accept(long position)
    {
    }

    /// <summary>Everything up to the position is stored.</summary>
    protected virtual void Note(long position)
    {
    }

    /// <summary>Frees what a connection holds that cannot be closed in order.</summary>
    protected virtual void Abandon(DbConnection connection)
    {
    }

    protected virtual bool TryLockCompaction(DbConnection connection) => true;

    protected virtual void CreateMore(DbConnection connection, DbTransaction transaction)
    {
    }

    protected long Position { get; private set; }

    protected static DbCommand Command(DbConnection connection, DbTransaction? transaction, string text)
    {
        DbCommand command = connection.CreateCommand();
        command.CommandText = text;
        command.Transaction = transaction;
        return command;
    }

    protected static void Add(DbCommand command, string name, object value)
    {
        DbParameter parameter = command.CreateParameter();
        parameter.ParameterName = name;
        parameter.Value = value;
        command.Parameters.Add(parameter);
    }

    protected static void Execute(DbConnection connection, DbTransaction? transaction, string text)
    {
        using DbCommand command = Command(connection, transaction, text);
        command.ExecuteNonQuery();
    }

    protected static long Scalar(DbConnection connection, DbTransaction? transaction, string text)
    {
        using DbCommand command = Command(connection, transaction, text);
        return ToLong(command.ExecuteScalar());
    }

    /// <summary>Runs a piece of work; failures of the database become <see cref="StoreException"/> or <see cref="StoreDamagedException"/>.</summary>
    protected void Guard(Action work)
    {
        try
        {
            work();
        }
        catch (DbException e)
        {
            throw Translate(e);
        }
        catch (Exception e) when (e is TimeoutException or IOException or System.Net.Sockets.SocketException or InvalidOperationException)
        {
            // Npgsql reports a connection that broke in a transaction as an operation that is not valid any more.
            throw new StoreException($"{Name} is not available: {e.Message}", e);
        }
        catch (StoreDamagedException e) when (!e.Message.Contains(RestoreHint, StringComparison.Ordinal))
        {
            throw Damaged(e.Message, e);
        }
    }

    protected StoreDamagedException Damaged(string what, Exception? inner = null) => new($"{Name} is damaged ({what}). Nothing was changed. {RestoreHint}", inner);

    private static long ToLong(object? value) => value is null or DBNull ? 0 : Convert.ToInt64(value, System.Globalization.CultureInfo.InvariantCulture);

    private void Close()
    {
        Discard(_transaction);
        Discard(_connection);
        _transaction = null;
        _connection = null;
    }

    // What failed is thrown away; what it held is rolled back by the database, or was already.
    private static bool TryDispose(IDisposable? failed)
    {
        try
        {
            failed?.Dispose();
            return true;
        }
        catch (Exception e) when (e is DbException or IOException or InvalidOperationException)
        {
            System.Diagnostics.Debug.WriteLine(e.Message);
            return false;
        }
    }

    private static void Discard(DbTransaction? transaction) => TryDispose(transaction);

    private void Discard(DbConnection? connection)
    {
        if (!TryDispose(connection))
        {
            Abandon(connection!);
        }
    }

    // A failure of the work is what counts, and not that of the rollback behind it.
    private void Write(DbConnection connection, Action<DbTransaction> work)
    {
        DbTransaction transaction = BeginWrite(connection);
        try
        {
            work(transaction);
            transaction.Commit();
        }
        finally
        {
            Discard(transaction);
        }
    }

    private void CreateTables(DbConnection connection)
    {
        long version = 0;
        Write(connection, transaction => version = CreateTables(connection, transaction));
        if (version > FormatVersion)
        {
            throw new StoreException($"{Name} was written by a newer release (format {version}, this one knows {FormatVersion})");
        }
    }

    // Returns the format version that the store has; 0 when it is new.
    private long CreateTables(DbConnection connection, DbTransaction transaction)
    {
        Execute(connection, transaction, "CREATE TABLE IF NOT EXISTS registry_meta(name VARCHAR(32) PRIMARY KEY, value BIGINT NOT NULL)");
        Execute(connection, transaction, $"CREATE TABLE IF NOT EXISTS registry_events(position BIGINT PRIMARY KEY, token VARCHAR(32) NOT NULL, body {Blob} NOT NULL, checksum BIGINT NOT NULL)");
        Execute(connection, transaction, $"CREATE TABLE IF NOT EXISTS registry_snapshot(position BIGINT, part INT, body {Blob} NOT NULL, checksum BIGINT NOT NULL, PRIMARY KEY(position, part))");
        CreateMore(connection, transaction);
        long version = Scalar(connection, transaction, "SELECT value FROM registry_meta WHERE name = 'version'");
        if (version == 0)
        {
            byte[] body = EventCodec.Encode([new CountersStored(1, DateTimeOffset.UtcNow, 0)]);
            Execute(connection, transaction, FormattableString.Invariant($"INSERT INTO registry_meta(name, value) VALUES ('version', {FormatVersion}), ('snapshot', 0), ('parts', 1)"));
            using DbCommand insert = Command(connection, transaction, "INSERT INTO registry_snapshot(position, part, body, checksum) VALUES (0, 0, @body, @checksum)");
            Add(insert, "body", body);
            Add(insert, "checksum", EventCodec.Checksum(body));
            insert.ExecuteNonQuery();
        }

        return version;
    }

    private long Read(DbConnection connection, Action<RegistryEvent> apply)
    {
        using DbTransaction transaction = BeginRead(connection);
        long position = Scalar(connection, transaction, "SELECT value FROM registry_meta WHERE name = 'snapshot'");
        long parts = Scalar(connection, transaction, "SELECT value FROM registry_meta WHERE name = 'parts'");
        int expected = 0;
        using (DbCommand command = Command(connection, transaction, "SELECT part, body, checksum FROM registry_snapshot WHERE position = @position ORDER BY part"))
        {
            Add(command, "position", position);
            using DbDataReader reader = command.ExecuteReader();
            while (reader.Read())
            {
                if (reader.GetInt64(0) != expected)
                {
                    throw new StoreDamagedException($"part {expected} of the snapshot is missing");
                }

                Apply(reader, 1, $"part {expected++} of the snapshot", apply);
            }
        }

        if (expected != parts)
        {
            throw new StoreDamagedException($"the snapshot has {expected} parts of {parts}");
        }

        try
        {
            position = ReadBehind(connection, transaction, position, apply);
        }
        catch (PositionLostException e)
        {
            throw new StoreDamagedException("batches behind the snapshot are missing", e);
        }

        transaction.Commit();
        return position;
    }

    private static long ReadBehind(DbConnection connection, DbTransaction? transaction, long position, Action<RegistryEvent> apply)
    {
        using DbCommand command = Command(connection, transaction, "SELECT position, body, checksum FROM registry_events WHERE position > @position ORDER BY position");
        Add(command, "position", position);
        using DbDataReader reader = command.ExecuteReader();
        while (reader.Read())
        {
            if (reader.GetInt64(0) != position + 1)
            {
                throw new PositionLostException();
            }

            Apply(reader, 1, $"batch {position + 1}", apply);
            position++;
        }

        return position;
    }

    private static void Apply(DbDataReader reader, int column, string where, Action<RegistryEvent> apply)
    {
        foreach (RegistryEvent happened in EventCodec.Decode(reader.GetFieldValue<byte[]>(column), reader.GetInt64(column + 1), where))
        {
            try
            {
                apply(happened);
            }
            catch (Exception e) when (e is InvalidOperationException or ArgumentException)
            {
                throw new StoreDamagedException($"{where}: {e.Message}", e);
            }
        }
    }
}
