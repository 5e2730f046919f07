namespace Pilot.Rendezvous.Registry;

// The reaper and the other timers (spec 03 section 5.6)
internal sealed partial class RegistryCore
{
    private const int PressurePercent = 90;
    private DateTimeOffset? _resumedAt;

    /// <summary>When <see cref="Tick"/> has something to do.</summary>
    public DateTimeOffset NextTick { get; private set; }

    /// <summary>Reaps silent nodes and drops what has run out. Does nothing before <see cref="NextTick"/>.</summary>
    public void Tick(DateTimeOffset now)
    {
        if (now < NextTick)
        {
            return;
        }

        NextTick = now + _options.ReapInterval;
        if (_options.Standby)
        {
            _limits.Sweep(now);
            return;
        }

        ReapSilent(now);
        ExpireMessages(now);
        RelievePressure(now);
        SweepResolves(now);
        _limits.Sweep(now);
        foreach ((uint id, BeaconRecord beacon) in _beacons)
        {
            if (!IsFresh(beacon, now))
            {
                _beacons.Remove(id);
            }
        }
    }

    /// <summary>After a replay or a leap of time: live nodes get one stale period to be heard of again, for heartbeats are not among the events.</summary>
    public void Resume(DateTimeOffset now)
    {
        _resumedAt = now;
        foreach (NodeRecord node in State.Nodes.Values)
        {
            node.LastSeen = now;
        }
    }

    // All connections ended with the process, or those to other processes were not heard of, which says nothing about the nodes: they have the time of some heartbeats to come back.
    private bool IsAwaited(NodeRecord node, DateTimeOffset now) =>
        node.Proven && _resumedAt is { } resumed && node.LastSeen <= resumed && now - resumed < _options.ReturnGrace;

    private void ReapSilent(DateTimeOffset now)
    {
        var events = new List<RegistryEvent>();
        foreach (NodeRecord node in State.Nodes.Values)
        {
            if (node.Status == NodeStatus.Live && now - node.LastSeen > _options.StaleAfter)
            {
                events.Add(new NodeReaped(node.Id, ReleaseHostname: !Has(RegistryPolicy.Retention) || !node.Proven, now));
            }
            else if (node.Status == NodeStatus.Offline && node.Hostname.Length > 0 && now - node.SilentSince > _options.HostnameRetention)
            {
                events.Add(new HostnameChanged(node.Id, ""));
            }
        }

        events.ForEach(Apply);
    }

    private void ExpireMessages(DateTimeOffset now)
    {
        var events = new List<RegistryEvent>();
        foreach ((uint target, HandshakeInbox inbox) in State.Inboxes)
        {
            foreach (bool byName in (bool[])[false, true])
            {
                uint[] old = [.. inbox.Requests.Where(r => r.ByName == byName && IsSpent(r, now)).Select(r => r.From)];
                if (old.Length > 0)
                {
                    events.Add(new HandshakeRequestsDropped(target, old, byName));
                }
            }

            uint[] oldResponses = [.. inbox.Responses.TakeWhile(r => IsSpent(r, now)).Select(r => r.From)];
            if (oldResponses.Length > 0)
            {
                events.Add(new HandshakeResponsesDropped(target, oldResponses));
            }
        }

        events.ForEach(Apply);
    }

    private bool IsSpent(QueuedMessage message, DateTimeOffset now) =>
        now - message.At > _options.HandshakeLifetime
        || (!message.IsUnread(_options.DeliveredCopyLifetime) && now - message.DeliveredAt > _options.DeliveredCopyLifetime);

    // Near the cap, records go that never proved to hold their key, then the longest silent ones.
    private void RelievePressure(DateTimeOffset now)
    {
        int target = (int)(_options.Limits.MaxNodes * (long)PressurePercent / 100);
        int surplus = State.Nodes.Count - target;
        if (surplus <= 0)
        {
            return;
        }

        uint[] victims =
        [
            .. State.Nodes.Values
                .Where(n => n.Status != NodeStatus.Live)
                .OrderBy(n => n.Proven)
                .ThenBy(n => n.SilentSince)
                .Take(surplus)
                .Select(n => n.Id),
        ];
        foreach (uint victim in victims)
        {
            Apply(new NodeForgotten(victim));
        }
    }
}
