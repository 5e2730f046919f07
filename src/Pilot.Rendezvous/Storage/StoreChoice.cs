namespace Pilot.Rendezvous.Storage;

/// <summary>Which store a <c>-store</c> value means.</summary>
internal static class StoreChoice
{
    /// <summary>The value for no store at all.</summary>
    public const string Memory = "memory";

    private const string DefaultFile = "registry.db";
    private const int HeaderBytes = 16;

    /// <summary>True for a PostgreSQL connection string: <c>Host=…</c> or a URL.</summary>
    public static bool IsPostgres(string store) =>
        store.Contains("host=", StringComparison.OrdinalIgnoreCase) || IsUrl(store);

    /// <summary>The store that the operator chose, not yet open; null for memory.</summary>
    /// <param name="store">Value of the flag; empty = SQLite under the data directory.</param>
    /// <param name="dataDirectory">Value of <c>-data</c>.</param>
    /// <param name="forceEachCommit">See <see cref="SqliteEventStore"/>.</param>
    /// <exception cref="StoreException">The value names a file of another kind.</exception>
    public static SqlEventStore? Create(string store, string dataDirectory, bool forceEachCommit)
    {
        if (store == Memory)
        {
            return null;
        }

        if (IsPostgres(store))
        {
            return new PostgresEventStore(store);
        }

        string path = store.Length > 0 ? store : Path.Combine(dataDirectory, DefaultFile);
        if (IsJson(path))
        {
            throw new StoreException($"{path} is a JSON file of another server. Name a new file with -store and run 'rendezvous import {path}' with it");
        }

        return new SqliteEventStore(path, forceEachCommit);
    }

    /// <summary>The store that the operator chose, open.</summary>
    /// <exception cref="StoreException">There is none, or it cannot be had.</exception>
    public static SqlEventStore Open(Startup.Settings settings, bool readOnly)
    {
        SqlEventStore? store = readOnly && !IsPostgres(settings.Store) && settings.Store != Memory
            ? new SqliteEventStore(settings.Store.Length > 0 ? settings.Store : Path.Combine(settings.DataDirectory, DefaultFile), readOnly: true)
            : Create(settings.Store, settings.DataDirectory, settings.StoreSync);
        if (store is null)
        {
            throw new StoreException("a server that keeps its state in memory has no store");
        }

        try
        {
            store.Open();
            return store;
        }
        catch
        {
            store.Dispose();
            throw;
        }
    }

    /// <summary>True when the file begins like JSON: a snapshot of the reference, or the journal of our first release.</summary>
    public static bool IsJson(string path)
    {
        try
        {
            if (!File.Exists(path))
            {
                return false;
            }

            using FileStream file = File.OpenRead(path);
            byte[] start = new byte[HeaderBytes];
            int length = file.ReadAtLeast(start, start.Length, throwOnEndOfStream: false);
            return start.AsSpan(0, length).TrimStart(" \t\r\n"u8).StartsWith("{"u8);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new StoreException(e.Message, e);
        }
    }

    private static bool IsUrl(string store) =>
        store.StartsWith("postgres://", StringComparison.OrdinalIgnoreCase) || store.StartsWith("postgresql://", StringComparison.OrdinalIgnoreCase);
}
