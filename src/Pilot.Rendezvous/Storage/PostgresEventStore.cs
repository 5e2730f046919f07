using System.Data;
using System.Data.Common;
using Npgsql;

namespace Pilot.Rendezvous.Storage;

/// <summary>The store in a PostgreSQL database that several rendezvous processes share.</summary>
internal sealed class PostgresEventStore : SqlEventStore
{
    private const string Channel = "pilot_registry";
    private const int CompactionLock = 0x50494C54; // advisory lock: one process compacts
    private const int CommandSeconds = 15;
    private const int ConnectSeconds = 5;

    private readonly string _connectionString;
    private readonly CancellationTokenSource _stop = new();
    private Task _listening = Task.CompletedTask;

    /// <param name="connection">Connection string of Npgsql, or a URL.</param>
    public PostgresEventStore(string connection)
    {
        try
        {
            var builder = connection.Contains("://", StringComparison.Ordinal) ? FromUrl(connection) : new NpgsqlConnectionStringBuilder(connection);
            if (string.IsNullOrEmpty(builder.Host))
            {
                throw new ArgumentException("the database's host is missing");
            }

            builder.Pooling = false; // each connection here is held for long
            builder.CommandTimeout = CommandSeconds;
            builder.Timeout = ConnectSeconds;
            builder.ApplicationName ??= "rendezvous";
            builder.KeepAlive = ConnectSeconds;
            _connectionString = builder.ToString();
            Name = $"PostgreSQL {builder.Database ?? builder.Username} at {builder.Host}:{builder.Port}";
        }
        catch (Exception e) when (e is ArgumentException or FormatException or KeyNotFoundException or InvalidCastException)
        {
            throw new StoreException($"-store: {e.Message}", e);
        }
    }

    public override string Name { get; }

    public override bool IsShared => true;

    protected override string RestoreHint => "Restore the database with its own tools, or empty its registry_ tables and run 'rendezvous restore BACKUP' with the same -store.";

    protected override string Blob => "BYTEA";

    /// <summary>A new open connection, for what processes tell each other besides events.</summary>
    /// <exception cref="StoreException">Not to be had now.</exception>
    public NpgsqlConnection ConnectMore()
    {
        DbConnection? connection = null;
        Guard(() => connection = Connect());
        return (NpgsqlConnection)connection!;
    }

    /// <summary>Calls back whenever another process has written. Reconnects by itself.</summary>
    public void Listen(Action written) => _listening = Task.Run(() => ListenAsync(written));

    protected override DbConnection Connect()
    {
        var connection = new NpgsqlConnection(_connectionString);
        try
        {
            connection.Open();
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
        // The database checks its pages; we check our checksums when reading.
    }

    protected override void CreateMore(DbConnection connection, DbTransaction transaction)
    {
        Execute(connection, transaction, "CREATE TABLE IF NOT EXISTS registry_head(id INT PRIMARY KEY, position BIGINT NOT NULL)");
        Execute(connection, transaction, "INSERT INTO registry_head(id, position) VALUES (1, 0) ON CONFLICT DO NOTHING");
        Execute(connection, transaction, "CREATE INDEX IF NOT EXISTS registry_events_token ON registry_events(token)");
        SharedPresence.CreateTables(connection, transaction);
    }

    protected override DbTransaction BeginRead(DbConnection connection) => connection.BeginTransaction(IsolationLevel.RepeatableRead);

    // Whoever has this lock is the only writer until it commits.
    protected override DbTransaction BeginWrite(DbConnection connection)
    {
        DbTransaction transaction = connection.BeginTransaction(IsolationLevel.ReadCommitted);
        try
        {
            Execute(connection, transaction, FormattableString.Invariant($"SELECT pg_advisory_xact_lock({CompactionLock + 1})"));
            return transaction;
        }
        catch
        {
            transaction.Dispose();
            throw;
        }
    }

    protected override void Announce(DbConnection connection, DbTransaction transaction, long position)
    {
        using DbCommand command = Command(
            connection, transaction, FormattableString.Invariant($"UPDATE registry_head SET position = {position} WHERE id = 1 AND position < {position}; NOTIFY {Channel}, '{position}'"));
        if (command.ExecuteNonQuery() != 1)
        {
            throw new StoreException("another process wrote at the same position");
        }
    }

    protected override bool TryLockCompaction(DbConnection connection)
    {
        using DbCommand command = Command(connection, null, FormattableString.Invariant($"SELECT pg_try_advisory_lock({CompactionLock})"));
        return command.ExecuteScalar() is true;
    }

    protected override Exception Translate(DbException e) =>
        new StoreException(e is PostgresException p ? $"the database refuses: {p.MessageText} ({p.SqlState})" : $"the database is not available: {e.Message}", e);

    protected override void DisposeMore()
    {
        _stop.Cancel();
        try
        {
            _listening.Wait();
        }
        catch (AggregateException e) when (e.InnerException is OperationCanceledException)
        {
            System.Diagnostics.Debug.WriteLine("listener stopped");
        }

        _stop.Dispose();
    }

    private async Task ListenAsync(Action written)
    {
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                await using var connection = new NpgsqlConnection(_connectionString);
                connection.Notification += (_, _) => written();
                await connection.OpenAsync(_stop.Token).ConfigureAwait(false);
                await using (var listen = new NpgsqlCommand($"LISTEN {Channel}", connection))
                {
                    await listen.ExecuteNonQueryAsync(_stop.Token).ConfigureAwait(false);
                }

                written();
                while (true)
                {
                    await connection.WaitAsync(_stop.Token).ConfigureAwait(false);
                }
            }
            catch (OperationCanceledException) when (_stop.IsCancellationRequested)
            {
                return;
            }
            catch (Exception e) when (e is DbException or IOException or InvalidOperationException or TimeoutException or System.Net.Sockets.SocketException)
            {
                // The writer looks once a second anyway, and reports that the database is away.
                await Task.Delay(TimeSpan.FromSeconds(1), _stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    private static NpgsqlConnectionStringBuilder FromUrl(string url)
    {
        var uri = new Uri(url);
        string[] user = uri.UserInfo.Split(':', 2);
        var builder = new NpgsqlConnectionStringBuilder
        {
            Host = uri.Host,
            Port = uri.Port > 0 ? uri.Port : NpgsqlConnection.DefaultPort,
            Database = uri.AbsolutePath.Trim('/'),
            Username = Uri.UnescapeDataString(user[0]),
        };
        if (user.Length > 1)
        {
            builder.Password = Uri.UnescapeDataString(user[1]);
        }

        foreach (string option in uri.Query.TrimStart('?').Split('&', StringSplitOptions.RemoveEmptyEntries))
        {
            string[] pair = option.Split('=', 2);
            if (pair.Length == 2)
            {
                builder[Uri.UnescapeDataString(pair[0])] = Uri.UnescapeDataString(pair[1]);
            }
        }

        return builder;
    }
}
