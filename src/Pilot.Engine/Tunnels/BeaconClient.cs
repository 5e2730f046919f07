using Pilot.Engine.Limits;
using Pilot.Engine.Nat;
using Pilot.Protocol;

namespace Pilot.Engine.Tunnels;

/// <summary>
/// The node's side of its beacons (spec 04): DISCOVER until answered and then as a keepalive, our mapping as they see
/// it, punch requests and commands. Messages count only when they come from a configured beacon's address.
/// </summary>
internal sealed class BeaconClient(IRandomSource random)
{
    private readonly List<Beacon> _beacons = [];
    private readonly List<(uint Target, Instant At)> _requests = [];
    private readonly List<(UdpEndpoint To, Instant At)> _punches = [];
    private TokenBucket _commands = new(TunnelConstants.PunchCommandRate, TunnelConstants.PunchCommandRate);

    /// <summary>Where the beacon sees our socket.</summary>
    public UdpEndpoint? Mapping { get; private set; }

    /// <summary>What was measured about the NAT.</summary>
    public NatReport Nat { get; private set; } = NatReport.Nothing;

    /// <summary>The beacon that relays and coordinates: the first one that answers, else the first.</summary>
    public UdpEndpoint? Current
    {
        get
        {
            foreach (Beacon beacon in _beacons)
            {
                if (beacon.IsAnswering)
                {
                    return beacon.Endpoint;
                }
            }

            return _beacons.Count > 0 ? _beacons[0].Endpoint : null;
        }
    }

    public TimeSpan? Rtt
    {
        get
        {
            foreach (Beacon beacon in _beacons)
            {
                if (beacon.IsAnswering)
                {
                    return beacon.Rtt;
                }
            }

            return null;
        }
    }

    public bool IsAnswering
    {
        get
        {
            foreach (Beacon beacon in _beacons)
            {
                if (beacon.IsAnswering)
                {
                    return true;
                }
            }

            return false;
        }
    }

    public Instant Deadline
    {
        get
        {
            Instant next = Instant.Never;
            foreach (Beacon beacon in _beacons)
            {
                next = Instant.Min(next, beacon.NextDiscover);
            }

            foreach (var punch in _punches)
            {
                next = Instant.Min(next, punch.At);
            }

            return next;
        }
    }

    public bool IsBeacon(UdpEndpoint source) => Find(source) is not null;

    public void SetBeacons(Instant now, ReadOnlySpan<UdpEndpoint> endpoints)
    {
        var kept = new List<Beacon>();
        foreach (UdpEndpoint endpoint in endpoints)
        {
            if (kept.Count < TunnelConstants.MaxBeacons && !kept.Exists(b => b.Endpoint == endpoint))
            {
                kept.Add(Find(endpoint) ?? new Beacon(endpoint) { NextDiscover = now });
            }
        }

        _beacons.Clear();
        _beacons.AddRange(kept);
    }

    /// <summary>Asks every beacon at once: after (re-)registration, or when the socket changed.</summary>
    public void DiscoverNow(Instant now)
    {
        foreach (Beacon beacon in _beacons)
        {
            beacon.Step = 0;
            beacon.NextDiscover = now;
        }
    }

    public void HandleTimeout(Instant now, uint nodeId, ControlQueue output, EventQueue events)
    {
        Span<byte> message = stackalloc byte[BeaconDiscover.Size];
        new BeaconDiscover(nodeId).Write(message);
        foreach (Beacon beacon in _beacons)
        {
            if (now < beacon.NextDiscover)
            {
                continue;
            }

            output.Enqueue(beacon.Endpoint, message);
            beacon.SentAt = now;
            beacon.Unanswered++;
            if (beacon.Unanswered > TunnelConstants.MaxUnansweredDiscovers && (beacon.IsAnswering || beacon.Unanswered % 8 == 4))
            {
                beacon.IsAnswering = false;
                events.Add(new NodeEvent { Kind = NodeEventKind.BeaconUnreachable, Endpoint = beacon.Endpoint });
            }

            beacon.Step++;
            beacon.NextDiscover = now + (beacon.Step < TunnelConstants.DiscoverSteps.Length
                ? TunnelConstants.DiscoverSteps[beacon.Step] - TunnelConstants.DiscoverSteps[beacon.Step - 1]
                : random.Jitter(TunnelConstants.DiscoverRetry));
        }

        for (int i = _punches.Count - 1; i >= 0; i--)
        {
            if (now >= _punches[i].At)
            {
                output.Enqueue(_punches[i].To, "PILP"u8);
                _punches.RemoveAt(i);
            }
        }
    }

    /// <summary>Takes a DISCOVER_REPLY; true if our mapping is new.</summary>
    public bool OnReply(Instant now, UdpEndpoint source, UdpEndpoint observed)
    {
        if (Find(source) is not { } beacon || beacon.Unanswered == 0)
        {
            return false;
        }

        TimeSpan sample = now - beacon.SentAt;
        beacon.Rtt = beacon.Rtt is { } smoothed ? smoothed + (sample - smoothed) / 8 : sample;
        beacon.Unanswered = 0;
        beacon.IsAnswering = true;
        beacon.Step = TunnelConstants.DiscoverSteps.Length;
        beacon.NextDiscover = now + random.Jitter(TunnelConstants.DiscoverInterval);
        if (Current != source || Mapping == observed)
        {
            return false;
        }

        Mapping = observed;
        return true;
    }

    /// <summary>Asks the beacon to make both sides punch (spec 04 section 3.3); the beacon that was asked.</summary>
    public UdpEndpoint? RequestPunch(Instant now, uint nodeId, uint target, ControlQueue output)
    {
        if (Current is not { } beacon)
        {
            return null;
        }

        Span<byte> message = stackalloc byte[BeaconPunchRequest.Size];
        new BeaconPunchRequest(nodeId, target).Write(message);
        output.Enqueue(beacon, message);
        _requests.RemoveAll(r => r.Target == target || now - r.At > TunnelConstants.PunchWindow);
        if (_requests.Count < TunnelConstants.MaxScheduledPunches)
        {
            _requests.Add((target, now));
        }

        return beacon;
    }

    /// <summary>Frames through this beacon stay unanswered: asks it at once whether it lives.</summary>
    public void Suspect(Instant now, UdpEndpoint endpoint)
    {
        if (Find(endpoint) is { Unanswered: 0 } beacon)
        {
            beacon.Step = 0;
            beacon.NextDiscover = now;
        }
    }

    /// <summary>Obeys a PUNCH_COMMAND: three punches, a little apart. False if it came too often.</summary>
    public bool OnPunchCommand(Instant now, UdpEndpoint endpoint)
    {
        if (endpoint.Port == 0 || endpoint.IsUnspecified || _punches.Count + 3 > TunnelConstants.MaxScheduledPunches || !_commands.TryTake(now))
        {
            return false;
        }

        foreach (TimeSpan step in TunnelConstants.PunchSteps)
        {
            _punches.Add((endpoint, now + step));
        }

        return true;
    }

    /// <summary>The targets of punch requests that are younger than <paramref name="window"/>, the oldest first.</summary>
    public IEnumerable<uint> RequestedTargets(Instant now, TimeSpan window)
    {
        foreach (var request in _requests)
        {
            if (now - request.At <= window)
            {
                yield return request.Target;
            }
        }
    }

    /// <summary>The beacons, the one in use first.</summary>
    public IReadOnlyList<BeaconStatus> Statuses()
    {
        UdpEndpoint? current = Current;
        var list = new List<BeaconStatus>(_beacons.Count);
        foreach (Beacon beacon in _beacons)
        {
            var status = new BeaconStatus(beacon.Endpoint, beacon.IsAnswering, beacon.Endpoint == current, beacon.Rtt, IsOurs: false);
            list.Insert(status.IsCurrent ? 0 : list.Count, status);
        }

        return list;
    }

    private Beacon? Find(UdpEndpoint endpoint)
    {
        foreach (Beacon beacon in _beacons)
        {
            if (beacon.Endpoint == endpoint)
            {
                return beacon;
            }
        }

        return null;
    }

    private sealed class Beacon(UdpEndpoint endpoint)
    {
        public UdpEndpoint Endpoint { get; } = endpoint;

        public bool IsAnswering { get; set; }

        public TimeSpan? Rtt { get; set; }

        public Instant SentAt { get; set; }

        public Instant NextDiscover { get; set; }

        public int Step { get; set; }

        public int Unanswered { get; set; }
    }
}
