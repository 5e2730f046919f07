using Pilot.Protocol;

namespace Pilot.Engine.Nat;

/// <summary>
/// Measures the NAT in front of the tunnel socket (docs/wire.md, "Measuring a NAT"): mapping from DISCOVERs to several destinations, filtering from
/// probes that a beacon of ours sends from elsewhere, hairpin, binding lifetime. Everything is authenticated by random tokens; nothing is concluded
/// from silence unless the beacon said that it sent something.
/// </summary>
internal sealed class NatProber(IRandomSource random)
{
    private readonly NatObservations _observations = new();
    private readonly List<NatQuestion> _questions = [];
    private readonly HashSet<UInt128> _contacted = [];
    private IReadOnlyList<UdpEndpoint> _local = [];
    private UdpEndpoint _beacon;
    private BeaconReplyExtension _reply;
    private TimeSpan _rtt;
    private UdpEndpoint? _mapping;
    private UdpEndpoint? _mappingV4;
    private UdpEndpoint? _mappingV6;
    private NatBehavior _mappingBehavior;
    private bool _isMappingConfirmed;
    private bool? _passesPort;
    private bool? _passesAddress;
    private bool? _hairpins;
    private TimeSpan? _lifetime;
    private int _silence;
    private Instant _measureAt = Instant.Never;
    private Instant _startedAt = Instant.Never;
    private Instant _answeredAt = Instant.Never;
    private UdpEndpoint _otherEndpoint; // asked only after the filter verdict: until then we have never sent there
    private Instant _changedAt;
    private bool _isUndecided;
    private int _askedMappings;

    /// <summary>The result so far.</summary>
    public NatReport Report { get; private set; } = NatReport.Nothing;

    /// <summary>Something differs between destinations: the main beacon should be asked again, to rule a moved mapping out.</summary>
    public bool WantsConfirmation { get; private set; }

    /// <summary>When <see cref="HandleTimeout"/> has something to do.</summary>
    public Instant Deadline
    {
        get
        {
            Instant next = Instant.Min(_measureAt, IsBlockedDue ? _startedAt + NatConstants.BlockedAfter : Instant.Never);
            foreach (NatQuestion question in _questions)
            {
                next = Instant.Min(next, question.NextAt);
            }

            return next;
        }
    }

    private bool IsBlockedDue => _startedAt != Instant.Never && _answeredAt == Instant.Never && Report.Type != NatType.Blocked;

    private bool IsLocal => _mapping is { } mapping && _local.Contains(mapping);

    /// <summary>How long the mapping stayed as it is; the keepalive may be slower for a stable one.</summary>
    public bool IsLongLived(Instant now) => _lifetime >= NatConstants.Silences[1] && now - _changedAt > NatConstants.Comparable;

    public void SetLocalEndpoints(IReadOnlyList<UdpEndpoint> endpoints)
    {
        _local = endpoints;
        Summarize();
    }

    /// <summary>Likely next outside endpoints of a NAT that hands ports out by a constant step; none when it does not, or is not symmetric.</summary>
    public IReadOnlyList<UdpEndpoint> Predicted(int count) => Report.Type == NatType.Symmetric ? _observations.Predict(count) : [];

    /// <summary>DISCOVER left for a beacon: its address is no longer a stranger's to our NAT.</summary>
    public void OnAsked(Instant now, UdpEndpoint beacon)
    {
        if (_startedAt == Instant.Never)
        {
            _startedAt = now;
        }

        if (_contacted.Count < NatConstants.MaxObservations)
        {
            _contacted.Add(beacon.Ip);
        }
    }

    /// <summary>No beacon answers any more.</summary>
    public void OnSilence(Instant now)
    {
        if (_answeredAt != Instant.Never)
        {
            _answeredAt = Instant.Never;
            _startedAt = now;
        }
    }

    /// <summary>A beacon's DISCOVER_REPLY; <paramref name="reply"/> when it is one of ours, <paramref name="isCurrent"/> when it is the one in use.</summary>
    public void OnReply(Instant now, UdpEndpoint beacon, UdpEndpoint observed, BeaconReplyExtension? reply, bool isCurrent, TimeSpan rtt)
    {
        _answeredAt = now;
        if (observed.IsIPv4)
        {
            _mappingV4 = observed;
        }
        else
        {
            _mappingV6 = observed;
        }

        if (_observations.Add(now, beacon, observed, order: 0))
        {
            Restart(now);
            _observations.Add(now, beacon, observed, order: 0);
        }

        if (isCurrent)
        {
            WantsConfirmation = false;
            bool isNew = _beacon != beacon || _mapping?.Ip != observed.Ip || _mapping?.Port != observed.Port;
            _beacon = beacon;
            _mapping = observed;
            _rtt = rtt;
            if (reply is { } extension)
            {
                _reply = extension;
                if (isNew || _measureAt == Instant.Never)
                {
                    Measure(now);
                }
            }
            else if (isNew)
            {
                // A reference beacon measures nothing; what an earlier one measured belonged to the earlier mapping.
                _reply = default;
                _questions.Clear();
                _measureAt = Instant.Never;
                _passesPort = _passesAddress = null;
                _mappingBehavior = NatBehavior.Unknown;
                if (!IsLocal)
                {
                    Ask(now, NatQuestionKind.Hairpin, observed);
                }
            }
        }

        Conclude(now);
    }

    /// <summary>Takes an answer to one of the questions, from wherever it comes; false when it is none.</summary>
    public bool OnDatagram(Instant now, UdpEndpoint source, ReadOnlySpan<byte> datagram)
    {
        if (BeaconProbeAnswer.TryParse(datagram, out BeaconProbeAnswer answer))
        {
            return OnProbeAnswer(now, source, answer);
        }

        if (HairpinProbe.TryParse(datagram, out HairpinProbe hairpin))
        {
            bool isOurs = Take(NatQuestionKind.Hairpin, hairpin.Token) is not null;
            if (isOurs)
            {
                _hairpins = true;
                Summarize();
            }

            return isOurs;
        }

        if (!BeaconReplyExtension.TryParse(datagram, out BeaconReplyExtension reply) || !BeaconDiscoverReply.TryParse(datagram, out BeaconDiscoverReply plain))
        {
            return false;
        }

        int index = _questions.FindIndex(q => q.Token == reply.Token && q.To == source && q.Kind is NatQuestionKind.Mapping or NatQuestionKind.SilenceStart);
        if (index < 0)
        {
            return false;
        }

        NatQuestion question = _questions[index];
        _questions.RemoveAt(index);
        if (question.Kind == NatQuestionKind.SilenceStart)
        {
            TimeSpan silence = Silence;
            _questions.Add(new NatQuestion(NatQuestionKind.SilenceEnd, _beacon, NewToken(), now + silence)
            {
                Probe = BeaconProbeKind.ToldPort,
                Endpoint = plain.Observed,
                Cookie = reply.Cookie,
            });
            return true;
        }

        if (_observations.Add(now, source, plain.Observed, question.Order))
        {
            // A further port saw us move: so did, or will, the main one.
            WantsConfirmation = true;
        }

        Conclude(now);
        return true;
    }

    public void HandleTimeout(Instant now, ControlQueue output)
    {
        if (IsBlockedDue && now >= _startedAt + NatConstants.BlockedAfter)
        {
            Report = Report with { Type = NatType.Blocked };
        }

        if (now >= _measureAt)
        {
            _measureAt = Instant.Never;
            if (_isUndecided)
            {
                Measure(now);
            }
            else
            {
                MeasureMapping(now);
                _measureAt = now + random.Jitter(NatConstants.Again);
            }
        }

        Span<byte> message = stackalloc byte[BeaconDiscoverExtension.Size];
        for (int i = _questions.Count - 1; i >= 0; i--)
        {
            NatQuestion question = _questions[i];
            if (now < question.NextAt)
            {
                continue;
            }

            if (question.Asked >= NatConstants.Steps.Length)
            {
                _questions.RemoveAt(i);
                OnUnanswered(now, question);
                continue;
            }

            output.Enqueue(question.To, message[..Write(question, message)]);
            if (question.Kind is NatQuestionKind.Mapping)
            {
                question.Order = question.Asked == 0 ? ++_askedMappings : question.Order;
                if (_contacted.Count < NatConstants.MaxObservations)
                {
                    _contacted.Add(question.To.Ip);
                }
            }

            question.Asked++;
            question.NextAt = now + (question.Asked < NatConstants.Steps.Length
                ? NatConstants.Steps[question.Asked] - NatConstants.Steps[question.Asked - 1]
                : NatConstants.Verdict + _rtt * 2);
        }

        Conclude(now);
    }

    private TimeSpan Silence => _silence < 0 ? NatConstants.ShortSilence : NatConstants.Silences[_silence];

    private static int Write(NatQuestion question, Span<byte> message) => question.Kind switch
    {
        NatQuestionKind.Mapping or NatQuestionKind.SilenceStart => BeaconDiscoverExtension.Write(message, 0, question.Token, 0, null),
        NatQuestionKind.Hairpin => new HairpinProbe(question.Token).Write(message),
        _ => new BeaconProbe(question.Probe, question.Token, question.Cookie, question.Endpoint).Write(message),
    };

    /// <summary>The mapping changed: what was compared before no longer belongs together. The last verdict stands until the next.</summary>
    private void Restart(Instant now)
    {
        _observations.Clear();
        _questions.Clear();
        _contacted.Clear();
        _isMappingConfirmed = false;
        _measureAt = Instant.Never;
        _changedAt = now;
        _otherEndpoint = default;
    }

    private void Measure(Instant now)
    {
        _questions.Clear();
        _isUndecided = false;
        _contacted.Add(_beacon.Ip);
        _passesPort = _passesAddress = null;
        if ((_reply.Capabilities & BeaconCapabilities.OtherPort) != 0)
        {
            AskProbe(now, NatQuestionKind.FilterPort, BeaconProbeKind.OtherPort);
        }

        _otherEndpoint = _reply.OtherEndpoint;
        if ((_reply.Capabilities & BeaconCapabilities.OtherAddress) != 0)
        {
            AskProbe(now, NatQuestionKind.FilterAddress, BeaconProbeKind.OtherAddress);
        }
        else if ((_reply.Capabilities & BeaconCapabilities.OtherBeacon) != 0)
        {
            AskProbe(now, NatQuestionKind.FilterAddress, BeaconProbeKind.OtherBeacon);
        }

        MeasureMapping(now);
        if (!IsLocal)
        {
            Ask(now, NatQuestionKind.Hairpin, _mapping!.Value);
        }

        _silence = 0;
        _lifetime = null;
        _measureAt = now + random.Jitter(NatConstants.Again);
    }

    private void MeasureMapping(Instant now)
    {
        foreach (ushort port in (ReadOnlySpan<ushort>)[_reply.Port1, _reply.Port2, _reply.Port3])
        {
            if (port != 0 && port != _beacon.Port)
            {
                Ask(now, NatQuestionKind.Mapping, _beacon with { Port = port });
            }
        }

        AskOtherEndpoint(now);
    }

    private void AskOtherEndpoint(Instant now)
    {
        if (_otherEndpoint.Port != 0 && _otherEndpoint.IsIPv4 == _beacon.IsIPv4 && !_questions.Exists(static q => q.Kind == NatQuestionKind.FilterAddress))
        {
            Ask(now, NatQuestionKind.Mapping, _otherEndpoint);
        }
    }

    private void Ask(Instant now, NatQuestionKind kind, UdpEndpoint to)
    {
        if (!_questions.Exists(q => q.Kind == kind && q.To == to))
        {
            // The order of first asking is the order in which the NAT makes mappings; it is kept by asking from the back.
            _questions.Insert(0, new NatQuestion(kind, to, NewToken(), now));
        }
    }

    private void AskProbe(Instant now, NatQuestionKind kind, BeaconProbeKind probe) =>
        _questions.Insert(0, new NatQuestion(kind, _beacon, NewToken(), now) { Probe = probe, Endpoint = _mapping!.Value, Cookie = _reply.Cookie });

    private ulong NewToken() => ((ulong)random.NextUInt32() << 32) | random.NextUInt32();

    private NatQuestion? Take(NatQuestionKind kind, ulong token)
    {
        int index = _questions.FindIndex(q => q.Kind == kind && q.Token == token);
        if (index < 0)
        {
            return null;
        }

        NatQuestion question = _questions[index];
        _questions.RemoveAt(index);
        return question;
    }

    private bool OnProbeAnswer(Instant now, UdpEndpoint source, BeaconProbeAnswer answer)
    {
        int index = _questions.FindIndex(q => q.Token == answer.Token && q.Probe == answer.Kind);
        if (index < 0)
        {
            return false;
        }

        NatQuestion question = _questions[index];
        if (answer.Prober is { } prober)
        {
            question.IsNoted |= source == question.To;
            question.IsFromKnownAddress |= _contacted.Contains(prober.Ip);
            return source == question.To;
        }

        _questions.RemoveAt(index);
        switch (question.Kind)
        {
            case NatQuestionKind.SilenceEnd:
                _lifetime = Silence;
                if (_silence >= 0 && _silence + 1 < NatConstants.Silences.Length)
                {
                    _silence++;
                    StartSilence(now);
                }

                break;
            default:
                _passesPort = true;
                if (!_contacted.Contains(source.Ip))
                {
                    _passesAddress = true;
                }

                break;
        }

        AfterFilter(now, question);
        Conclude(now);
        return true;
    }

    private void OnUnanswered(Instant now, NatQuestion question)
    {
        switch (question.Kind)
        {
            case NatQuestionKind.FilterPort when question.IsNoted:
                _passesPort = false;
                break;
            case NatQuestionKind.FilterAddress when question.IsNoted && question.IsFromKnownAddress:
                _passesPort = false;
                break;
            case NatQuestionKind.FilterAddress when question.IsNoted:
                _passesAddress = false;
                break;
            case NatQuestionKind.FilterPort or NatQuestionKind.FilterAddress:
                // Neither the probe nor the note: lost on the way. Nothing is known; asked again.
                _measureAt = Instant.Min(_measureAt, now + NatConstants.Retry);
                _isUndecided = true;
                break;
            case NatQuestionKind.Hairpin:
                _hairpins = false;
                break;
            case NatQuestionKind.SilenceEnd when question.IsNoted && _silence == 0:
                _silence = -1;
                StartSilence(now);
                break;
        }

        AfterFilter(now, question);
    }

    private void AfterFilter(Instant now, NatQuestion question)
    {
        if (question.Kind is NatQuestionKind.FilterAddress)
        {
            AskOtherEndpoint(now);
        }

        if (question.Kind is NatQuestionKind.FilterAddress or NatQuestionKind.FilterPort && _lifetime is null && _silence == 0)
        {
            StartSilence(now);
        }
    }

    // The told port is a destination of its own where the NAT filters or maps by ports: there, silence can be tried without letting the tunnel's own mapping die.
    private void StartSilence(Instant now)
    {
        bool isSeparate = _passesPort == false || _mappingBehavior == NatBehavior.AddressAndPortDependent;
        if (_reply.Port1 != 0 && isSeparate && !IsLocal && !_questions.Exists(static q => q.Kind is NatQuestionKind.SilenceStart or NatQuestionKind.SilenceEnd))
        {
            Ask(now, NatQuestionKind.SilenceStart, _beacon with { Port = _reply.Port1 });
        }
    }

    private void Conclude(Instant now)
    {
        if (_mapping is not { } mapping || _questions.Exists(static q => q.Kind == NatQuestionKind.Mapping))
        {
            Summarize();
            return;
        }

        NatBehavior behavior = _observations.Mapping(now, mapping.IsIPv4);
        if (behavior is NatBehavior.AddressDependent or NatBehavior.AddressAndPortDependent && _mappingBehavior != behavior && !_isMappingConfirmed)
        {
            // Perhaps the mapping moved between two answers: the beacon is asked again, and its old view must stand.
            _isMappingConfirmed = true;
            WantsConfirmation = true;
        }
        else if (!WantsConfirmation && behavior != NatBehavior.Unknown)
        {
            _mappingBehavior = behavior;
        }

        Summarize();
    }

    private void Summarize()
    {
        if (_mapping is null)
        {
            return;
        }

        bool isLocal = IsLocal;
        NatBehavior mappingBehavior = isLocal ? NatBehavior.EndpointIndependent : _mappingBehavior;
        NatBehavior filtering = _passesAddress == true ? NatBehavior.EndpointIndependent
            : _passesPort == false ? NatBehavior.AddressAndPortDependent
            : _passesPort == true && _passesAddress == false ? NatBehavior.AddressDependent
            : NatBehavior.Unknown;
        if (isLocal && filtering == NatBehavior.Unknown && _passesPort == true)
        {
            // A host's own filter goes by connections, that is by address and port; without a NAT nothing that filters by address alone is left.
            filtering = NatBehavior.EndpointIndependent;
        }

        NatType type = _answeredAt == Instant.Never && Report.Type == NatType.Blocked ? NatType.Blocked
            : mappingBehavior is NatBehavior.AddressDependent or NatBehavior.AddressAndPortDependent ? NatType.Symmetric
            : mappingBehavior == NatBehavior.Unknown ? NatType.Unknown
            : filtering switch
            {
                NatBehavior.EndpointIndependent => isLocal ? NatType.Open : NatType.FullCone,
                NatBehavior.AddressDependent => NatType.RestrictedCone,
                NatBehavior.AddressAndPortDependent => NatType.PortRestrictedCone,
                _ => NatType.Unknown,
            };
        bool? preserves = _local.Count == 0 ? null : _mapping is { } mapping && _local[0].Port == mapping.Port;
        var report = new NatReport(type, mappingBehavior, filtering, preserves, isLocal ? null : _hairpins, _lifetime, _mappingV4, _mappingV6);
        if (report != Report)
        {
            Report = report;
        }
    }
}
