using Pilot.Protocol;
using Pilot.Rendezvous.Registry;

namespace Pilot.Rendezvous.Beacon;

/// <summary>
/// The beacon (spec 04 sections 3 and 4, docs/wire.md) without a socket: discovery, punching, relay and gossip. Pure: time is an argument, datagrams go
/// to a sink. Not thread-safe: one caller at a time.
/// </summary>
public sealed partial class BeaconMachine
{
    private readonly BeaconOptions _options;
    private readonly IBeaconDirectory? _directory;
    private readonly NodeTable _nodes = new();
    private readonly RateLimiter _requests;
    private readonly RateLimiter _commands;
    private readonly RateLimiter _relayed;
    private readonly RateLimiter _budget;
    private readonly byte[] _scratch = new byte[ushort.MaxValue];
    private BeaconPlaces _places = BeaconPlaces.None;

    private enum Budget : byte
    {
        Unverified,
        Cookies,
        Signatures,
    }

    /// <summary>A beacon that knows nobody.</summary>
    /// <param name="options">Settings.</param>
    /// <param name="directory">The registry of the same process or what is known of another one's, or null: relations and proofs are then unknown, and punching is open to all.</param>
    /// <param name="now">Time of the host.</param>
    public BeaconMachine(BeaconOptions options, IBeaconDirectory? directory, DateTimeOffset now)
    {
        ArgumentNullException.ThrowIfNull(options);
        _options = options;
        _directory = directory;
        _gossip = new GossipTable(options.MaxGossipNodes);
        NextTick = now + options.SyncInterval;
        bool limited = Has(BeaconRules.Limits);
        _requests = new RateLimiter(limited ? 3 * options.RequestsPerSecond : 0, TimeSpan.FromSeconds(3), options.MaxNodes);
        _commands = new RateLimiter(limited ? 2 * options.PunchesPerSecond : 0, TimeSpan.FromSeconds(2), options.MaxNodes);
        _relayed = new RateLimiter(limited ? options.RelayBytesPerSecond : 0, TimeSpan.FromSeconds(1), options.MaxNodes);
        _budget = new RateLimiter(limited ? options.UnverifiedPerSecond : 0, TimeSpan.FromSeconds(1), 16);
    }

    /// <summary>When to call <see cref="Tick"/> next.</summary>
    public DateTimeOffset NextTick { get; private set; }

    /// <summary>Nodes known at first hand.</summary>
    public int NodeCount => _nodes.Count;

    /// <summary>What was done and dropped.</summary>
    public BeaconCounters Counters { get; } = new();

    /// <summary>Datagrams relayed to a node or to another beacon.</summary>
    public long RelayedCount => Counters.Relayed;

    internal BeaconCookies Cookies { get; } = new();

    /// <summary>What answers at the further ports; its cookies are this beacon's.</summary>
    public BeaconEcho NewEcho() => new(Cookies, _options);

    /// <summary>Tells which further sockets there are.</summary>
    public void SetPlaces(BeaconPlaces places) => _places = places;

    /// <summary>The address stored for a node; false when there is none, or none that is fresh.</summary>
    public bool TryGetAddress(DateTimeOffset now, uint node, out UdpEndpoint address)
    {
        address = default;
        if (!TryGetFresh(now, node, out NodeEntry? entry))
        {
            return false;
        }

        address = entry!.Source;
        return true;
    }

    /// <summary>Takes one datagram. Never throws on its content; what is malformed or not for a beacon is dropped.</summary>
    public void Handle(DateTimeOffset now, UdpEndpoint source, ReadOnlySpan<byte> datagram, IBeaconSink sink)
    {
        ArgumentNullException.ThrowIfNull(sink);
        if (BeaconMessage.TryGetType(datagram, out BeaconMessageType type))
        {
            switch (type)
            {
                case BeaconMessageType.Discover:
                    HandleDiscover(now, source, datagram, sink);
                    break;
                case BeaconMessageType.PunchRequest:
                    HandlePunchRequest(now, source, datagram, sink);
                    break;
                case BeaconMessageType.Relay:
                    HandleRelay(now, source, datagram, sink);
                    break;
                case BeaconMessageType.Sync:
                    HandleSync(now, source, datagram);
                    break;
            }
        }
        else if (_options.Extends && BeaconExtension.TryGetType(datagram, out BeaconExtensionType extension))
        {
            HandleExtension(now, source, extension, datagram, sink);
        }
    }

    /// <summary>Expires entries and sends SYNC to the peers. Does nothing before <see cref="NextTick"/>.</summary>
    public void Tick(DateTimeOffset now, IBeaconSink sink)
    {
        ArgumentNullException.ThrowIfNull(sink);
        if (now < NextTick)
        {
            return;
        }

        NextTick = now + _options.SyncInterval;
        if (Has(BeaconRules.Expiry))
        {
            _nodes.RemoveOlderThan(now - _options.NodeLifetime);
            _gossip.RemoveOlderThan(now - _options.GossipLifetime);
        }

        foreach (((uint, uint) pair, DateTimeOffset at) in _punches)
        {
            if (now - at > _options.MutualPunchWindow)
            {
                _punches.Remove(pair);
            }
        }

        _requests.Sweep(now);
        _commands.Sweep(now);
        _relayed.Sweep(now);
        SendSync(now, sink);
    }

    private bool Has(BeaconRules rule) => (_options.Rules & rule) != 0;

    private void HandleExtension(DateTimeOffset now, UdpEndpoint source, BeaconExtensionType type, ReadOnlySpan<byte> datagram, IBeaconSink sink)
    {
        switch (type)
        {
            case BeaconExtensionType.Probe:
                HandleProbe(now, source, datagram, sink);
                break;
            case BeaconExtensionType.SyncChunk when _peers.Contains(source):
                HandleSyncChunk(now, source, datagram);
                break;
            case BeaconExtensionType.PunchForward or BeaconExtensionType.PunchFound or BeaconExtensionType.ProbeForward when _peers.Contains(source):
                HandleForward(now, source, type, datagram, sink);
                break;
        }
    }

    private void HandleDiscover(DateTimeOffset now, UdpEndpoint source, ReadOnlySpan<byte> datagram, IBeaconSink sink)
    {
        if (!BeaconDiscover.TryParse(datagram, out BeaconDiscover discover))
        {
            return;
        }

        BeaconDiscoverExtension extension = default;
        bool extended = _options.Extends && BeaconDiscoverExtension.TryParse(datagram, out extension);
        if (!TakeRequest(now, source, extended ? extension.Cookie : 0, out bool verified))
        {
            return;
        }

        bool signed = verified && IsSigned(now, discover.NodeId, source, extension);
        bool bound = TryBind(now, discover.NodeId, source, signed);
        NodeEntry? entry = bound && _nodes.TryGet(discover.NodeId, out NodeEntry? found) ? found : null;
        if (entry is not null)
        {
            entry.Received += datagram.Length;
            if (verified || !entry.Verified)
            {
                // Once the node showed a cookie, nobody else sets its token.
                entry.Token = extended ? extension.Token : 0;
            }

            entry.Verified |= verified;
        }

        Span<byte> reply = stackalloc byte[BeaconReplyExtension.MaxSize];
        if (extended)
        {
            BeaconCapabilities capabilities = (_places.HasHidden ? BeaconCapabilities.OtherPort : 0)
                | (_places.HasHiddenElsewhere && source.IsIPv4 == _places.OtherEndpoint.IsIPv4 ? BeaconCapabilities.OtherAddress : 0)
                | (HasProbingPeer(source) ? BeaconCapabilities.OtherBeacon : 0)
                | (entry is { Signed: true } ? BeaconCapabilities.KnowsSender : 0)
                | (IsOverloaded(now) ? BeaconCapabilities.Overloaded : 0);
            var answer = new BeaconReplyExtension(
                extension.Token, Cookies.Make(now, source), capabilities, _places.Port1, _places.Port2, _places.Port3, _places.OtherEndpoint);
            sink.Send(source, reply[..answer.Write(reply, source)]);
            return;
        }

        sink.Send(source, reply[..new BeaconDiscoverReply(source).Write(reply)]);
    }

    // Two buckets for all strangers together keep a flood from eating the processor; whoever shows a cookie has a lane of its own beside them.
    private bool TakeRequest(DateTimeOffset now, UdpEndpoint source, ulong cookie, out bool verified)
    {
        verified = false;
        bool taken = _budget.TryTake(now, (UInt128)(byte)Budget.Unverified, out _);
        if (cookie != 0 && _budget.TryTake(now, (UInt128)(byte)Budget.Cookies, out _))
        {
            verified = Cookies.Verify(now, source, cookie);
        }

        if ((taken || verified) && _requests.TryTake(now, source.Ip, out _))
        {
            return true;
        }

        Counters.CountLimited();
        return false;
    }

    private bool IsSigned(DateTimeOffset now, uint id, UdpEndpoint source, BeaconDiscoverExtension extension)
    {
        if (extension.Signature.IsEmpty || id == 0 || (TryGetFresh(now, id, out NodeEntry? entry) && entry!.Signed && entry.Source == source))
        {
            return false;
        }

        return _directory?.KeyOf(id) is { } key && _budget.TryTake(now, (UInt128)(byte)Budget.Signatures, _options.UnverifiedPerSecond / _options.SignaturesPerSecond, out _)
            && extension.VerifySignature(id, key);
    }

    private void HandleProbe(DateTimeOffset now, UdpEndpoint source, ReadOnlySpan<byte> datagram, IBeaconSink sink)
    {
        if (!BeaconProbe.TryParse(datagram, out BeaconProbe probe) || !_requests.TryTake(now, source.Ip, out _) || !Cookies.Verify(now, probe.Endpoint, probe.Cookie))
        {
            return;
        }

        // The endpoint's owner may differ from the sender in the port only: one node behind a NAT that maps each destination anew.
        if (probe.Endpoint.Ip != source.Ip)
        {
            return;
        }

        Span<byte> message = stackalloc byte[BeaconProbeAnswer.MaxSize];
        UdpEndpoint prober = default;
        switch (probe.Kind)
        {
            case BeaconProbeKind.OtherPort when _places.HasHidden:
                sink.Send(BeaconOrigin.Hidden, probe.Endpoint, message[..new BeaconProbeAnswer(probe.Kind, probe.Token, null).Write(message)]);
                break;
            case BeaconProbeKind.OtherAddress when _places.HasHiddenElsewhere:
                sink.Send(BeaconOrigin.HiddenElsewhere, probe.Endpoint, message[..new BeaconProbeAnswer(probe.Kind, probe.Token, null).Write(message)]);
                prober = _places.OtherEndpoint with { Port = 0 };
                break;
            case BeaconProbeKind.ToldPort when _places.Port1 != 0:
                sink.Send(BeaconOrigin.Told, probe.Endpoint, message[..new BeaconProbeAnswer(probe.Kind, probe.Token, null).Write(message)]);
                break;
            case BeaconProbeKind.OtherBeacon when ProbingPeer(source) is { } peer:
                SendForward(now, BeaconExtensionType.ProbeForward, 0, 0, probe.Token, probe.Endpoint, peer, sink);
                prober = peer with { Port = 0 };
                break;
            default:
                return;
        }

        sink.Send(source, message[..new BeaconProbeAnswer(probe.Kind, probe.Token, prober).Write(message)]);
    }

    // Stores where a node is; false when another address holds the id and nothing speaks for this one.
    private bool TryBind(DateTimeOffset now, uint id, UdpEndpoint source, bool signed)
    {
        bool guarded = Has(BeaconRules.Rebinding);
        if (guarded && id == 0)
        {
            return false;
        }

        bool proven = signed || _directory?.HasProof(id, source.Ip, now - _options.ProofAge) == true;
        bool isSame = false;
        if (TryGetFresh(now, id, out NodeEntry? entry))
        {
            if (entry!.Source == source)
            {
                isSame = true;
                proven |= entry.Proven;
            }
            else if (guarded && !signed && !MayRebind(now, id, source, entry, proven))
            {
                return false;
            }
        }
        else if (Has(BeaconRules.Limits) && _nodes.Count >= _options.MaxNodes)
        {
            _nodes.EvictOldest();
        }

        NodeEntry kept = _nodes.Set(id, source, proven, now);
        if (!isSame)
        {
            kept.Forget();
        }

        kept.Signed |= signed;
        _gossip.Remove(id);
        return true;
    }

    // A proof counts against a proven entry only if it is newer: the old address was proved once, too. Against a signed one it does not count:
    // others may share the address that the registry saw.
    private bool MayRebind(DateTimeOffset now, uint id, UdpEndpoint source, NodeEntry entry, bool proven) =>
        IsOlderThanRebind(now, entry)
        || (proven && !entry.Signed && (!entry.Proven || _directory!.HasProof(id, source.Ip, entry.RefreshedAt + TimeSpan.FromTicks(1))));

    private bool IsOlderThanRebind(DateTimeOffset now, NodeEntry entry) => now - entry.RefreshedAt > _options.RebindAge;

    private bool TryGetFresh(DateTimeOffset now, uint id, out NodeEntry? entry) =>
        _nodes.TryGet(id, out entry) && (!Has(BeaconRules.Expiry) || now - entry.RefreshedAt <= _options.NodeLifetime);

    // Whoever has not shown that the address is its own gets no more bytes there than came from there. Without a registry nobody but our own nodes can
    // show it, so everybody is believed.
    private bool MayReceive(NodeEntry entry, int bytes)
    {
        if (!Has(BeaconRules.Amplification) || _directory is not { HasProofs: true } || entry.Verified || entry.Proven)
        {
            return true;
        }

        if (entry.Received < bytes)
        {
            Counters.CountUnverified(1);
            return false;
        }

        entry.Received -= bytes;
        return true;
    }
}
