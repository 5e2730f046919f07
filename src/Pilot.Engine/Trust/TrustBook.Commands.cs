using Pilot.Protocol;
using Pilot.Protocol.Trust;

namespace Pilot.Engine.Trust;

// What the user does. Every command is answered by one CommandFinished, some of them at once.
public sealed partial class TrustBook
{
    private readonly RegistryOutbox _registry = new();
    private readonly DirectOutbox _direct = new();
    private readonly Dictionary<long, Command> _commands = [];
    private readonly Dictionary<uint, Teardown> _teardowns = [];

    /// <summary>Asks a node for trust; approves at once when it has asked us. Returns the token of the answer.</summary>
    public long Request(TrustClock clock, uint nodeId, string justification)
    {
        if (CheckPeer(nodeId) is { } problem)
        {
            return Fail(nodeId, "", TrustError.InvalidArgument, problem);
        }

        if (CheckText(clock, justification) is { } textProblem)
        {
            return Fail(nodeId, "", TrustError.InvalidArgument, textProblem);
        }

        if (_trusted.ContainsKey(nodeId))
        {
            // The peer may have lost us: asking again costs nothing, a peer that trusts us just answers.
            SendDirect(clock, TrustMessageType.Request, nodeId, justification);
            AddRegistry(RegistryOperationKind.Request, nodeId, justification: justification);
            Emit(new TrustEffect.PollSoon());
            return Finish(new TrustCommandResult(TrustStatus.AlreadyTrusted, nodeId));
        }

        if (_pending.ContainsKey(nodeId))
        {
            return Approve(clock, nodeId);
        }

        if (!_marks.ContainsKey(nodeId) && _marks.Count + _nameMarks.Count >= TrustLimits.MaxMarks)
        {
            return Fail(nodeId, "", TrustError.TooMany, "handshake request: too many outgoing requests");
        }

        _marks[nodeId] = new OutgoingMark { NodeId = nodeId, Since = WholeSeconds(clock.Wall), Justification = justification };
        _former.Remove(nodeId);
        SaveNow();
        GatesChanged();
        Emit(new TrustEffect.PollSoon());
        return Track(
            clock,
            new TrustCommandResult(TrustStatus.Sent, nodeId),
            SendDirect(clock, TrustMessageType.Request, nodeId, justification),
            AddRegistry(RegistryOperationKind.Request, nodeId, justification: justification));
    }

    /// <summary>
    /// Asks the node of this hostname for trust, through the registry and without learning whether it exists (spec 03
    /// section 6.5). The caller has validated the hostname and tried to resolve it. Returns the token of the answer.
    /// </summary>
    public long RequestByHostname(TrustClock clock, string hostname, string justification)
    {
        uint known = FindByHostname(hostname);
        if (known != 0)
        {
            return Request(clock, known, justification);
        }

        if (CheckText(clock, justification) is { } textProblem)
        {
            return Fail(0, hostname, TrustError.InvalidArgument, textProblem);
        }

        if (!_nameMarks.ContainsKey(hostname) && _marks.Count + _nameMarks.Count >= TrustLimits.MaxMarks)
        {
            return Fail(0, hostname, TrustError.TooMany, "handshake request: too many outgoing requests");
        }

        _nameMarks[hostname] = new OutgoingMark { Hostname = hostname, Since = WholeSeconds(clock.Wall), Justification = justification };
        SaveNow();
        Emit(new TrustEffect.PollSoon());
        return Track(
            clock,
            new TrustCommandResult(TrustStatus.Sent, 0, hostname),
            direct: 0,
            AddRegistry(RegistryOperationKind.Request, 0, hostname, justification));
    }

    /// <summary>Approves a pending request. Returns the token of the answer.</summary>
    public long Approve(TrustClock clock, uint nodeId)
    {
        if (!_pending.TryGetValue(nodeId, out PendingRequest? request))
        {
            return _trusted.ContainsKey(nodeId)
                ? Finish(new TrustCommandResult(TrustStatus.AlreadyTrusted, nodeId))
                : Fail(nodeId, "", TrustError.NotFound, $"handshake approve: node {nodeId} has no pending request");
        }

        bool mutual = _marks.ContainsKey(nodeId);
        Raise(TrustEventNames.Approved, nodeId);
        Establish(clock, nodeId, request.PublicKey, mutual);
        Lookup(nodeId);
        (long direct, long registry) = SendAccept(clock, nodeId);
        Emit(new TrustEffect.PollSoon());
        return Track(clock, new TrustCommandResult(TrustStatus.Approved, nodeId), direct, registry);
    }

    /// <summary>Rejects a pending request. Told through the registry only: a direct message would not pass the asker's gate. Returns the token of the answer.</summary>
    public long Reject(TrustClock clock, uint nodeId, string reason)
    {
        if (!RemovePending(nodeId))
        {
            return Fail(nodeId, "", TrustError.NotFound, $"handshake reject: node {nodeId} has no pending request");
        }

        SaveNow();
        Raise(TrustEventNames.Rejected, nodeId, reason: TrustText.Cut(reason));
        long registry = AddRegistry(RegistryOperationKind.Respond, nodeId, accept: false);
        return Track(clock, new TrustCommandResult(TrustStatus.Rejected, nodeId), direct: 0, registry);
    }

    /// <summary>
    /// Revokes trust (spec 05 section 10.3): the gates close now, the peer is told over the standing tunnel within 2 s,
    /// then <see cref="TrustEffect.PeerRevoked"/> follows. Returns the token of the answer.
    /// </summary>
    public long Untrust(TrustClock clock, uint nodeId)
    {
        bool wasTrusted = _trusted.ContainsKey(nodeId);
        if (!wasTrusted && !(_former.TryGetValue(nodeId, out FormerPeer? former) && former.State != FormerPeerState.Revoked))
        {
            return Fail(nodeId, "", TrustError.NotTrusted, $"handshake revoke: node {nodeId} was not trusted");
        }

        long direct = 0;
        if (wasTrusted)
        {
            // Handed out before the gates close, which also refuse to dial a denied node.
            direct = SendDirect(clock, TrustMessageType.Revoke, nodeId, existingTunnelOnly: true);
            _teardowns[nodeId] = new Teardown(direct, clock.Now + TrustLimits.RevokeNoticeLimit);
            HandOutDirect();
        }

        EndTrust(clock, nodeId, FormerPeerState.Revoked);
        Raise(TrustEventNames.Revoked, nodeId);
        // A hint for a peer that is away: it clears the peer's outgoing mark.
        AddRegistry(RegistryOperationKind.Respond, nodeId, accept: false);
        return Track(clock, new TrustCommandResult(TrustStatus.Revoked, nodeId), direct, AddRegistry(RegistryOperationKind.Revoke, nodeId));
    }

    /// <summary>Takes back an own request. Returns the token of the answer.</summary>
    public long Withdraw(TrustClock clock, uint nodeId) =>
        _marks.TryGetValue(nodeId, out OutgoingMark? mark) ? Withdraw(mark) : Fail(nodeId, "", TrustError.NotFound, $"no request to node {nodeId}");

    /// <summary>Takes back an own request by hostname. Returns the token of the answer.</summary>
    public long Withdraw(TrustClock clock, string hostname) =>
        _nameMarks.TryGetValue(hostname, out OutgoingMark? mark) ? Withdraw(mark) : Fail(0, hostname, TrustError.NotFound, $"no request to \"{hostname}\"");

    /// <summary>The product pages' <c>trust remove</c> (spec 05 section 13.1): revokes, rejects or withdraws, whichever there is.</summary>
    public long Remove(TrustClock clock, uint nodeId) =>
        _trusted.ContainsKey(nodeId) ? Untrust(clock, nodeId)
        : _pending.ContainsKey(nodeId) ? Reject(clock, nodeId, "")
        : _marks.ContainsKey(nodeId) ? Withdraw(clock, nodeId)
        : Untrust(clock, nodeId);

    /// <summary>The host's answer to <see cref="TrustEffect.SendDirect"/>.</summary>
    /// <param name="clock">The time.</param>
    /// <param name="token">The effect's token.</param>
    /// <param name="isDelivered">Whether the peer acknowledged the whole message.</param>
    public void CompleteDirect(TrustClock clock, long token, bool isDelivered)
    {
        if (!_direct.Complete(token))
        {
            return;
        }

        foreach ((uint nodeId, Teardown teardown) in _teardowns.Where(pair => pair.Value.Token == token).ToArray())
        {
            FinishTeardown(nodeId, teardown);
        }

        foreach (Command command in _commands.Values.Where(command => command.Direct == token).ToArray())
        {
            if (isDelivered)
            {
                Answer(command, command.Result with { Delivery = TrustDelivery.Direct });
            }
            else
            {
                command.Direct = 0;
                if (command.Registry == 0)
                {
                    AnswerUndelivered(command);
                }
            }
        }
    }

    /// <summary>The registry's answer to an operation, or that it could not be asked; then the operation is tried again later.</summary>
    /// <param name="clock">The time.</param>
    /// <param name="token">The effect's token.</param>
    /// <param name="isAnswered">False when there was no answer: not connected, timeout, connection lost.</param>
    /// <param name="error">The registry's error text, or null when it agreed.</param>
    public void CompleteRegistry(TrustClock clock, long token, bool isAnswered, string? error)
    {
        if (_registry.FindInFlight(token) is not { } operation)
        {
            return;
        }

        if (!isAnswered)
        {
            _registry.Retry(clock.Now, operation, TrustLimits.RegistryRetryLast);
            return;
        }

        bool isAbsent = error is not null && IsNotFound(error);
        bool isFirstTry = operation.Kind == RegistryOperationKind.Request && _commands.Values.Any(command => command.Registry == token);
        if (isAbsent && isFirstTry)
        {
            // There is nobody to answer: the mark would only open a gate for whoever gets the id.
            _registry.Finish(operation);
            if (RemoveMark(operation.NodeId, operation.Hostname))
            {
                SaveNow();
                GatesChanged();
            }
        }
        else if (isAbsent && IsWantedLater(operation))
        {
            // The peer is away, or the registry lost its memory and the peer has not registered again yet.
            _registry.Retry(clock.Now, operation, TrustLimits.AbsentPeerRetryLast);
        }
        else
        {
            _registry.Finish(operation);
        }

        foreach (Command command in _commands.Values.Where(command => command.Registry == token).ToArray())
        {
            command.Registry = 0;
            command.Error = error;
            if (error is null)
            {
                Answer(command, command.Result with { Delivery = TrustDelivery.Relayed });
            }
            else if (command.Direct == 0)
            {
                AnswerUndelivered(command);
            }
        }
    }

    private static bool IsWantedLater(RegistryOperation operation) =>
        operation.Kind is RegistryOperationKind.Request or RegistryOperationKind.Report
        || (operation.Kind == RegistryOperationKind.Respond && operation.Accept);

    private static bool IsNotFound(string error) => error.Contains("node not found", StringComparison.Ordinal);

    private static TrustEffect ToEffect(RegistryOperation operation) => operation.Kind switch
    {
        RegistryOperationKind.Request => new TrustEffect.RequestHandshake(operation.Token, operation.NodeId, operation.Hostname, operation.Justification),
        RegistryOperationKind.Respond => new TrustEffect.RespondHandshake(operation.Token, operation.NodeId, operation.Accept),
        RegistryOperationKind.Report => new TrustEffect.ReportTrust(operation.Token, operation.NodeId),
        _ => new TrustEffect.RevokeTrust(operation.Token, operation.NodeId),
    };

    private string? CheckPeer(uint nodeId) =>
        nodeId == 0 || PilotAddress.OfNode(nodeId).IsBroadcast ? $"handshake request: node id {nodeId} is reserved"
        : nodeId == _self ? "cannot handshake with self"
        : null;

    private string? CheckText(TrustClock clock, string text) =>
        text.Length > TrustLimits.MaxTextLength ? $"justification too long (max {TrustLimits.MaxTextLength} characters)"
        : Encode(clock, TrustMessageType.Request, uint.MaxValue, text).Length > TrustLimits.MaxMessageBytes ? "justification too long when encoded"
        : null;

    private long Withdraw(OutgoingMark mark)
    {
        EndRequest(mark);
        SaveNow();
        GatesChanged();
        return Finish(new TrustCommandResult(TrustStatus.Withdrawn, mark.NodeId, mark.Hostname));
    }

    private void FinishTeardown(uint nodeId, Teardown teardown)
    {
        if (_teardowns.TryGetValue(nodeId, out Teardown present) && present == teardown)
        {
            _teardowns.Remove(nodeId);
            Emit(new TrustEffect.PeerRevoked(nodeId));
        }
    }

    private long Track(TrustClock clock, TrustCommandResult result, long direct, long registry)
    {
        var command = new Command(NextToken(), result, clock.Now + TrustLimits.CommandAnswerLimit) { Direct = direct, Registry = registry };
        _commands[command.Token] = command;
        return command.Token;
    }

    private long Finish(TrustCommandResult result)
    {
        long token = NextToken();
        Emit(new TrustEffect.CommandFinished(token, result));
        return token;
    }

    private long Fail(uint nodeId, string hostname, TrustError error, string message) =>
        Finish(new TrustCommandResult(TrustStatus.Failed, nodeId, hostname, TrustDelivery.None, error, message));

    private void Answer(Command command, TrustCommandResult result)
    {
        _commands.Remove(command.Token);
        Emit(new TrustEffect.CommandFinished(command.Token, result));
    }

    // Neither way worked. A request is void then; a decision stands, and says how far its message got.
    private void AnswerUndelivered(Command command)
    {
        if (command.Result.Status == TrustStatus.Sent && command.Error is not null)
        {
            TrustError kind = IsNotFound(command.Error) ? TrustError.NotFound : TrustError.Registry;
            Answer(command, command.Result with { Status = TrustStatus.Failed, Error = kind, Message = $"handshake request: handshake relay: registry: {command.Error}" });
        }
        else
        {
            Answer(command, command.Result with { Delivery = command.Error is null ? TrustDelivery.Pending : TrustDelivery.None, Message = command.Error });
        }
    }

    private void AnswerOverdueCommands(TrustClock clock)
    {
        foreach (Command command in _commands.Values.Where(command => command.Deadline <= clock.Now).ToArray())
        {
            if (command.Error is not null)
            {
                AnswerUndelivered(command);
            }
            else
            {
                Answer(command, command.Result with { Delivery = TrustDelivery.Pending });
            }
        }
    }

    private sealed class Command(long token, TrustCommandResult result, Instant deadline)
    {
        public long Token { get; } = token;

        public TrustCommandResult Result { get; } = result;

        public Instant Deadline { get; } = deadline;

        public long Direct { get; set; }

        public long Registry { get; set; }

        public string? Error { get; set; }
    }

    private readonly record struct Teardown(long Token, Instant Deadline);
}
