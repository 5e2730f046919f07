using System.Data;
using System.Data.Common;
using Microsoft.Data.Sqlite;

namespace Pilot.Rendezvous.Storage;

/// <summary>The store in one SQLite file, in WAL mode, for one process. Readable by its owner only.</summary>
internal sealed class SqliteEventStore : SqlEventStore
{
    private const int BusySeconds = 30;
    private const int CodeCorrupt = 11; // SQLITE_CORRUPT
    private const int CodeNotDatabase = 26; // SQLITE_NOTADB
    private const int CodeFull = 13; // SQLITE_FULL
    private const int NoCheckpointOnClose = 1006; // SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE

    private readonly string _path;
    private readonly bool _forceEachCommit;
    private readonly bool _readOnly;
    private LockFile? _lock;
    private long _stored; // batches that this process stored or read

    static SqliteEventStore() => SQLitePCL.Batteries_V2.Init();

    /// <param name="path">The file; made when missing.</param>
    /// <param name="forceEachCommit">Every commit reaches the disk (fsync) before it counts; otherwise a power failure may cost the last moments, a crash of the process never does.</param>
    /// <param name="readOnly">For a look beside the process that owns the file.</param>
    public SqliteEventStore(string path, bool forceEachCommit = true, bool readOnly = false)
    {
        _path = Path.GetFullPath(path);
        _forceEachCommit = forceEachCommit;
        _readOnly = readOnly;
    }

    public override string Name => _path;

    public override bool IsShared => false;

    /// <summary>Cap of the file in pages, for tests of a full disk; 0 = none.</summary>
    public long MaxPages
    {
        get;
        set
        {
            field = value;
            if (IsOpen)
            {
                SetMaxPages(Connection);
            }
        }
    }

    protected override string RestoreHint =>
        $"Move it away (with {Path.GetFileName(_path)}-wal and -shm) and run 'rendezvous restore BACKUP' with the same -data or -store.";

    protected override string Blob => "BLOB";

    protected override bool IsReadOnly => _readOnly;

    public override void Open()
    {
        if (_readOnly)
        {
            if (!File.Exists(_path))
            {
                throw new StoreException($"{_path} does not exist");
            }
        }
        else if (_lock is null)
        {
            Prepare();
        }

        base.Open();
    }

    protected override DbConnection Connect()
    {
        var connection = new SqliteConnection(new SqliteConnectionStringBuilder
        {
            DataSource = _path,
            Mode = _readOnly ? SqliteOpenMode.ReadOnly : SqliteOpenMode.ReadWriteCreate,
            DefaultTimeout = BusySeconds,
            Pooling = false,
        }.ToString());
        try
        {
            connection.Open();
            if (!_readOnly)
            {
                KeepOnClose(connection, keep: true);
                Execute(connection, null, "PRAGMA journal_mode=WAL");
                Execute(connection, null, _forceEachCommit ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL");
                SetMaxPages(connection);
            }

            return connection;
        }
        catch
        {
            connection.Dispose();
            throw;
        }
    }

    protected override void CheckIntegrity(DbConnection connection)
    {
        using DbCommand command = Command(connection, null, "PRAGMA quick_check(1)");
        if (command.ExecuteScalar() is not "ok")
        {
            throw Damaged("SQLite's integrity check fails");
        }
    }

    // SQLite takes a damaged or missing WAL for one that ends early, and would go on without what stood behind.
    protected override void Accept(long position)
    {
        if (_lock is null)
        {
            return;
        }

        if (position < Math.Max(_lock.Position, _stored))
        {
            throw Damaged($"{Math.Max(_lock.Position, _stored)} batches were stored, and those behind {position} are gone; to go on without them, remove {Path.GetFileName(_path)}.lock");
        }

        Note(position);
        KeepOnClose((SqliteConnection)Connection, keep: false);
    }

    // Without a forced commit a power failure may cost the last moments, and that is no damage.
    protected override void Note(long position)
    {
        _stored = position;
        _lock?.Note(_forceEachCommit ? position : 0);
    }

    // A store that was not found whole is closed as it is: the last connection would otherwise move the WAL into the file.
    private static void KeepOnClose(SqliteConnection connection, bool keep) =>
        SQLitePCL.raw.sqlite3_db_config(connection.Handle, NoCheckpointOnClose, keep ? 1 : 0, out _);

    protected override void DisposeMore()
    {
        _lock?.Dispose();
        _lock = null;
    }

    // After a COMMIT that failed on a full disk SQLite has rolled back already; its transaction object then throws on every ROLLBACK, and the connection,
    // which wants to roll back before it closes, stays open with its files.
    protected override void Abandon(DbConnection connection) => ((SqliteConnection)connection).Handle?.Dispose();

    protected override DbTransaction BeginRead(DbConnection connection) => ((SqliteConnection)connection).BeginTransaction(deferred: true);

    protected override DbTransaction BeginWrite(DbConnection connection) =>
        _readOnly ? BeginRead(connection) : ((SqliteConnection)connection).BeginTransaction(IsolationLevel.Serializable, deferred: false);

    protected override void Announce(DbConnection connection, DbTransaction transaction, long position)
    {
        // Nobody else listens.
    }

    protected override Exception Translate(DbException e) => e is SqliteException sqlite
        ? sqlite.SqliteErrorCode switch
        {
            CodeCorrupt or CodeNotDatabase => Damaged(e.Message, e),
            CodeFull => new StoreException("the disk of the registry is full", e),
            _ => new StoreException($"the registry's file cannot be used: {e.Message}", e),
        }
        : new StoreException(e.Message, e);

    private void Prepare()
    {
        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(_path)!);
            var data = new FileStreamOptions { Mode = FileMode.OpenOrCreate, Access = FileAccess.ReadWrite, Share = FileShare.ReadWrite, BufferSize = 0 };
            if (!OperatingSystem.IsWindows())
            {
                data.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
            }

            // A lock of our own beside the file: SQLite would let a second server in, and a backup must be let in.
            _lock = new LockFile(_path + ".lock");
            if (!File.Exists(_path))
            {
                _lock.Forget();
            }
            else if (_lock.IsUsed && new FileInfo(_path).Length == 0)
            {
                // SQLite would take it for a new one.
                throw Damaged("the file is empty, and a server has kept its state in it");
            }

            new FileStream(_path, data).Dispose(); // for its mode; -wal and -shm take it over
        }
        catch (UnauthorizedAccessException e)
        {
            throw new StoreException(e.Message, e);
        }
        catch (IOException e)
        {
            throw new StoreException(File.Exists(_path + ".lock") && _lock is null ? $"{_path} belongs to another running rendezvous, or cannot be opened: {e.Message}" : e.Message, e);
        }
    }

    private void SetMaxPages(DbConnection connection)
    {
        // 0 changes nothing in SQLite, so that "no cap" is its largest number.
        Execute(connection, null, FormattableString.Invariant($"PRAGMA max_page_count={(MaxPages > 0 ? MaxPages : 1073741823)}"));
    }
}
