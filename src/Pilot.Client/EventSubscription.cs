using System.Text.Json;
using Pilot.Ipc;

namespace Pilot.Client;

/// <summary>Events of the daemon until disposed. When the daemon goes away no more come.</summary>
public sealed class EventSubscription : IAsyncDisposable
{
    private const long MarkId = 1;

    private readonly IpcConnection _connection;
    private readonly Action<JsonElement> _occurred;
    private readonly CancellationTokenSource _stop = new();
    private readonly TaskCompletionSource _marked = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Task _reading;

    internal EventSubscription(IpcConnection connection, Action<JsonElement> occurred)
    {
        _connection = connection;
        _occurred = occurred;
        _reading = ReadAsync();
    }

    /// <summary>Waits until every event has been delivered that the daemon sent before it saw this call. To be called once.</summary>
    public async Task CatchUpAsync(CancellationToken cancellationToken = default)
    {
        try
        {
            using JsonDocument mark = JsonDocument.Parse("1");
            await _connection.WriteAsync(new IpcRequest { Cmd = IpcCommand.Hello, Id = mark.RootElement.Clone() }, cancellationToken).ConfigureAwait(false);
            await Task.WhenAny(_marked.Task, _reading).WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (PilotException e) when (e.Code == PilotErrorCode.ConnectionLost)
        {
            // Then there is nothing to wait for.
        }
    }

    /// <summary>Ends the subscription.</summary>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        await _reading.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _connection.Dispose();
        _stop.Dispose();
    }

    private async Task ReadAsync()
    {
        while (true)
        {
            (IpcReply reply, JsonElement? occurred) = await _connection.ReadWithEventAsync(_stop.Token).ConfigureAwait(false);
            if (occurred is { } known)
            {
                _occurred(known);
            }
            else if (reply.HasId(MarkId))
            {
                _marked.TrySetResult();
            }
        }
    }
}
