using System.Text.Json;
using Pilot.Ipc;

namespace Pilot.Client;

/// <summary>
/// The connection over which requests without hand-over travel: any number at once, told apart by id. Opened at the first
/// request, opened again at the next one after it was lost.
/// </summary>
internal sealed class ControlChannel(string socketPath) : IAsyncDisposable
{
    private readonly SemaphoreSlim _writing = new(1, 1);
    private readonly Lock _gate = new();
    private readonly Dictionary<long, TaskCompletionSource<IpcReply>> _waiting = [];
    private IpcConnection? _connection;
    private Task _reading = Task.CompletedTask;
    private long _lastId;
    private bool _disposed;

    public async Task<IpcReply> RequestAsync(IpcRequest request, CancellationToken cancellationToken)
    {
        TaskCompletionSource<IpcReply> answer = new(TaskCreationOptions.RunContinuationsAsynchronously);
        long id = 0;
        try
        {
            await _writing.WaitAsync(cancellationToken).ConfigureAwait(false);
            try
            {
                IpcConnection connection = await CurrentAsync(cancellationToken).ConfigureAwait(false);
                lock (_gate)
                {
                    id = ++_lastId;
                    _waiting.Add(id, answer);
                }

                // A line is written whole or the connection is useless, so the caller's token does not reach into the write.
                try
                {
                    await connection.WriteAsync(request with { Id = IdElement(id) }, CancellationToken.None).ConfigureAwait(false);
                }
                catch (PilotException)
                {
                    Forget(connection);
                    throw;
                }
            }
            finally
            {
                _writing.Release();
            }

            return await answer.Task.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            lock (_gate)
            {
                _waiting.Remove(id);
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        IpcConnection? connection;
        lock (_gate)
        {
            _disposed = true;
            connection = _connection;
            _connection = null;
        }

        connection?.Dispose();
        await _reading.ConfigureAwait(false);
        _writing.Dispose();
    }

    private async ValueTask<IpcConnection> CurrentAsync(CancellationToken cancellationToken)
    {
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_disposed, typeof(PilotClient));
            if (_connection is { } open)
            {
                return open;
            }
        }

        await _reading.ConfigureAwait(false);
        IpcConnection connection = await IpcConnection.OpenAsync(socketPath, cancellationToken).ConfigureAwait(false);
        lock (_gate)
        {
            if (_disposed)
            {
                connection.Dispose();
                throw new ObjectDisposedException(nameof(PilotClient));
            }

            _connection = connection;
        }

        _reading = ReadAllAsync(connection);
        return connection;
    }

    private async Task ReadAllAsync(IpcConnection connection)
    {
        Exception cause;
        try
        {
            while (true)
            {
                IpcReply reply = await connection.ReadAsync(CancellationToken.None).ConfigureAwait(false);
                if (reply.Event is not null || reply.Id is not { ValueKind: JsonValueKind.Number } element || !element.TryGetInt64(out long id))
                {
                    continue;
                }

                lock (_gate)
                {
                    // An unknown id is an answer whose caller has given up waiting.
                    if (_waiting.TryGetValue(id, out TaskCompletionSource<IpcReply>? answer))
                    {
                        answer.TrySetResult(reply);
                    }
                }
            }
        }
        catch (PilotException e)
        {
            cause = e;
        }

        Forget(connection);
        connection.Dispose();
        lock (_gate)
        {
            foreach (TaskCompletionSource<IpcReply> answer in _waiting.Values)
            {
                answer.TrySetException(cause);
            }
        }
    }

    private void Forget(IpcConnection connection)
    {
        lock (_gate)
        {
            if (ReferenceEquals(_connection, connection))
            {
                _connection = null;
            }
        }
    }

    internal static JsonElement IdElement(long id)
    {
        using JsonDocument document = JsonDocument.Parse(id.ToString(System.Globalization.CultureInfo.InvariantCulture));
        return document.RootElement.Clone();
    }
}
