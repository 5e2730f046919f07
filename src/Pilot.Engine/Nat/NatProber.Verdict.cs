using Pilot.Protocol;

namespace Pilot.Engine.Nat;

// From observations to the NAT's type.
internal sealed partial class NatProber
{
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
