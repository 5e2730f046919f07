namespace Pilot.Engine.Tests.Simulation;

/// <summary>What one direction of a link does to datagrams. All chances are per datagram.</summary>
internal sealed record LinkProfile
{
    public static LinkProfile Clean { get; } = new();

    /// <summary>Propagation.</summary>
    public TimeSpan Delay { get; init; } = TimeSpan.FromMilliseconds(10);

    /// <summary>Up to this much more, without changing the order.</summary>
    public TimeSpan Jitter { get; init; }

    /// <summary>Independent loss.</summary>
    public double Loss { get; init; }

    /// <summary>Gilbert-Elliott: chance to enter the bad state.</summary>
    public double BurstStart { get; init; }

    /// <summary>Chance to leave it.</summary>
    public double BurstEnd { get; init; } = 0.4;

    /// <summary>Loss in it.</summary>
    public double BurstLoss { get; init; } = 0.8;

    /// <summary>Chance that a datagram is held back, so that later ones overtake it.</summary>
    public double Reorder { get; init; }

    /// <summary>How long at most.</summary>
    public TimeSpan ReorderBy { get; init; } = TimeSpan.FromMilliseconds(30);

    /// <summary>Chance that it arrives twice.</summary>
    public double Duplicate { get; init; }

    /// <summary>Chance that one to three bits flip.</summary>
    public double Corrupt { get; init; }

    /// <summary>Largest IP packet (UDP payload + 28); larger ones vanish.</summary>
    public int Mtu { get; init; } = 1500;

    /// <summary>Bytes per second; 0 for no limit.</summary>
    public double Bandwidth { get; init; }

    /// <summary>Bytes that wait in front of the bottleneck; further ones are dropped.</summary>
    public int QueueBytes { get; init; } = 64 * 1024;
}

/// <summary>One direction of a link, with its state.</summary>
internal sealed class SimLink(SimNetwork network, string name, SimRandom random)
{
    private bool _isBad;
    private Instant _busyUntil;
    private Instant _lastArrival;
    private Instant _downUntil;

    public LinkProfile Profile { get; set; } = LinkProfile.Clean;

    /// <summary>Nothing passes for a while.</summary>
    public void Blackout(TimeSpan length) => _downUntil = Instant.Max(_downUntil, network.Now + length);

    public void Carry(in SimDatagram datagram, Action<SimDatagram> deliver)
    {
        Instant now = network.Now;
        LinkProfile profile = Profile;
        if (now < _downUntil)
        {
            network.Log.Add(now, datagram, $"blackout {name}");
            return;
        }

        int size = datagram.Bytes.Length + 28;
        if (size > profile.Mtu)
        {
            network.Log.Add(now, datagram, $"mtu {name}");
            return;
        }

        Instant departure = now;
        if (profile.Bandwidth > 0)
        {
            departure = Instant.Max(now, _busyUntil);
            if ((departure - now).TotalSeconds * profile.Bandwidth > profile.QueueBytes)
            {
                network.Log.Add(now, datagram, $"queue {name}");
                return;
            }

            departure += TimeSpan.FromSeconds(size / profile.Bandwidth);
            _busyUntil = departure;
        }

        _isBad = _isBad ? !random.Chance(profile.BurstEnd) : random.Chance(profile.BurstStart);
        if (random.Chance(profile.Loss) || (_isBad && random.Chance(profile.BurstLoss)))
        {
            network.Log.Add(now, datagram, $"lost {name}");
            return;
        }

        SimDatagram carried = datagram;
        if (random.Chance(profile.Corrupt))
        {
            byte[] changed = [.. datagram.Bytes];
            for (int flips = 1 + random.Next(3); flips > 0; flips--)
            {
                changed[random.Next(changed.Length)] ^= (byte)(1 << random.Next(8));
            }

            carried = datagram with { Bytes = changed };
            network.Log.Add(now, datagram, $"corrupted {name}");
        }

        Instant arrival = departure + profile.Delay + profile.Jitter * random.NextDouble();
        if (random.Chance(profile.Reorder))
        {
            arrival += profile.ReorderBy * random.NextDouble();
        }
        else
        {
            arrival = _lastArrival = Instant.Max(arrival, _lastArrival);
        }

        network.Schedule(arrival, () => deliver(carried));
        if (random.Chance(profile.Duplicate))
        {
            network.Schedule(arrival + TimeSpan.FromMilliseconds(5) * random.NextDouble(), () => deliver(carried));
        }
    }
}
