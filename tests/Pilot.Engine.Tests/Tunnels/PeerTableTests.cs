using Pilot.Engine.Trust;
using Pilot.Protocol;
using Xunit;

namespace Pilot.Engine.Tests.Tunnels;

/// <summary>A full table of peers: who goes, and what it costs.</summary>
public sealed class PeerTableTests
{
    private const int Capacity = 1000;
    private const uint Self = 1_000_000;

    private Instant _now = Instant.Origin + TimeSpan.FromSeconds(1);

    [Fact]
    public void TheLeastRecentlyUsedGoesAndTheTableIsNotLookedOverForEach()
    {
        var node = MakeNode();
        for (uint id = 1; id <= 3 * Capacity; id++)
        {
            Meet(node, id);
        }

        Assert.Equal(Capacity, node.PeerCount);
        Assert.Equal(Enumerable.Range(2 * Capacity + 1, Capacity), node.GetPeers(_now).Select(peer => (int)peer.NodeId));
        Assert.InRange(node.EvictionScans, 1, 2 * Capacity / 100);
    }

    [Fact]
    public void TrustedPeersGoLast()
    {
        var node = MakeNode();
        node.SetTrust(TrustSnapshot.Create([new TrustedPeer { NodeId = 1, ApprovedAt = DateTimeOffset.UnixEpoch }], [], []));
        for (uint id = 1; id <= 2 * Capacity; id++)
        {
            Meet(node, id);
        }

        var ids = node.GetPeers(_now).Select(peer => peer.NodeId).ToArray();
        Assert.Equal(Capacity, ids.Length);
        Assert.Contains(1u, ids);
        Assert.DoesNotContain(2u, ids);
    }

    [Fact]
    public void WhoeverIsInUseStays()
    {
        var node = MakeNode();
        for (uint id = 1; id <= Capacity; id++)
        {
            Meet(node, id);
        }

        Assert.NotNull(node.Dial(_now, 5, 80, TimeSpan.FromMinutes(5), out _));
        Meet(node, Capacity + 1); // chooses the next ones to go, among them 9
        Assert.NotNull(node.Dial(_now, 9, 80, TimeSpan.FromMinutes(5), out _));
        for (uint id = Capacity + 2; id <= 2 * Capacity; id++)
        {
            Meet(node, id);
        }

        var ids = node.GetPeers(_now).Select(peer => peer.NodeId).ToArray();
        Assert.Equal(Capacity, ids.Length);
        Assert.Contains(5u, ids);
        Assert.Contains(9u, ids);
        Assert.DoesNotContain(6u, ids);
    }

    [Fact]
    public void AConnectionIsFoundByItsIdUntilItIsGone()
    {
        var node = MakeNode();
        var connection = node.Dial(_now, 7, 80, TimeSpan.FromSeconds(5), out _)!;
        Assert.Same(connection, node.FindConnection(connection.Id));
        Assert.Equal(1, node.OpenConnectionCount);
        Assert.False(node.HasTunnel(7));

        connection.Abort(_now);
        node.Touch(_now, connection);

        Assert.Null(node.FindConnection(connection.Id));
        Assert.Equal(0, node.OpenConnectionCount);
    }

    private static Node MakeNode()
    {
        var node = new Node(
            new NodeOptions { MaxPeers = Capacity }, new Identity(new byte[32]), new SeededRandom(1), Instant.Origin, DateTimeOffset.UnixEpoch.AddDays(20_000));
        node.SetRegistered(Instant.Origin, Self);
        return node;
    }

    /// <summary>The user wants to reach a peer: it is in the table from now on.</summary>
    private void Meet(Node node, uint id)
    {
        _now += TimeSpan.FromMilliseconds(1);
        node.Ping(_now, id, id, TimeSpan.FromMinutes(10));
        while (node.TryGetEvent(out _))
        {
        }
    }
}
