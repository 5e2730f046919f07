using Pilot.Engine;

namespace Pilot.Daemon.Host;

/// <summary>Datagrams to peers, and the registry's word about where they are.</summary>
internal sealed partial class NodeHost
{
    private readonly Dictionary<uint, TaskCompletionSource<ResolveAnswer>> _resolving = [];

    /// <summary>
    /// Sends a datagram. The task ends when it is on its way, or waits for a key; that it arrives nobody promises. It fails with
    /// <see cref="CommandException"/> when it cannot be sent, or when the registry answers that this node does not get there.
    /// </summary>
    public Task SendDatagram(uint nodeId, ushort sourcePort, ushort port, ReadOnlyMemory<byte> payload)
    {
        if (!Node.SendDatagram(Now, nodeId, sourcePort, port, payload.Span, out var error))
        {
            throw SendFailure(error ?? "cannot be sent");
        }

        return Node.IsResolving(nodeId) ? AfterResolveAsync(nodeId) : Task.CompletedTask;
    }

    /// <summary>The registry's answer to <see cref="ResolveAsked"/>.</summary>
    public void CompleteResolve(uint nodeId, ResolveAnswer answer)
    {
        Node.CompleteResolve(Now, nodeId, answer);
        if (_resolving.Remove(nodeId, out var waiting))
        {
            waiting.SetResult(answer);
        }
    }

    private async Task AfterResolveAsync(uint nodeId)
    {
        if (!_resolving.TryGetValue(nodeId, out var waiting))
        {
            _resolving.Add(nodeId, waiting = new TaskCompletionSource<ResolveAnswer>(TaskCreationOptions.RunContinuationsAsynchronously));
        }

        // A registry that cannot be asked refuses nothing: a relay or the peer's own frames may still bring the two together.
        var answer = await waiting.Task.ConfigureAwait(false);
        if (answer.Outcome == ResolveOutcome.Refused)
        {
            throw SendFailure($"resolve node {nodeId}: registry: {answer.Error ?? "request failed"}");
        }
    }
}
