using Pilot.Protocol;

namespace Pilot.Engine.Nat;

/// <summary>At which outside endpoints this socket was seen from which destinations, in the order in which they were first asked.</summary>
internal sealed class NatObservations
{
    private readonly List<(UdpEndpoint Destination, UdpEndpoint Observed, Instant At, int Order)> _seen = [];

    public void Clear() => _seen.Clear();

    /// <summary>Notes an observation; true when this destination saw us elsewhere before.</summary>
    public bool Add(Instant now, UdpEndpoint destination, UdpEndpoint observed, int order)
    {
        int index = _seen.FindIndex(s => s.Destination == destination);
        if (index >= 0)
        {
            bool moved = _seen[index].Observed != observed;
            _seen[index] = (destination, observed, now, order);
            return moved;
        }

        if (_seen.Count < NatConstants.MaxObservations)
        {
            _seen.Add((destination, observed, now, order));
        }

        return false;
    }

    /// <summary>The mapping behaviour that the fresh observations of a family prove; Unknown when there are fewer than two.</summary>
    public NatBehavior Mapping(Instant now, bool isIPv4)
    {
        bool sameAddress = false; // one address, two ports, one mapping: seen
        bool differs = false;
        bool compared = false;
        for (int i = 0; i < _seen.Count; i++)
        {
            for (int j = i + 1; j < _seen.Count; j++)
            {
                var (a, b) = (_seen[i], _seen[j]);
                if (a.Destination.IsIPv4 != isIPv4 || b.Destination.IsIPv4 != isIPv4 || now - a.At > NatConstants.Comparable || now - b.At > NatConstants.Comparable)
                {
                    continue;
                }

                compared = true;
                bool isSame = a.Observed == b.Observed;
                differs |= !isSame;
                if (a.Destination.Ip == b.Destination.Ip)
                {
                    if (!isSame)
                    {
                        return NatBehavior.AddressAndPortDependent;
                    }

                    sameAddress = true;
                }
            }
        }

        return !compared ? NatBehavior.Unknown
            : !differs ? NatBehavior.EndpointIndependent
            : sameAddress ? NatBehavior.AddressDependent
            : NatBehavior.AddressAndPortDependent; // two addresses see two mappings; nothing says that ports do not matter, so the stricter word
    }

    /// <summary>The next outside endpoints if the ports seen follow a constant step, else none.</summary>
    public IReadOnlyList<UdpEndpoint> Predict(int count)
    {
        if (_seen.Count < NatConstants.MinPortsInRow)
        {
            return [];
        }

        // The last ports decide: older mappings may stem from before other traffic.
        _seen.Sort(static (a, b) => a.Order.CompareTo(b.Order));
        var last = _seen[^1].Observed;
        int step = 0;
        int row = 1;
        for (int i = _seen.Count - 1; i > 0 && row < NatConstants.MinPortsInRow; i--)
        {
            int difference = _seen[i].Observed.Port - _seen[i - 1].Observed.Port;
            if (difference == 0 || Math.Abs(difference) > NatConstants.MaxPortStep || (step != 0 && difference != step) || _seen[i].Observed.Ip != last.Ip)
            {
                return [];
            }

            step = difference;
            row++;
        }

        if (row < NatConstants.MinPortsInRow)
        {
            return [];
        }

        var next = new List<UdpEndpoint>(count);
        for (int i = 1; i <= Math.Min(count, NatConstants.MaxPredicted); i++)
        {
            int port = last.Port + step * i;
            if (port is > 0 and <= ushort.MaxValue)
            {
                next.Add(last with { Port = (ushort)port });
            }
        }

        return next;
    }
}
