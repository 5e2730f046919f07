using System.Diagnostics.CodeAnalysis;

namespace Pilot.Engine.Trust;

internal enum RegistryOperationKind
{
    Request,
    Respond,
    Report,
    Revoke,
}

internal enum RegistryOperationState
{
    Ready,
    InFlight,
    Waiting,
    Cancelled,
}

internal sealed class RegistryOperation
{
    public required long Token { get; init; }

    public required RegistryOperationKind Kind { get; init; }

    public required uint NodeId { get; init; }

    public string Hostname { get; init; } = "";

    public string Justification { get; init; } = "";

    public bool Accept { get; init; }

    public RegistryOperationState State { get; set; }

    public Instant NextTry { get; set; }

    public TimeSpan Wait { get; set; } = TrustLimits.RegistryRetryFirst;

    public (RegistryOperationKind, uint, string) Key => (Kind, NodeId, Hostname);

    public bool SaysTheSame(RegistryOperation other) =>
        Key == other.Key && Accept == other.Accept && string.Equals(Justification, other.Justification, StringComparison.Ordinal);
}

/// <summary>
/// Registry operations until the registry answered them: one per kind and peer, a later decision replaces an earlier
/// one that contradicts it, and what could not be sent is tried again with growing waits.
/// </summary>
internal sealed class RegistryOutbox
{
    private readonly Dictionary<long, RegistryOperation> _byToken = [];
    private readonly Dictionary<(RegistryOperationKind, uint, string), RegistryOperation> _byKey = [];
    private readonly Queue<RegistryOperation> _ready = new();
    private Instant _nextWaiting = Instant.Never;

    public int Count => _byToken.Count;

    /// <summary>When <see cref="TryTake"/> may have something; may be early, never late.</summary>
    public Instant NextDeadline => _ready.Count > 0 ? Instant.Origin : _nextWaiting;

    /// <summary>Adds an operation to be sent at once; returns the token under which it runs.</summary>
    public long Add(RegistryOperation operation)
    {
        if (_byKey.TryGetValue(operation.Key, out RegistryOperation? present) && present.SaysTheSame(operation))
        {
            if (present.State == RegistryOperationState.Waiting)
            {
                MakeReady(present);
            }

            return present.Token;
        }

        Cancel(operation.Kind, operation.NodeId, operation.Hostname);
        switch (operation.Kind)
        {
            case RegistryOperationKind.Revoke:
                Cancel(RegistryOperationKind.Report, operation.NodeId);
                Cancel(RegistryOperationKind.Respond, operation.NodeId);
                Cancel(RegistryOperationKind.Request, operation.NodeId);
                break;
            case RegistryOperationKind.Report:
            case RegistryOperationKind.Request:
                Cancel(RegistryOperationKind.Revoke, operation.NodeId);
                break;
            default:
                break;
        }

        if (_byToken.Count >= TrustLimits.MaxRegistryOperations)
        {
            Remove(_byToken[_byToken.Keys.Min()]);
        }

        _byToken[operation.Token] = operation;
        _byKey[operation.Key] = operation;
        MakeReady(operation);
        return operation.Token;
    }

    /// <summary>Takes back an operation that is no longer wanted. One already in flight may still happen.</summary>
    public void Cancel(RegistryOperationKind kind, uint nodeId, string hostname = "")
    {
        if (_byKey.TryGetValue((kind, nodeId, hostname), out RegistryOperation? operation))
        {
            Remove(operation);
        }
    }

    /// <summary>One operation to be sent now.</summary>
    public bool TryTake(Instant now, [NotNullWhen(true)] out RegistryOperation? operation)
    {
        if (_nextWaiting <= now)
        {
            Instant next = Instant.Never;
            foreach (RegistryOperation waiting in _byToken.Values.Where(o => o.State == RegistryOperationState.Waiting))
            {
                if (waiting.NextTry <= now)
                {
                    MakeReady(waiting);
                }
                else if (waiting.NextTry < next)
                {
                    next = waiting.NextTry;
                }
            }

            _nextWaiting = next;
        }

        while (_ready.TryDequeue(out operation))
        {
            // Cancelled operations stay in the queue until they come up.
            if (operation.State == RegistryOperationState.Ready)
            {
                operation.State = RegistryOperationState.InFlight;
                return true;
            }
        }

        operation = null;
        return false;
    }

    /// <summary>The operation that is in flight under a token.</summary>
    public RegistryOperation? FindInFlight(long token) =>
        _byToken.TryGetValue(token, out RegistryOperation? operation) && operation.State == RegistryOperationState.InFlight ? operation : null;

    /// <summary>The registry has answered for good.</summary>
    public void Finish(RegistryOperation operation) => Remove(operation);

    /// <summary>The registry could not be asked, or not yet do it: once more later, with waits that grow to the last one.</summary>
    public void Retry(Instant now, RegistryOperation operation, TimeSpan lastWait)
    {
        operation.State = RegistryOperationState.Waiting;
        operation.NextTry = now + operation.Wait;
        TimeSpan doubled = operation.Wait * 2;
        operation.Wait = doubled < lastWait ? doubled : lastWait;
        if (operation.NextTry < _nextWaiting)
        {
            _nextWaiting = operation.NextTry;
        }
    }

    /// <summary>The registry can be asked again: everything that waits is due.</summary>
    public void Resume()
    {
        foreach (RegistryOperation operation in _byToken.Values)
        {
            if (operation.State == RegistryOperationState.Waiting)
            {
                operation.Wait = TrustLimits.RegistryRetryFirst;
                MakeReady(operation);
            }
        }

        _nextWaiting = Instant.Never;
    }

    private void MakeReady(RegistryOperation operation)
    {
        operation.State = RegistryOperationState.Ready;
        _ready.Enqueue(operation);
    }

    private void Remove(RegistryOperation operation)
    {
        operation.State = RegistryOperationState.Cancelled;
        _byToken.Remove(operation.Token);
        _byKey.Remove(operation.Key);
    }
}
