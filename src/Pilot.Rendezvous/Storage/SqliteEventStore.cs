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

    private readonly string _path;
    private readonly bool _forceEachCommit;
    private readonly bool _readOnly;
    private FileStream? _lock;

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
        MarkUsed();
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
            var options = new FileStreamOptions { Mode = FileMode.OpenOrCreate, Access = FileAccess.ReadWrite, Share = FileShare.None, BufferSize = 0 };
            var data = new FileStreamOptions { Mode = FileMode.OpenOrCreate, Access = FileAccess.ReadWrite, Share = FileShare.ReadWrite, BufferSize = 0 };
            if (!OperatingSystem.IsWindows())
            {
                options.UnixCreateMode = data.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
            }

            // A lock of our own beside the file: SQLite would let a second server in, and a backup must be let in.
            _lock = new FileStream(_path + ".lock", options);
            if (_lock.Length > 0 && File.Exists(_path) && new FileInfo(_path).Length == 0)
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

    // An empty file is a new store only where there was none before.
    private void MarkUsed()
    {
        if (_lock is not { Length: 0 })
        {
            return;
        }

        try
        {
            _lock.Write("Locked while a rendezvous server uses the store beside it. This text says that there is one.\n"u8);
        }
        catch (IOException e)
        {
            throw new StoreException(e.Message, e);
        }
    }

    private void SetMaxPages(DbConnection connection)
    {
        // 0 changes nothing in SQLite, so that "no cap" is its largest number.
        Execute(connection, null, FormattableString.Invariant($"PRAGMA max_page_count={(MaxPages > 0 ? MaxPages : 1073741823)}"));
    }
}
