using System.Runtime.CompilerServices;
using Pilot.Ipc;

namespace Pilot.Client;

/// <summary>
/// A bound port. The binding lives as long as this object (and its connection to the daemon); streams that were accepted live on
/// their own. Several calls of <see cref="AcceptAsync(CancellationToken)"/> may wait at once.
/// </summary>
public sealed class PilotListener : IAsyncDisposable
{
    private readonly PilotClient _client;
    private readonly IpcConnection _binding;

    internal PilotListener(PilotClient client, IpcConnection binding, ListenData data)
    {
        _client = client;
        _binding = binding;
        Port = data.Port;
        Backlog = data.Backlog;
    }

    /// <summary>The bound port.</summary>
    public ushort Port { get; }

    /// <summary>Streams that may wait to be accepted.</summary>
    public int Backlog { get; }

    /// <summary>Waits for the next incoming stream.</summary>
    /// <exception cref="PilotException"><c>cancelled</c> when the binding ended.</exception>
    public Task<PilotStream> AcceptAsync(CancellationToken cancellationToken = default) =>
        _client.HandOverAsync(new IpcRequest { Cmd = IpcCommand.Accept, Port = Port }, progress: null, cancellationToken);

    /// <summary>Waits for the next incoming stream, at most <paramref name="timeout"/>; the daemon keeps the limit, so no stream is lost to it.</summary>
    /// <exception cref="PilotException"><c>timeout</c> when none came.</exception>
    public Task<PilotStream> AcceptAsync(TimeSpan timeout, CancellationToken cancellationToken = default) =>
        _client.HandOverAsync(
            new IpcRequest { Cmd = IpcCommand.Accept, Port = Port, TimeoutMs = PilotClient.Milliseconds(timeout) }, progress: null, cancellationToken);

    /// <summary>Waits for the next incoming stream on the calling thread, as <see cref="PilotClient.Dial"/> does.</summary>
    /// <exception cref="PilotException"><c>cancelled</c> when the binding ended.</exception>
    public PilotStream Accept() => _client.HandOver(new IpcRequest { Cmd = IpcCommand.Accept, Port = Port });

    /// <summary>Incoming streams, one after the other, until cancelled.</summary>
    public async IAsyncEnumerable<PilotStream> AcceptAllAsync([EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        while (true)
        {
            yield return await AcceptAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Releases the port.</summary>
    public ValueTask DisposeAsync()
    {
        _binding.Dispose();
        return ValueTask.CompletedTask;
    }
}
