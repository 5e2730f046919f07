using Pilot.Daemon.Streams;
using Pilot.Engine;
using Pilot.Engine.Streams;
using Pilot.Ipc;
using Pilot.Protocol;

namespace Pilot.Daemon.Host;

/// <summary>Numbers of the engine at one moment.</summary>
internal sealed record EngineCounters(
    int Connections, int Peers, int Ports, long BytesSent, long BytesReceived, long PacketsSent, long PacketsReceived, long Encrypted, long DecryptionFailures);

/// <summary>Snapshots for status commands.</summary>
internal sealed partial class NodeHost
{
    private const int MaxListedWithPaths = 100; // each path takes up to 250 bytes more
    private const int MaxListed = 1000; // entries of a list; a line may have 1 MiB and an entry takes under 600 bytes

    private static readonly TimeSpan CounterInterval = TimeSpan.FromSeconds(1);
    private bool _isCountingSoon;
    private Action? _count; // made once: the timer is set every second of a transfer
    private EngineCounters _counters = new(0, 0, 0, 0, 0, 0, 0, 0, 0);

    /// <summary>Numbers at most a second old. From any thread.</summary>
    public EngineCounters LastCounters => Volatile.Read(ref _counters);

    /// <summary>Something happened: the numbers are taken again within a second. An idle daemon is not woken for it.</summary>
    public void CountSoon()
    {
        if (!_isCountingSoon)
        {
            _isCountingSoon = true;
            Loop.StartTimer(CounterInterval, _count ??= Count);
        }

        void Count()
        {
            _isCountingSoon = false;
            Volatile.Write(ref _counters, Counters());
        }
    }

    public EngineCounters Counters()
    {
        var statistics = Node.Statistics;
        return new EngineCounters(
            Node.OpenConnectionCount,
            Node.PeerCount,
            Node.ListenerCount,
            (long)statistics.BytesSent,
            (long)statistics.BytesReceived,
            (long)statistics.PacketsSent,
            (long)statistics.PacketsReceived,
            (long)statistics.Encrypted,
            (long)statistics.DecryptionFailures);
    }

    /// <summary>Whether there is a key for this peer now.</summary>
    public bool HasTunnel(uint nodeId) => Node.HasTunnel(nodeId);

    public PeersData Peers(Func<uint, bool> isTrusted)
    {
        var peers = Node.GetPeers(Now);
        return new PeersData { Peers = [.. peers.Take(MaxListed).Select(peer => Describe(peer, isTrusted, peers.Count <= MaxListedWithPaths))], Total = peers.Count };
    }

    /// <summary>The path to a peer now; <c>none</c> when there is no tunnel.</summary>
    public PathData PathTo(uint nodeId)
    {
        if (nodeId == Node.NodeId)
        {
            return new PathData { NodeId = nodeId, Path = PathName.Loopback, Endpoint = string.Empty, Used = true, Confirmed = true };
        }

        var peer = Node.GetPeers(Now).FirstOrDefault(peer => peer.NodeId == nodeId);
        var used = peer?.Paths.FirstOrDefault(path => path.IsUsed);
        return used is not null ? Describe(used) with { NodeId = nodeId }
            : peer?.Path is { } path ? new PathData { NodeId = nodeId, Path = PathText(path), Endpoint = path.Endpoint.ToString(), Via = ViaOf(path), Used = true, Confirmed = path.IsConfirmed, RttMs = path.Rtt?.TotalMilliseconds }
            : new PathData { NodeId = nodeId, Path = PathName.None, Endpoint = string.Empty };
    }

    /// <summary>The configured beacons as they answer, the one in use first; those without address last.</summary>
    public IReadOnlyList<BeaconData> Beacons(IReadOnlyList<string> configured)
    {
        var known = Node.Beacons.Select(beacon => new BeaconData
        {
            Name = BeaconNames.GetValueOrDefault(beacon.Endpoint) ?? beacon.Endpoint.ToString(),
            Endpoint = beacon.Endpoint.ToString(),
            Answering = beacon.IsAnswering,
            Current = beacon.IsCurrent,
            Extended = beacon.IsOurs,
            RttMs = beacon.Rtt?.TotalMilliseconds,
        }).ToList();
        var unresolved = configured.Select(Net.BeaconAddresses.NameOf).Where(name => !BeaconNames.Values.Contains(name))
            .Select(name => new BeaconData { Name = name, Endpoint = string.Empty, Answering = false, Current = false, Extended = false });
        return [.. known, .. unresolved];
    }

    public ConnectionsData Connections()
    {
        var all = Node.Connections.OrderBy(connection => connection.Id).ToArray();
        return new ConnectionsData { Connections = [.. all.Take(MaxListed).Select(DescribeConnection)], Total = all.Length };
    }

    public bool Disconnect(uint id)
    {
        if (Node.FindConnection(id) is not { } found || !IsActive(found))
        {
            return false;
        }

        found.Close(Now);
        Touch(found);
        return true;
    }

    public ConnResultData? Result(uint id)
    {
        if (_results.Find(id) is { } result)
        {
            return result;
        }

        if (Node.FindConnection(id) is not { } found)
        {
            return null;
        }

        var status = found.GetStatus();
        return new ConnResultData
        {
            ConnId = id,
            Open = true,
            Reason = "open",
            Error = string.Empty,
            BytesSent = status.BytesSent,
            BytesRecv = status.BytesReceived,
        };
    }

    private static bool IsActive(Connection connection) =>
        connection.State is ConnectionState.Established or ConnectionState.SynSent or ConnectionState.SynReceived or ConnectionState.FinWait or ConnectionState.CloseWait;

    private PathData Describe(PathDetail path) => new()
    {
        Path = PathText(path.Path),
        Endpoint = path.Path.Endpoint.ToString(),
        Via = ViaOf(path.Path),
        Used = path.IsUsed,
        Confirmed = path.Path.IsConfirmed,
        Failed = path.IsFailed,
        RttMs = path.Path.Rtt?.TotalMilliseconds,
        Loss = path.Loss,
        BytesSent = (long)path.BytesSent,
        BytesRecv = (long)path.BytesReceived,
    };

    private PeerData Describe(PeerStatus peer, Func<uint, bool> isTrusted, bool withPaths) => new()
    {
        NodeId = peer.NodeId,
        Endpoint = peer.Path?.Endpoint.ToString() ?? string.Empty,
        Encrypted = peer.IsEncrypted,
        Authenticated = peer.IsConfirmed,
        Path = peer.Path is { } path ? PathText(path) : PathName.None,
        RttMs = peer.Path?.Rtt?.TotalMilliseconds,
        Relay = peer.Path?.Kind == PathKind.Relay,
        Trusted = isTrusted(peer.NodeId),
        Hostname = HostnameOf(peer.NodeId),
        Address = PilotAddress.OfNode(peer.NodeId).ToString(),
        Via = peer.Path is { } used ? ViaOf(used) : null,
        Loss = peer.Paths.FirstOrDefault(detail => detail.IsUsed)?.Loss,
        BytesSent = (long)peer.BytesSent,
        BytesRecv = (long)peer.BytesReceived,
        Paths = withPaths ? [.. peer.Paths.Select(Describe)] : null,
    };

    private ConnectionData DescribeConnection(Connection connection)
    {
        var status = connection.GetStatus();
        return new ConnectionData
        {
            Id = status.Id,
            LocalPort = status.LocalPort,
            RemoteAddr = status.RemoteAddress.ToString(),
            RemotePort = status.RemotePort,
            State = status.State.ToStatusName(),
            CongWin = status.CongestionWindow,
            Ssthresh = status.SlowStartThreshold,
            InFlight = status.InFlight,
            SrttMs = (long)status.SmoothedRtt.TotalMilliseconds,
            RttvarMs = (long)status.RttVariation.TotalMilliseconds,
            Unacked = status.UnacknowledgedSegments,
            OooBuf = status.OutOfOrderRuns,
            PeerRecvWin = status.PeerReceiveWindow,
            RecvWin = status.ReceiveWindow,
            InRecovery = status.InRecovery,
            BytesSent = status.BytesSent,
            BytesRecv = status.BytesReceived,
            SegsSent = status.SegmentsSent,
            SegsRecv = status.SegmentsReceived,
            Retransmits = status.Retransmissions,
            FastRetx = status.FastRetransmissions,
            SackRecv = status.SackBlocksReceived,
            SackSent = status.SackBlocksSent,
            DupAcks = status.DuplicateAcknowledgements,
            Path = connection.RemoteAddress.Node == Node.NodeId ? PathName.Loopback : Node.PathOf(Now, connection) is { } path ? PathText(path) : PathName.None,
        };
    }
}
