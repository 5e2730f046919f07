using Pilot.Protocol;

namespace Pilot.Engine.Trust;

/// <summary>What happens to requests that nobody here asked for (spec 05 section 10.1).</summary>
public enum AutoApprove
{
    /// <summary>The user decides.</summary>
    Off,

    /// <summary>Peers that share a network other than 0 are trusted while they share it.</summary>
    SameNetwork,

    /// <summary>Everybody is trusted who asks.</summary>
    All,
}

/// <summary>
/// The trust state of one node and everything that changes it (spec 05): direct messages, messages relayed by the
/// registry, and the user's commands go in; effects for the host come out. No I/O, no clock. One owner, no locks.
/// <para>
/// Rules: B1 to B9 of section 5.2, so that nothing but local consent (a request, an approval, or the auto-approve
/// option) ever leads to trust; keys are pinned; the deny list beats the registry.
/// </para>
/// </summary>
public sealed partial class TrustBook
{
    private static readonly TimeSpan ExpiryInterval = TimeSpan.FromMinutes(1);

    private readonly Identity _identity;
    private readonly Dictionary<uint, TrustedPeer> _trusted = [];
    private readonly Dictionary<uint, PendingRequest> _pending = [];
    private readonly Dictionary<uint, OutgoingMark> _marks = [];
    private readonly Dictionary<string, OutgoingMark> _nameMarks = new(StringComparer.Ordinal);
    private readonly Dictionary<uint, FormerPeer> _former = [];
    private readonly Queue<TrustEffect> _effects = new();

    private uint _self;
    private ushort[] _networks = [];
    private TrustSnapshot? _snapshot;
    private long _lastToken;
    private Instant _saveAt = Instant.Never;
    private Instant _expireAt;

    /// <summary>A book with the state of an earlier run.</summary>
    /// <param name="identity">This node's keys: signs what is sent.</param>
    /// <param name="trusted">Trust records of <see cref="TrustFile"/>.</param>
    /// <param name="pending">Pending requests of <see cref="TrustFile"/>.</param>
    /// <param name="extension">Content of <see cref="TrustExtensionFile"/>.</param>
    public TrustBook(Identity identity, IEnumerable<TrustedPeer> trusted, IEnumerable<PendingRequest> pending, TrustExtension extension)
    {
        _identity = identity;
        LastNodeId = extension.NodeId;
        foreach (FormerPeer peer in extension.Former)
        {
            _former[peer.NodeId] = peer;
        }

        foreach (OutgoingMark mark in extension.Marks)
        {
            if (mark.NodeId != 0)
            {
                _marks[mark.NodeId] = mark;
            }
            else
            {
                _nameMarks[mark.Hostname] = mark;
            }
        }

        foreach (TrustedPeer peer in trusted)
        {
            // The two files are written one after the other, and a reference may have rewritten the first: the deny list wins.
            if (!_former.ContainsKey(peer.NodeId))
            {
                string key = extension.Keys.GetValueOrDefault(peer.NodeId, peer.PublicKey);
                _trusted[peer.NodeId] = peer with { PublicKey = key, Hostname = extension.Hostnames.GetValueOrDefault(peer.NodeId, "") };
            }
        }

        foreach (PendingRequest request in pending.Where(request => !_trusted.ContainsKey(request.NodeId)).Take(TrustLimits.MaxPending))
        {
            _pending[request.NodeId] = request with { Hostname = extension.Hostnames.GetValueOrDefault(request.NodeId, "") };
        }
    }

    /// <summary>A book without any state.</summary>
    public TrustBook(Identity identity)
        : this(identity, [], [], TrustExtension.Empty)
    {
    }

    /// <summary>What happens to requests that nobody here asked for. Off by default.</summary>
    public AutoApprove AutoApprove { get; set; }

    /// <summary>This node's id, 0 before registration.</summary>
    public uint NodeId => _self;

    /// <summary>The id that this node had last, in this run or an earlier one; 0 if none. To be asked for when registering, so that addresses and trust outlive the registry's memory.</summary>
    public uint LastNodeId { get; private set; }

    /// <summary>The gates' view of the state.</summary>
    public TrustSnapshot Snapshot => _snapshot ??= TrustSnapshot.Create(
        _trusted.Values,
        _marks.Keys,
        _former.Values.Where(peer => peer.State == FormerPeerState.Revoked).Select(peer => peer.NodeId));

    /// <summary>Trusted peers by node id.</summary>
    public IReadOnlyList<TrustedPeer> Trusted => [.. _trusted.Values.OrderBy(peer => peer.NodeId)];

    /// <summary>Pending requests by node id.</summary>
    public IReadOnlyList<PendingRequest> Pending => [.. _pending.Values.OrderBy(request => request.NodeId)];

    /// <summary>Own requests that wait for the peer.</summary>
    public IReadOnlyList<OutgoingMark> Requested =>
        [.. _marks.Values.OrderBy(mark => mark.NodeId), .. _nameMarks.Values.OrderBy(mark => mark.Hostname, StringComparer.Ordinal)];

    /// <summary>Peers that were trusted once, the deny list among them.</summary>
    public IReadOnlyList<FormerPeer> Former => [.. _former.Values.OrderBy(peer => peer.NodeId)];

    /// <summary>When <see cref="Advance"/> wants to be called next.</summary>
    public Instant NextDeadline
    {
        get
        {
            Instant next = Instant.Min(Instant.Min(_saveAt, _expireAt), _registry.NextDeadline);
            foreach (Command command in _commands.Values)
            {
                next = Instant.Min(next, command.Deadline);
            }

            foreach (Teardown teardown in _teardowns.Values)
            {
                next = Instant.Min(next, teardown.Deadline);
            }

            return next;
        }
    }

    /// <summary>The next thing for the host to do.</summary>
    public bool TryGetEffect(TrustClock clock, [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out TrustEffect? effect)
    {
        while (_effects.Count == 0)
        {
            HandOutDirect();
            if (_effects.Count == 0 && _registry.TryTake(clock.Now, out RegistryOperation? operation))
            {
                _effects.Enqueue(ToEffect(operation));
            }

            if (_effects.Count == 0)
            {
                effect = null;
                return false;
            }
        }

        effect = _effects.Dequeue();
        return true;
    }

    /// <summary>Runs the timers: retries, answers that are due, expiry, delayed saves.</summary>
    public void Advance(TrustClock clock)
    {
        AnswerOverdueCommands(clock);
        foreach ((uint nodeId, Teardown teardown) in _teardowns.Where(pair => pair.Value.Deadline <= clock.Now).ToArray())
        {
            FinishTeardown(nodeId, teardown);
        }

        if (clock.Now >= _expireAt)
        {
            _expireAt = clock.Now + ExpiryInterval;
            Expire(clock);
        }

        if (clock.Now >= _saveAt)
        {
            SaveNow();
        }
    }

    /// <summary>The text of <c>trust.json</c> now.</summary>
    public string FormatTrustFile() => TrustFile.Format(_trusted.Values, _pending.Values);

    /// <summary>The text of <c>trust-ext.json</c> now.</summary>
    public string FormatExtensionFile()
    {
        var hostnames = new Dictionary<uint, string>();
        foreach (PendingRequest request in _pending.Values.Where(request => request.Hostname.Length > 0))
        {
            hostnames[request.NodeId] = request.Hostname;
        }

        foreach (TrustedPeer peer in _trusted.Values.Where(peer => peer.Hostname.Length > 0))
        {
            hostnames[peer.NodeId] = peer.Hostname;
        }

        Dictionary<uint, string> keys = _trusted.Values.Where(peer => peer.PublicKey.Length > 0).ToDictionary(peer => peer.NodeId, peer => peer.PublicKey);
        return TrustExtensionFile.Format(new TrustExtension(Requested, keys, Former, hostnames, LastNodeId));
    }

    /// <summary>The known peer or pending request with this hostname, or 0: a hint for commands when the registry will not tell (spec 05 section 13.1).</summary>
    public uint FindByHostname(string hostname) =>
        _trusted.Values.FirstOrDefault(peer => string.Equals(peer.Hostname, hostname, StringComparison.Ordinal))?.NodeId
        ?? _pending.Values.FirstOrDefault(request => string.Equals(request.Hostname, hostname, StringComparison.Ordinal))?.NodeId
        ?? 0;

    /// <summary>The networks of this node, in its order; 0 may be among them.</summary>
    public void SetNetworks(IEnumerable<ushort> networks) => _networks = [.. networks.Where(network => network != 0).Distinct()];

    private void HandOutDirect()
    {
        while (_direct.TryTake(out DirectMessage direct))
        {
            Emit(new TrustEffect.SendDirect(direct.Token, direct.NodeId, direct.Message, direct.ExistingTunnelOnly));
        }
    }

    private long NextToken() => ++_lastToken;

    private void Emit(TrustEffect effect) => _effects.Enqueue(effect);

    private void Raise(string name, uint nodeId, string? justification = null, string? reason = null, bool isRelayed = false) =>
        Emit(new TrustEffect.Raise(new TrustEvent(name, nodeId, justification, reason, isRelayed)));

    // Decisions are on disk before anybody is told of them; what strangers cause is collected.
    private void SaveNow()
    {
        _saveAt = Instant.Never;
        Emit(new TrustEffect.Save());
    }

    private void SaveSoon(TrustClock clock) => _saveAt = Instant.Min(_saveAt, clock.Now + TrustLimits.SaveDelay);

    private void GatesChanged()
    {
        _snapshot = null;
        Emit(new TrustEffect.TrustChanged());
    }

    private void Expire(TrustClock clock)
    {
        DateTimeOffset limit = clock.Wall - TrustLimits.RequestLifetime;
        uint[] pending = [.. _pending.Values.Where(request => request.ReceivedAt < limit).Select(request => request.NodeId)];
        OutgoingMark[] marks = [.. Requested.Where(mark => mark.Since < limit)];
        foreach (uint nodeId in pending)
        {
            RemovePending(nodeId);
        }

        foreach (OutgoingMark mark in marks)
        {
            EndRequest(mark);
        }

        if (pending.Length > 0 || marks.Length > 0)
        {
            SaveSoon(clock);
        }

        if (marks.Length > 0)
        {
            GatesChanged();
        }

        ExpireHeld(clock);
    }
}
