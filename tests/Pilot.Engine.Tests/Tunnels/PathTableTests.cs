using Pilot.Engine.Paths;
using Pilot.Protocol;

namespace Pilot.Engine.Tests.Tunnels;

public sealed class PathTableTests
{
    private static readonly Instant Now = new(TimeSpan.TicksPerHour);
    private static readonly UdpEndpoint Public = UdpEndpoint.FromIPv4(0xC633_6401, 61914);
    private static readonly UdpEndpoint Inside = UdpEndpoint.FromIPv4(0xC0A8_010B, 35668);

    /// <summary>The peer's frame came from its inside address before it was told as one: the path is the LAN's all the same, and is taken.</summary>
    [Fact]
    public void A_path_that_was_seen_first_and_told_later_is_of_the_told_kind()
    {
        PathTable table = new();
        table.Add(PathKind.Direct, Public, Now).OnPong(Now, TimeSpan.FromMilliseconds(1));
        PeerPath seen = table.Add(PathKind.Direct, Inside, Now);
        seen.OnPong(Now, TimeSpan.FromMilliseconds(1));
        seen.IsPunched = true;
        table.Choose(Now);
        Assert.Equal(Public, table.Best!.Endpoint);

        Assert.Same(seen, table.AddTold(PathKind.Lan, Inside, Now));
        Assert.Equal(PathKind.Lan, seen.Kind);
        Assert.False(seen.IsPunched);
        Assert.True(table.Choose(Now));
        Assert.Same(seen, table.Best);
    }

    [Fact]
    public void A_known_kind_gets_no_worse_and_a_relay_stays_one()
    {
        PathTable table = new();
        PeerPath lan = table.AddTold(PathKind.Lan, Inside, Now)!;
        Assert.Same(lan, table.AddTold(PathKind.Direct, Inside, Now));
        Assert.Same(lan, table.Add(PathKind.Direct, Inside, Now));
        Assert.Equal(PathKind.Lan, lan.Kind);

        PeerPath relay = table.Add(PathKind.Relay, Public, Now);
        PeerPath direct = table.AddTold(PathKind.Direct, Public, Now)!;
        Assert.NotSame(relay, direct);
        Assert.Equal(PathKind.Relay, relay.Kind);
    }
}
