using Pilot.Engine.Limits;
using Pilot.Engine.Nat;
using Pilot.Protocol;

namespace Pilot.Engine.Tunnels;

/// <summary>
/// The node's side of its beacons (spec 04, docs/wire.md): DISCOVER until answered and then as a keepalive, which of them is used, our mapping as
/// they see it, punch requests and commands. Messages count only when they come from a known beacon's address and, once it showed that it is one
/// of ours, carry a token that we sent it.
/// </summary>
internal sealed class BeaconClient(IRandomSource random)
{
    private readonly List<BeaconEntry> _beacons = [];
    private readonly List<(uint Target, Instant At)> _requests = [];
    private readonly List<(UdpEndpoint To, Instant At)> _punches = [];
    private readonly NatProber _nat = new(random);
    private TokenBucket _commands = new(TunnelConstants.PunchCommandRate, TunnelConstants.PunchCommandRate);
    private BeaconEntry? _current;
    private NatReport _told = NatReport.Nothing;
    private uint _nodeId;

    /// <summary>Where the beacon in use sees our socket.</summary>
    public UdpEndpoint? Mapping { get; private set; }

    /// <summary>What was measured about the NAT.</summary>
    public NatReport Nat => _nat.Report;

    /// <summary>The beacon that relays and coordinates: the nearest that answers, else the first.</summary>
    public UdpEndpoint? Current => _current?.Endpoint;

    public TimeSpan? Rtt => _current is { IsAnswering: true } current ? current.Rtt : null;

    public bool IsAnswering => _beacons.Exists(static b => b.IsAnswering);

    public Instant Deadline
    {
        get
        {
            Instant next = _nat.Deadline;
            foreach (BeaconEntry beacon in _beacons)
            {
                next = Instant.Min(next, Instant.Min(beacon.NextDiscover, beacon.JudgeAt));
            }

            foreach (var punch in _punches)
            {
                next = Instant.Min(next, punch.At);
            }

            return next;
        }
    }

    public bool IsBeacon(UdpEndpoint source) => Find(source) is not null;

    public void SetLocalEndpoints(IReadOnlyList<UdpEndpoint> endpoints) => _nat.SetLocalEndpoints(endpoints);

    /// <summary>Likely next outside endpoints; see <see cref="Node.Predicted"/>.</summary>
    public IReadOnlyList<UdpEndpoint> Predicted(int count) => _nat.Predicted(count);

    /// <summary>The beacons to use: those that the user named, and further ones that the registry lists.</summary>
    public void SetBeacons(Instant now, ReadOnlySpan<UdpEndpoint> configured, ReadOnlySpan<UdpEndpoint> listed)
    {
        var kept = new List<BeaconEntry>();
        Keep(configured, isConfigured: true);
        Keep(listed, isConfigured: false);
        _beacons.Clear();
        _beacons.AddRange(kept);
        Choose();

        void Keep(ReadOnlySpan<UdpEndpoint> endpoints, bool isConfigured)
        {
            foreach (UdpEndpoint endpoint in endpoints)
            {
                if (endpoint.Port != 0 && kept.Count < TunnelConstants.MaxBeacons && !kept.Exists(b => b.Endpoint == endpoint))
                {
                    BeaconEntry entry = Find(endpoint) ?? new BeaconEntry(endpoint) { NextDiscover = now };
                    entry.IsConfigured = isConfigured;
                    kept.Add(entry);
                }
            }
        }
    }

    /// <summary>Asks every beacon at once: after (re-)registration, or when the socket changed.</summary>
    public void DiscoverNow(Instant now)
    {
        foreach (BeaconEntry beacon in _beacons)
        {
            beacon.Step = 0;
            beacon.NextDiscover = now;
        }
    }

    /// <summary>Traffic through this beacon goes unanswered: it is asked at once, and given up if it says nothing within a second.</summary>
    public void Suspect(Instant now, UdpEndpoint endpoint)
    {
        if (Find(endpoint) is { IsAnswering: true } beacon && beacon.JudgeAt == Instant.Never && now - beacon.AnsweredAt > TunnelConstants.BeaconTrust)
        {
            TimeSpan patience = (beacon.Rtt ?? TimeSpan.Zero) * 3;
            beacon.Step = 0;
            beacon.NextDiscover = now;
            beacon.JudgeAt = now + (patience > TunnelConstants.BeaconJudgement ? patience : TunnelConstants.BeaconJudgement);
        }
    }

    public void HandleTimeout(Instant now, uint nodeId, Identity identity, ControlQueue output, EventQueue events)
    {
        _nodeId = nodeId;
        foreach (BeaconEntry beacon in _beacons)
        {
            if (now >= beacon.JudgeAt)
            {
                beacon.JudgeAt = Instant.Never;
                GiveUp(now, beacon, events);
            }

            if (now >= beacon.NextDiscover)
            {
                SendDiscover(now, beacon, nodeId, identity, output, events);
            }
        }

        for (int i = _punches.Count - 1; i >= 0; i--)
        {
            if (now >= _punches[i].At)
            {
                output.Enqueue(_punches[i].To, "PILP"u8);
                _punches.RemoveAt(i);
            }
        }

        _nat.HandleTimeout(now, output);
        AfterNat(now, events);
    }

    /// <summary>
    /// Takes a DISCOVER_REPLY; false if it counts for nothing. <paramref name="isMoved"/> when our mapping is new; <paramref name="isReachable"/> when
    /// the beacon in use relays to it from now on: it believed our signature.
    /// </summary>
    public bool OnReply(Instant now, UdpEndpoint source, ReadOnlySpan<byte> datagram, EventQueue events, out bool isMoved, out bool isReachable)
    {
        isMoved = isReachable = false;
        if (Find(source) is not { } beacon || beacon.Unanswered == 0 || !BeaconDiscoverReply.TryParse(datagram, out BeaconDiscoverReply reply))
        {
            return false;
        }

        Instant sentAt = beacon.SentAt;
        bool wasKnown = (beacon.Capabilities & BeaconCapabilities.KnowsSender) != 0;
        BeaconReplyExtension? extension = null;
        if (BeaconReplyExtension.TryParse(datagram, out BeaconReplyExtension extended))
        {
            if (!beacon.Knows(extended.Token, out sentAt))
            {
                return false;
            }

            extension = extended;
            TakeExtension(now, beacon, extended);
        }
        else if (beacon.IsOurs)
        {
            // Somebody who only guesses at our beacon's address, or a reference that took its place: the latter is believed after a while.
            if (now - beacon.AnsweredAt < TunnelConstants.BeaconMemory)
            {
                return false;
            }

            beacon.IsOurs = false;
            beacon.IsOverloaded = false;
            beacon.Cookie = 0;
        }

        TimeSpan sample = now - sentAt;
        beacon.Rtt = beacon.Rtt is { } smoothed ? smoothed + (sample - smoothed) / 8 : sample;
        beacon.Unanswered = 0;
        beacon.IsAnswering = true;
        beacon.AnsweredAt = now;
        beacon.JudgeAt = Instant.Never;
        beacon.Observed = reply.Observed;
        beacon.Step = 0;
        bool mustSign = _nodeId != 0 && extension is not null && IsRegistered(beacon) && (beacon.Capabilities & BeaconCapabilities.KnowsSender) == 0 && now - beacon.SignedAt > TunnelConstants.SignInterval;
        beacon.NextDiscover = mustSign ? now : now + random.Jitter(Interval(now, beacon));
        Choose();
        _nat.OnReply(now, source, reply.Observed, extension, beacon == _current, beacon.Rtt.Value);
        AfterNat(now, events);
        isReachable = beacon == _current && !wasKnown && extension is not null && (beacon.Capabilities & BeaconCapabilities.KnowsSender) != 0;
        if (beacon == _current && Mapping != reply.Observed)
        {
            Mapping = reply.Observed;
            isMoved = true;
        }

        return true;
    }

    /// <summary>Takes what belongs to the measurement of the NAT, from wherever it comes; false when it does not.</summary>
    public bool OnNatDatagram(Instant now, UdpEndpoint source, ReadOnlySpan<byte> datagram, EventQueue events)
    {
        if (!_nat.OnDatagram(now, source, datagram))
        {
            return false;
        }

        AfterNat(now, events);
        return true;
    }

    /// <summary>A token in a message of a beacon: right, or not needed because the beacon is a reference.</summary>
    public bool IsGenuine(UdpEndpoint source, ulong? token) =>
        Find(source) is { } beacon && (token is { } value ? beacon.Knows(value, out _) : !beacon.IsOurs);

    /// <summary>The beacon says that it drops frames of ours.</summary>
    public void OnRelayStatus(UdpEndpoint source, BeaconRelayStatus status)
    {
        if (Find(source) is { } beacon && beacon.Knows(status.Token, out _))
        {
            beacon.IsOverloaded = true;
            Choose();
        }
    }

    /// <summary>The current beacon does not know a target: another one may. True if one was asked.</summary>
    public bool OnPunchRefused(Instant now, UdpEndpoint source, BeaconPunchRefused refused, uint nodeId, ControlQueue output)
    {
        if (Find(source) is not { } beacon || beacon != _current || !beacon.Knows(refused.Token, out _)
            || !_requests.Exists(r => r.Target == refused.Target && now - r.At <= TunnelConstants.PunchCommandWindow))
        {
            return false;
        }

        bool asked = false;
        foreach (BeaconEntry other in _beacons)
        {
            if (other != beacon && other.IsAnswering && IsRegistered(other))
            {
                SendPunchRequest(other, nodeId, refused.Target, output);
                asked = true;
            }
        }

        return asked;
    }

    /// <summary>Asks the beacon to make both sides punch (spec 04 section 3.3); the beacon that was asked.</summary>
    public UdpEndpoint? RequestPunch(Instant now, uint nodeId, uint target, ControlQueue output)
    {
        if (_current is not { } beacon)
        {
            return null;
        }

        SendPunchRequest(beacon, nodeId, target, output);
        _requests.RemoveAll(r => r.Target == target || now - r.At > TunnelConstants.PunchWindow);
        if (_requests.Count < TunnelConstants.MaxScheduledPunches)
        {
            _requests.Add((target, now));
        }

        return beacon.Endpoint;
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
        var list = new List<BeaconStatus>(_beacons.Count);
        foreach (BeaconEntry beacon in _beacons)
        {
            var status = new BeaconStatus(beacon.Endpoint, beacon.IsAnswering, beacon == _current, beacon.Rtt, beacon.IsOurs)
            {
                IsOverloaded = beacon.IsOverloaded,
                Observed = beacon.Observed,
            };
            list.Insert(status.IsCurrent ? 0 : list.Count, status);
        }

        return list;
    }

    private void SendDiscover(Instant now, BeaconEntry beacon, uint nodeId, Identity identity, ControlQueue output, EventQueue events)
    {
        // A single one that is lost says little; the fourth in a row, a good second after the first, says enough.
        if (beacon.Unanswered > TunnelConstants.MaxUnansweredDiscovers && (beacon.IsAnswering || beacon.Unanswered % 8 == 4))
        {
            GiveUp(now, beacon, events);
        }

        uint id = IsRegistered(beacon) ? nodeId : 0;
        bool sign = id != 0 && beacon.Cookie != 0 && (beacon.Capabilities & BeaconCapabilities.KnowsSender) == 0 && now - beacon.SignedAt > TunnelConstants.SignInterval;
        if (sign)
        {
            beacon.SignedAt = now;
        }

        ulong token = NewToken();
        Span<byte> message = stackalloc byte[BeaconDiscoverExtension.SignedSize];
        output.Enqueue(beacon.Endpoint, message[..BeaconDiscoverExtension.Write(message, id, token, beacon.Cookie, sign ? identity : null)]);
        beacon.Sent(now, token);
        _nat.OnAsked(now, beacon.Endpoint);
        beacon.Step++;
        beacon.NextDiscover = now + (beacon.Step < TunnelConstants.DiscoverSteps.Length
            ? TunnelConstants.DiscoverSteps[beacon.Step] - TunnelConstants.DiscoverSteps[beacon.Step - 1]
            : random.Jitter(TunnelConstants.DiscoverRetry));
    }

    private void SendPunchRequest(BeaconEntry beacon, uint nodeId, uint target, ControlQueue output)
    {
        var request = new BeaconPunchRequest(nodeId, target);
        Span<byte> message = stackalloc byte[BeaconPunchRequestExtension.Size];
        output.Enqueue(beacon.Endpoint, message[..(beacon.IsOurs ? new BeaconPunchRequestExtension(beacon.Token).Write(message, request) : request.Write(message))]);
    }

    private static void TakeExtension(Instant now, BeaconEntry beacon, BeaconReplyExtension extension)
    {
        beacon.IsOurs = true;
        beacon.Cookie = extension.Cookie;
        beacon.Capabilities = extension.Capabilities;
        beacon.IsOverloaded = (extension.Capabilities & BeaconCapabilities.Overloaded) != 0;
        if ((extension.Capabilities & BeaconCapabilities.KnowsSender) != 0)
        {
            // When it forgets us (a restart), we sign again at once.
            beacon.SignedAt = now - TunnelConstants.SignInterval - TimeSpan.FromTicks(1);
        }
    }

    private void GiveUp(Instant now, BeaconEntry beacon, EventQueue events)
    {
        beacon.IsAnswering = false;
        events.Add(new NodeEvent { Kind = NodeEventKind.BeaconUnreachable, Endpoint = beacon.Endpoint });
        Choose();
        if (!IsAnswering)
        {
            _nat.OnSilence(now);
        }
    }

    // A beacon keeps one address per node, that of the family of the last DISCOVER, and peers that only know IPv4 must get that one: IPv6 addresses
    // register only when no IPv4 one is alive. Beacons that only the registry named are registered with when they are among the two nearest.
    private bool IsRegistered(BeaconEntry beacon)
    {
        if (!IsPreferredFamily(beacon))
        {
            return false;
        }

        if (beacon.IsConfigured || beacon == _current)
        {
            return true;
        }

        int nearer = 0;
        foreach (BeaconEntry other in _beacons)
        {
            nearer += other != beacon && other.IsAnswering && IsPreferredFamily(other) && other.Rtt < (beacon.Rtt ?? TimeSpan.MaxValue) ? 1 : 0;
        }

        return beacon.IsAnswering && nearer < TunnelConstants.RegisteredBeacons;
    }

    private bool IsPreferredFamily(BeaconEntry beacon) => beacon.Endpoint.IsIPv4
        || !_beacons.Exists(static b => b.Endpoint.IsIPv4 && (b.IsAnswering || b.Unanswered <= TunnelConstants.MaxUnansweredDiscovers));

    // The nearest, but not for a small difference: a change moves the relay path of every peer.
    private void Choose()
    {
        BeaconEntry? best = null;
        foreach (BeaconEntry beacon in _beacons)
        {
            if (beacon.IsAnswering && IsPreferredFamily(beacon) && (best is null || Cost(beacon) < Cost(best)))
            {
                best = beacon;
            }
        }

        bool keeps = _current is { IsAnswering: true } && _beacons.Contains(_current) && IsPreferredFamily(_current);
        if (best is null)
        {
            _current = _current is not null && _beacons.Contains(_current) ? _current : _beacons.Count > 0 ? _beacons[0] : null;
        }
        else if (!keeps || Cost(best) + TunnelConstants.BeaconGain < Cost(_current!))
        {
            _current = best;
        }
    }

    private static TimeSpan Cost(BeaconEntry beacon) =>
        (beacon.Rtt ?? TimeSpan.FromSeconds(1)) + (beacon.IsConfigured ? TimeSpan.Zero : TunnelConstants.ListedCost) + (beacon.IsOverloaded ? TunnelConstants.OverloadCost : TimeSpan.Zero);

    private TimeSpan Interval(Instant now, BeaconEntry beacon) => !IsRegistered(beacon) ? TunnelConstants.DiscoverIdleInterval
        : _nat.IsLongLived(now) ? TunnelConstants.DiscoverSlowInterval
        : TunnelConstants.DiscoverInterval;

    private void AfterNat(Instant now, EventQueue events)
    {
        if (_nat.WantsConfirmation && _current is { Unanswered: 0 } current && now - current.SentAt > TunnelConstants.BeaconTrust)
        {
            current.NextDiscover = Instant.Min(current.NextDiscover, now);
        }

        if (_told != _nat.Report)
        {
            _told = _nat.Report;
            events.Add(new NodeEvent { Kind = NodeEventKind.NatChanged });
        }
    }

    private ulong NewToken() => ((ulong)random.NextUInt32() << 32) | random.NextUInt32() | 1;

    private BeaconEntry? Find(UdpEndpoint endpoint)
    {
        foreach (BeaconEntry beacon in _beacons)
        {
            if (beacon.Endpoint == endpoint)
            {
                return beacon;
            }
        }

        return null;
    }
}
