using Pilot.Engine;
using Pilot.Ipc;
using Pilot.Protocol;

namespace Pilot.Daemon.PortMapping;

/// <summary>
/// Asks a gateway in all protocols at once which of them it speaks, then has the mapping made by the best one that answered: two protocols
/// often work on one table, where a second mapping, or its deletion, would hit the first. When that one fails, the next.
/// </summary>
internal sealed class PortMappingMachine(UdpEndpoint gateway, IReadOnlyList<PortMapper> mappers)
{
    private readonly HashSet<PortMapper> _failed = [];
    private PortMapper? _active;
    private Instant _patientUntil = Instant.Never;
    private Instant _nextRound = Instant.Never;
    private bool _isPatient;
    private bool _isReleasing;

    /// <summary>The preferred one first.</summary>
    public IReadOnlyList<PortMapper> Mappers { get; } = [.. mappers.OrderBy(mapper => mapper.Protocol)];

    /// <summary>Nothing is left to release.</summary>
    public bool IsReleased => _isReleasing && _active is not { State: MapperState.Releasing };

    public Instant NextDeadline
    {
        get
        {
            var next = Instant.Min(_patientUntil, _nextRound);
            foreach (var mapper in Mappers)
            {
                next = Instant.Min(next, mapper.NextDeadline);
            }

            return next;
        }
    }

    public PortMappingStatus Status
    {
        get
        {
            var shown = _active ?? Mappers.FirstOrDefault(mapper => mapper.Error.Length > 0);
            var state = _active?.Lease is not null ? PortMappingState.Mapped
                : _active is not null || _nextRound == Instant.Never ? PortMappingState.Asking
                : shown is not null ? PortMappingState.Refused
                : PortMappingState.NoAnswer;
            return new PortMappingStatus(state, shown is null ? string.Empty : Word(shown.Protocol), gateway, _active?.Lease, shown?.Error ?? string.Empty);
        }
    }

    public static string Word(PortMappingProtocol protocol) => protocol switch
    {
        PortMappingProtocol.Pcp => "pcp",
        PortMappingProtocol.NatPmp => "nat-pmp",
        _ => "upnp",
    };

    /// <summary>Begins a round: everything is asked anew.</summary>
    public void Start(Instant now)
    {
        _failed.Clear();
        _active = null;
        _nextRound = Instant.Never;
        (_isPatient, _patientUntil) = (true, now + PortMappingConstants.Patience);
        foreach (var mapper in Mappers)
        {
            mapper.Discover(now);
        }

        Choose(now);
    }

    /// <summary>Deletes the mapping; nothing new is asked from then on.</summary>
    public void Release(Instant now)
    {
        _isReleasing = true;
        _patientUntil = _nextRound = Instant.Never;
        _active?.Release(now);
    }

    public void HandleTimeout(Instant now)
    {
        foreach (var mapper in Mappers)
        {
            if (now >= mapper.NextDeadline)
            {
                mapper.HandleTimeout(now);
            }
        }

        if (now >= _nextRound && !_isReleasing)
        {
            Start(now);
        }
        else
        {
            Choose(now);
        }
    }

    /// <summary>To be called after a mapper took something in.</summary>
    public void Choose(Instant now)
    {
        if (_isReleasing)
        {
            return;
        }

        if (_active is { State: MapperState.Silent or MapperState.Refused } ended)
        {
            _failed.Add(ended);
            _active = null;
        }

        if (_active is not null || _nextRound != Instant.Never)
        {
            return;
        }

        if (now >= _patientUntil)
        {
            (_isPatient, _patientUntil) = (false, Instant.Never);
        }

        foreach (var mapper in Mappers)
        {
            if (mapper.State == MapperState.Available && !_failed.Contains(mapper))
            {
                (_isPatient, _patientUntil) = (false, Instant.Never);
                _active = mapper;
                mapper.Map(now);
                return;
            }

            if (mapper.State == MapperState.Asking && _isPatient)
            {
                return; // a better one may still answer
            }
        }

        if (Mappers.All(mapper => mapper.State is MapperState.Silent or MapperState.Refused || _failed.Contains(mapper)))
        {
            (_isPatient, _patientUntil) = (false, Instant.Never);
            _nextRound = now + PortMappingConstants.RoundInterval;
        }
    }
}
