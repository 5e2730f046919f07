using Pilot.Protocol;

namespace Pilot.Engine.Nat;

/// <summary>
/// Measures the NAT in front of the tunnel socket (docs/wire.md, "Measuring a NAT"): mapping from DISCOVERs to several destinations, filtering from
/// probes that a beacon of ours sends from elsewhere, hairpin, binding lifetime. Everything is authenticated by random tokens; nothing is concluded
/// from silence unless the beacon said that it sent something.
/// </summary>
internal sealed partial class NatProber(IRandomSource random)
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
}
