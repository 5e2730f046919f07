using Pilot.Protocol;

namespace Pilot.Rendezvous.Beacon;

/// <summary>Where a relayed frame goes.</summary>
/// <param name="Destination">The node, or another beacon.</param>
/// <param name="IsDelivered">To a node: as RELAY_DELIVER. Otherwise to a beacon, unchanged.</param>
public readonly record struct RelayRoute(UdpEndpoint Destination, bool IsDelivered);

// Relay (spec 04 sections 3.5, 3.6 and 4.5).
public sealed partial class BeaconMachine
{
    private static readonly TimeSpan RefreshByRelay = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan StatusInterval = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan OverloadMemory = TimeSpan.FromSeconds(5);

    private DateTimeOffset _overloadedAt = DateTimeOffset.MinValue;

    /// <summary>Where frames go that came as RELAY; false when they are dropped, which is counted.</summary>
    /// <param name="now">Time.</param>
    /// <param name="source">Where they came from.</param>
    /// <param name="sender">The node that they name as their sender.</param>
    /// <param name="destination">The node that they are for.</param>
    /// <param name="datagrams">How many.</param>
    /// <param name="bytes">Their length together.</param>
    /// <param name="route">Where to.</param>
    public bool TryRoute(DateTimeOffset now, UdpEndpoint source, uint sender, uint destination, int datagrams, int bytes, out RelayRoute route)
    {
        route = default;
        bool fromBeacon = _peers.Contains(source);
        bool fromSender = TryGetFresh(now, sender, out NodeEntry? from) && from!.Source == source;
        if (Has(BeaconRules.RelaySource) && !fromBeacon && !fromSender)
        {
            Counters.CountSource(datagrams);
            return false;
        }

        if (!_relayed.TryTake(now, sender, bytes, out _))
        {
            Counters.CountQuota(datagrams);
            return false;
        }

        if (fromSender)
        {
            from!.Received = Math.Min(from.Received + bytes, int.MaxValue / 2);
            if (Has(BeaconRules.RelaySource) && now - from.RefreshedAt > RefreshByRelay)
            {
                // Who relays through us is there, even if its DISCOVERs drown in a flood.
                _nodes.Set(sender, source, from.Proven, now);
            }
        }

        bool local = TryGetFresh(now, destination, out NodeEntry? to);
        bool elsewhere = TryGetElsewhere(now, destination, out UdpEndpoint beacon);
        if (local && !(elsewhere && IsOlderThanRebind(now, to!)))
        {
            if (!MayReceive(to!, bytes))
            {
                return false;
            }

            route = new RelayRoute(to!.Source, IsDelivered: true);
        }
        else if (elsewhere && !(fromBeacon && Has(BeaconRules.PeerSource)))
        {
            route = new RelayRoute(beacon, IsDelivered: false);
        }
        else
        {
            Counters.CountUnknown(datagrams);
            return false;
        }

        Counters.CountRelayed(datagrams, bytes - ((long)datagrams * BeaconRelay.HeaderSize));
        return true;
    }

    /// <summary>Frames of this sender were dropped because too much waits: it is told, at most once per second.</summary>
    public void OnOverload(DateTimeOffset now, uint sender, int datagrams, IBeaconSink sink)
    {
        ArgumentNullException.ThrowIfNull(sink);
        Counters.CountOverload(datagrams);
        _overloadedAt = now;
        if (!_nodes.TryGet(sender, out NodeEntry? entry) || entry.Token == 0 || !entry.Verified)
        {
            return;
        }

        entry.Dropped += datagrams;
        if (now - entry.ToldAt >= StatusInterval)
        {
            Span<byte> message = stackalloc byte[BeaconRelayStatus.Size];
            sink.Send(entry.Source, message[..new BeaconRelayStatus(entry.Token, (uint)entry.Dropped).Write(message)]);
            entry.ToldAt = now;
            entry.Dropped = 0;
        }
    }

    /// <summary>Frames were dropped for want of time in the last seconds.</summary>
    public bool IsOverloaded(DateTimeOffset now) => now - OverloadMemory < _overloadedAt;

    private void HandleRelay(DateTimeOffset now, UdpEndpoint source, ReadOnlySpan<byte> datagram, IBeaconSink sink)
    {
        if (!BeaconRelay.TryParse(datagram, out BeaconRelay relay)
            || !TryRoute(now, source, relay.Sender, relay.Destination, 1, datagram.Length, out RelayRoute route))
        {
            return;
        }

        if (!route.IsDelivered)
        {
            sink.Send(route.Destination, datagram);
            return;
        }

        int length = BeaconRelayDeliver.WriteHeader(_scratch, relay.Sender);
        relay.Frame.CopyTo(_scratch.AsSpan(length));
        sink.Send(route.Destination, _scratch.AsSpan(0, length + relay.Frame.Length));
    }
}
