using System.Globalization;
using System.Net;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Pilot.Rendezvous.Beacon;
using Pilot.Rendezvous.Server;

namespace Pilot.Rendezvous.Cluster;

/// <summary>The stand-alone beacon's health endpoint (spec 04 section 4.4): <c>/healthz</c> for balancers, <c>/metrics</c> with its counters.</summary>
internal sealed class BeaconHealth : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    private readonly WebApplication _app;
    private readonly BeaconSocket _beacon;
    private readonly BeaconMachine _machine;
    private long _turns;
    private long _seenAt;

    private BeaconHealth(WebApplication app, BeaconSocket beacon, BeaconMachine machine)
    {
        _app = app;
        _beacon = beacon;
        _machine = machine;
        _seenAt = Environment.TickCount64;
    }

    /// <summary>False from the moment that the beacon is asked to stop.</summary>
    public bool IsServing { get; set; } = true;

    public IPEndPoint EndPoint { get; private set; } = new(IPAddress.None, 0);

    public static async Task<BeaconHealth> StartAsync(IPEndPoint address, BeaconSocket beacon, BeaconMachine machine)
    {
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.Logging.ClearProviders();
        Microsoft.AspNetCore.Server.Kestrel.Core.ListenOptions? listening = null;
        builder.WebHost.UseKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            TcpPorts.Listen(kestrel, address, listen => listening = listen);
        });
        WebApplication app = builder.Build();
        var health = new BeaconHealth(app, beacon, machine);
        app.Run(health.ServeAsync);
        await app.StartAsync().ConfigureAwait(false);
        health.EndPoint = listening!.IPEndPoint!;
        return health;
    }

    public async ValueTask DisposeAsync()
    {
        await _app.StopAsync().ConfigureAwait(false);
        await _app.DisposeAsync().ConfigureAwait(false);
    }

    private Task ServeAsync(HttpContext context)
    {
        context.Response.ContentType = "text/plain; charset=utf-8";
        switch (context.Request.Path.Value)
        {
            case "/healthz":
                bool healthy = IsServing && IsTurning();
                context.Response.StatusCode = healthy ? StatusCodes.Status200OK : StatusCodes.Status503ServiceUnavailable;
                return context.Response.WriteAsync(healthy ? "ok" : "unhealthy");
            case "/metrics":
                return context.Response.WriteAsync(Metrics());
            default:
                context.Response.StatusCode = StatusCodes.Status404NotFound;
                return context.Response.WriteAsync("not found");
        }
    }

    // The beacon's thread turns at least five times a second; one that stands still serves nobody.
    private bool IsTurning()
    {
        long turns = _beacon.Turns;
        if (Interlocked.Exchange(ref _turns, turns) != turns)
        {
            _seenAt = Environment.TickCount64;
        }

        return Environment.TickCount64 - _seenAt < Patience.TotalMilliseconds;
    }

    private string Metrics()
    {
        BeaconCounters c = _machine.Counters;
        var text = new StringBuilder();
        foreach ((string name, string kind, long value) in new (string, string, long)[]
        {
            ("nodes", "gauge", _machine.NodeCount),
            ("gossip_nodes", "gauge", _machine.GossipCount),
            ("peers", "gauge", _machine.PeerCount),
            ("relayed_datagrams_total", "counter", c.Relayed),
            ("relayed_bytes_total", "counter", c.RelayedBytes),
            ("dropped_unknown_total", "counter", c.DroppedUnknown),
            ("dropped_source_total", "counter", c.DroppedSource),
            ("dropped_quota_total", "counter", c.DroppedQuota),
            ("dropped_overload_total", "counter", c.DroppedOverload),
            ("dropped_unverified_total", "counter", c.DroppedUnverified),
            ("limited_total", "counter", c.Limited),
        })
        {
            text.Append(CultureInfo.InvariantCulture, $"# TYPE pilot_beacon_{name} {kind}\npilot_beacon_{name} {value}\n");
        }

        return text.ToString();
    }
}
