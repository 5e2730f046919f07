namespace Pilot.Rendezvous.Tests.Server;

/// <summary>One PostgreSQL for the tests of a class, which have a database each.</summary>
public sealed class PostgresFixture : IAsyncLifetime
{
    private PostgresServer? _server;

    public async ValueTask InitializeAsync() => _server = PostgresServer.Missing is null ? await PostgresServer.StartAsync() : null;

    public ValueTask DisposeAsync() => _server?.DisposeAsync() ?? ValueTask.CompletedTask;

    /// <summary>The server with an empty database; the test is skipped where there can be none.</summary>
    internal async Task<PostgresServer> GetAsync()
    {
        Assert.SkipWhen(_server is null, PostgresServer.Missing ?? "");
        await _server.UseFreshDatabaseAsync();
        return _server;
    }
}
