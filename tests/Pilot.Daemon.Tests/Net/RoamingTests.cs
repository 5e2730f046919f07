using System.Net.Sockets;
using System.Security.Cryptography;
using Microsoft.Extensions.Logging.Abstractions;
using Pilot.Daemon.Net;
using Pilot.Engine;
using Pilot.Ipc;
using Pilot.Protocol;

namespace Pilot.Daemon.Tests.Net;

/// <summary>Own addresses, and the tunnel socket that is opened again in place.</summary>
public sealed class RoamingTests
{
    private Instant _now = new(TimeSpan.TicksPerHour);

    [Theory]
    [InlineData("20010db8000000000000000000000001 02 40 00 80     eth0", "2001:db8::1")]
    [InlineData("2a010db8000000000000000000000001 02 40 00 01     eth0", "2a01:db8::1")] // temporary, in use
    [InlineData("20010db8000000000000000000000001 02 40 00 21     eth0", null)] // temporary, deprecated
    [InlineData("20010db8000000000000000000000001 02 40 00 40     eth0", null)] // not checked yet
    [InlineData("20010db8000000000000000000000001 02 40 00 c8     eth0", null)] // somebody else has it
    [InlineData("fe8000000000000000fc00fffe000001 04 40 20 80     eth0", null)]
    [InlineData("fd000000000000000000000000000002 04 40 00 82     eth0", null)]
    [InlineData("00000000000000000000000000000001 01 80 10 80       lo", null)]
    [InlineData("", null)]
    public void Only_usable_global_ipv6_addresses_are_told(string line, string? address)
    {
        Assert.Equal(address is not null, HostAddresses.TryParseLine(line, out var endpoint));
        Assert.True(address is null || endpoint.IpText() == address);
    }

    [Fact]
    public void Of_what_a_peer_registered_the_reachable_rest_is_tried()
    {
        var own = OwnEndpoints.Nothing with { Global = [Endpoint("[2001:db8::1]:4000")], Seen = Endpoint("203.0.113.1:4000") };
        string[] told = ["192.168.1.5:4000", "203.0.113.9:4000", "203.0.113.8:4100", "100.64.0.1:4000", "[2001:db8::2]:4000", "[fd00::2]:4000", "[2001:db8::1]:4000", "203.0.113.1:4000", "203.0.113.7:0", "x", "127.0.0.1:1"];
        Assert.Equal([Endpoint("203.0.113.8:4100"), Endpoint("[2001:db8::2]:4000")], PeerEndpoints.Others(told, Endpoint("203.0.113.9:4000"), own));
        Assert.Equal([Endpoint("203.0.113.8:4100")], PeerEndpoints.Others(told, Endpoint("203.0.113.9:4000"), own with { Global = [] }));
        Assert.Equal(4, PeerEndpoints.Others(Enumerable.Range(1, 20).Select(i => $"203.0.113.{i}:1"), null, OwnEndpoints.Nothing).Count);
    }

    [Fact]
    public void What_is_registered_as_lan_addresses_has_room_for_the_other_endpoints()
    {
        var lan = Enumerable.Range(1, 16).Select(i => Endpoint($"10.0.0.{i}:4000")).ToArray();
        var own = OwnEndpoints.Nothing with { Lan = lan, Global = [Endpoint("[2001:db8::1]:4000")], Mapped = Endpoint("203.0.113.8:4100") };
        Assert.Equal([.. lan.Take(14), own.Mapped!.Value, own.Global[0]], own.ToRegisterAsLan);
    }

    [Fact]
    public void The_watchdog_opens_the_socket_again_then_elsewhere_then_ends_the_process()
    {
        var watchdog = new SocketWatchdog(_now, isSupervised: true, sinceLastExit: null);
        _now += SocketWatchdog.MinUptime;
        var sample = new WatchdogSample(1000, 500, IsRegistryConnected: true, HasStreams: true);
        Assert.Equal(WatchdogAction.None, watchdog.Look(_now, sample));
        Assert.Equal((WatchdogAction.Rebind, 180), Next(watchdog, ref sample));
        Assert.Equal((WatchdogAction.RebindElsewhere, 180), Next(watchdog, ref sample));
        Assert.Equal((WatchdogAction.Exit, 180), Next(watchdog, ref sample));
    }

    [Theory]
    [InlineData(false, true, null)] // nobody would start it again
    [InlineData(true, false, null)] // nobody waits
    [InlineData(true, true, 60)] // the last exit did not help
    public void It_does_not_end_the_process_where_that_helps_nobody_and_waits_longer_each_time(bool isSupervised, bool hasStreams, int? minutesSinceExit)
    {
        var watchdog = new SocketWatchdog(_now, isSupervised, minutesSinceExit is { } minutes ? TimeSpan.FromMinutes(minutes) : null);
        _now += SocketWatchdog.MinUptime;
        var sample = new WatchdogSample(1000, 500, true, hasStreams);
        watchdog.Look(_now, sample);
        Next(watchdog, ref sample);
        Next(watchdog, ref sample);
        Assert.Equal((WatchdogAction.RebindElsewhere, 180), Next(watchdog, ref sample));
        Assert.Equal((WatchdogAction.RebindElsewhere, 360), Next(watchdog, ref sample));
        Assert.Equal((WatchdogAction.RebindElsewhere, 720), Next(watchdog, ref sample));
    }

    [Fact]
    public void It_keeps_still_without_traffic_without_registry_after_a_sign_of_life_and_when_nothing_ever_came()
    {
        var watchdog = new SocketWatchdog(_now, true, null);
        Assert.Equal(WatchdogAction.None, Look(0, 0, true));
        Assert.Equal(WatchdogAction.None, Look(1000, 0, true)); // never worked: no socket's fault
        Assert.Equal(WatchdogAction.None, Look(1000, 5, true));
        Assert.Equal(WatchdogAction.None, Look(1029, 5, true)); // 29 sent
        Assert.Equal(WatchdogAction.None, Look(1100, 5, false)); // the whole network is away
        Assert.Equal(WatchdogAction.None, Look(1200, 6, true));
        Assert.Equal(WatchdogAction.Rebind, Look(1300, 6, true));
        Assert.Equal(WatchdogAction.None, Look(1400, 7, true)); // it helped
        Assert.Equal(WatchdogAction.Rebind, Look(1500, 7, true));

        WatchdogAction Look(long sent, long received, bool isConnected)
        {
            _now += SocketWatchdog.Silence;
            return watchdog.Look(_now, new WatchdogSample(sent, received, isConnected, true));
        }
    }

    [Fact]
    public async Task A_change_of_addresses_is_told_once()
    {
        var addresses = new HostAddresses([Endpoint("10.0.0.1:1")], [], []);
        var told = System.Threading.Channels.Channel.CreateUnbounded<HostAddresses>();
        var watch = new NetworkWatch(() => Volatile.Read(ref addresses), now => told.Writer.TryWrite(now), NullLogger.Instance);
        using var stop = new CancellationTokenSource();
        var first = addresses;
        var run = Task.Run(() => watch.RunAsync(first, null, stop.Token));
        watch.Signal();
        var next = new HostAddresses([Endpoint("10.0.1.1:1")], [], []);
        Volatile.Write(ref addresses, next);
        watch.Signal();
        Assert.Same(next, await told.Reader.ReadAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(20)));
        watch.Signal();
        await stop.CancelAsync();
        await run.WaitAsync(TimeSpan.FromSeconds(20));
        Assert.False(told.Reader.TryRead(out _));
    }

    [Fact]
    public async Task The_list_of_addresses_is_made_only_when_the_fingerprint_changed()
    {
        var addresses = new HostAddresses([], [], []);
        var lists = 0;
        var looks = System.Threading.Channels.Channel.CreateUnbounded<int>();
        var calls = 0;
        var watch = new NetworkWatch(
            () =>
            {
                lists++;
                return addresses;
            },
            _ => { },
            NullLogger.Instance,
            () =>
            {
                looks.Writer.TryWrite(lists);
                return calls++ < 5 ? 1UL : 2UL;
            },
            TimeSpan.FromMilliseconds(1));
        using var stop = new CancellationTokenSource();
        var run = Task.Run(() => watch.RunAsync(addresses, null, stop.Token));
        foreach (var made in new[] { 0, 1, 1, 1, 1, 1, 2, 2 }) // by the first look, and by the one that saw another fingerprint
        {
            Assert.Equal(made, await looks.Reader.ReadAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(20)));
        }

        await stop.CancelAsync();
        await run.WaitAsync(TimeSpan.FromSeconds(20));
    }

    [Fact]
    public void The_fingerprint_leaves_no_garbage()
    {
        if (!OperatingSystem.IsLinux())
        {
            Assert.Null(InterfaceFingerprint.Read());
            return;
        }

        var least = long.MaxValue;
        for (var i = 0; i < 5; i++)
        {
            var before = GC.GetAllocatedBytesForCurrentThread();
            Assert.NotNull(InterfaceFingerprint.Read());
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }

        Assert.Equal(0, least);
    }

    [Fact]
    public async Task A_stream_survives_that_the_socket_is_opened_again_on_another_port()
    {
        using var directory = new TempDirectory();
        await using var registry = new FakeRegistry();
        await using var a = await TestDaemon.StartAsync(TestDaemon.SettingsFor(directory["a"], registry.Address));
        await using var b = await TestDaemon.StartAsync(TestDaemon.SettingsFor(directory["b"], registry.Address) with { Public = true });
        using var stream = await a.ConnectAsync();
        var raw = await stream.CallAsync($$"""{"cmd":"dial","to":"{{b.NodeId}}","port":7}""");
        Assert.True(raw.Ok, raw.Error);
        await stream.SendAsync("before");
        Assert.Equal("before", System.Text.Encoding.UTF8.GetString(await stream.ReadAsync(6)));

        var port = a.Context.LocalEndpoint.Port;
        var keeper = new SocketKeeper(a.Settings, State(directory["elsewhere"]), a.Context.Host.Loop, a.Context.Own, NullLogger.Instance);
        await a.Context.Host.Loop.AskAsync(() =>
        {
            keeper.Rebind(elsewhere: true);
            return true;
        });
        Assert.NotEqual(port, a.Context.LocalEndpoint.Port);
        var data = RandomNumberGenerator.GetBytes(300_000);
        var sending = Task.Run(async () => await stream.SendAsync(Convert.ToBase64String(data)));
        var echoed = await stream.ReadAsync(400_000);
        await sending;
        Assert.Equal(Convert.ToBase64String(data), System.Text.Encoding.ASCII.GetString(echoed));
    }

    private static State.StateDirectory State(string path) => Daemon.State.StateDirectory.Open(Path.Combine(path, "identity.json"), Path.Combine(path, "s"));

    private static UdpEndpoint Endpoint(string text) => UdpEndpoint.TryParse(text, out var endpoint) ? endpoint : throw new FormatException(text);

    /// <summary>Half-minute looks with traffic but no answer until something is done; also the seconds that took.</summary>
    private (WatchdogAction Action, int Seconds) Next(SocketWatchdog watchdog, ref WatchdogSample sample)
    {
        for (var seconds = 30; ; seconds += 30)
        {
            _now += TimeSpan.FromSeconds(30);
            sample = sample with { Sent = sample.Sent + 10 };
            if (watchdog.Look(_now, sample) is var action and not WatchdogAction.None)
            {
                return (action, seconds);
            }
        }
    }
}
