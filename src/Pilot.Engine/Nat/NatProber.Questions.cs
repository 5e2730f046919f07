using Pilot.Protocol;

namespace Pilot.Engine.Nat;

// What is asked, and what answers and silence mean.
internal sealed partial class NatProber
{
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
}
