using Pilot.Engine;
using Pilot.Protocol;

namespace Pilot.Daemon.PortMapping;

/// <summary>What NAT-PMP and PCP have in common: questions that are repeated, leases that are renewed, the gateway's epoch.</summary>
internal abstract class UdpMapper(UdpEndpoint server) : PortMapper
{
    private readonly RetryTimer _retry = new();
    private readonly GatewayEpoch _epoch = new();
    private Instant _renewAt = Instant.Never;
    private Instant _lastRound;

    /// <summary>Gateway address and server port.</summary>
    protected UdpEndpoint Server { get; } = server;

    public override Instant NextDeadline => Instant.Min(Instant.Min(_retry.Deadline, _renewAt), Lease?.ExpiresAt ?? Instant.Never);

    public override void Discover(Instant now)
    {
        Lease = null;
        Error = string.Empty;
        _renewAt = Instant.Never;
        State = MapperState.Asking;
        Begin(now);
    }

    public override void Map(Instant now)
    {
        State = MapperState.Mapping;
        Begin(now);
    }

    public override void Release(Instant now)
    {
        if (Lease is not null)
        {
            State = MapperState.Releasing;
            _renewAt = Instant.Never;
            Begin(now);
        }
        else
        {
            End(MapperState.Silent);
        }
    }

    public override void HandleTimeout(Instant now)
    {
        if (now >= _retry.Deadline)
        {
            if (_retry.TakeSend(now))
            {
                SendQuestion();
            }
            else
            {
                OnUnanswered(now);
            }
        }

        if (Lease is { } lease && now >= lease.ExpiresAt)
        {
            Error = "the mapping ran out and was not renewed";
            End(MapperState.Silent);
        }
        else if (now >= _renewAt)
        {
            _renewAt = Instant.Never;
            Begin(now);
        }
    }

    /// <summary>Sends the question that is open now.</summary>
    protected abstract void SendQuestion();

    /// <summary>The first question of a round; called before it is sent.</summary>
    protected virtual void BeginRound()
    {
    }

    /// <summary>A further question of the same round.</summary>
    protected void Ask(Instant now) => _retry.Start(now);

    protected void Granted(Instant now, UdpEndpoint external, uint lifetimeSeconds)
    {
        var lifetime = TimeSpan.FromSeconds(lifetimeSeconds);
        Lease = new PortLease(external, now, lifetime < PortMappingConstants.MaxLifetime ? lifetime : PortMappingConstants.MaxLifetime);
        Error = string.Empty;
        State = MapperState.Mapped;
        _retry.Stop();
        _renewAt = Lease.RenewAt;
    }

    protected void Refuse(Instant now, string error)
    {
        Error = error;
        _retry.Stop();
        if (State == MapperState.Releasing || Lease is null)
        {
            End(State == MapperState.Releasing ? MapperState.Silent : MapperState.Refused);
        }
        else
        {
            // The old mapping lives on until it runs out.
            _renewAt = NextTry(now, Lease);
        }
    }

    /// <summary>The gateway speaks this protocol: the answer to <see cref="Discover"/>.</summary>
    protected void Answered()
    {
        _retry.Stop();
        State = MapperState.Available;
    }

    protected void End(MapperState state)
    {
        Lease = null;
        _retry.Stop();
        _renewAt = Instant.Never;
        State = state;
    }

    /// <summary>Looks at an answer's or announcement's epoch: a gateway that lost its tables is asked again at once.</summary>
    protected void CheckEpoch(Instant now, uint epoch)
    {
        if (_epoch.IsBroken(now, epoch))
        {
            RenewSoon(now);
        }
    }

    /// <summary>Renews at once, but not more often than every few seconds: anybody on the link can forge an announcement.</summary>
    protected void RenewSoon(Instant now)
    {
        if (State == MapperState.Mapped && !_retry.IsRunning)
        {
            _renewAt = Instant.Min(_renewAt, Instant.Max(now, _lastRound + PortMappingConstants.MinRenewal));
        }
    }

    private void Begin(Instant now)
    {
        _lastRound = now;
        BeginRound();
        _retry.Start(now);
        HandleTimeout(now);
    }

    private void OnUnanswered(Instant now)
    {
        if (State == MapperState.Mapped && Lease is { } lease)
        {
            _renewAt = NextTry(now, lease);
        }
        else
        {
            End(MapperState.Silent);
        }
    }

    /// <summary>Half of what is left, as RFC 6887 section 11.2.1 has it.</summary>
    private static Instant NextTry(Instant now, PortLease lease)
    {
        var half = (lease.ExpiresAt - now) / 2;
        return now + (half > PortMappingConstants.MinRenewal ? half : PortMappingConstants.MinRenewal);
    }
}
