using System.Buffers;
using System.Globalization;
using System.Net;
using System.Reflection;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Pilot.Rendezvous.Registry;
using Pilot.Rendezvous.Server;
using Pilot.Rendezvous.Storage;

namespace Pilot.Rendezvous.Http;

/// <summary>The pages and JSON answers of the HTTP side (spec 03 section 11).</summary>
internal sealed class HttpEndpoints(
    RegistryService registry, NetworkStatistics statistics, RequestMetrics metrics, HistoryRing history, OpenConnections connections, SteadyClock clock, HttpOptions options)
    : IDisposable
{
    private const int DefaultNodes = 1000; // of /api/stats: some 120 bytes each
    private const int MaxNodes = 5000;
    private const int MaxEdges = 5000;
    private const int MaxTags = 100;
    private const string Plain = "text/plain; charset=utf-8";
    private const string Json = "application/json";
    private const string PagePolicy =
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

    private static readonly Dictionary<string, (byte[] Body, string Kind)> Files = new()
    {
        ["/"] = (Resource("dashboard.html"), "text/html; charset=utf-8"),
        ["/dashboard.js"] = (Resource("dashboard.js"), "text/javascript; charset=utf-8"),
        ["/dashboard.css"] = (Resource("dashboard.css"), "text/css; charset=utf-8"),
    };

    // One at a time: who asks for pages without end keeps one processor busy and not the pool that answers the registry's requests.
    private readonly SemaphoreSlim _looking = new(1);

    public Task ServeAsync(HttpContext context)
    {
        context.Response.Headers.XContentTypeOptions = "nosniff";
        string path = context.Request.Path.Value ?? "/";
        if (Files.TryGetValue(path, out (byte[] Body, string Kind) file))
        {
            context.Response.Headers.ContentSecurityPolicy = PagePolicy;
            context.Response.Headers["Referrer-Policy"] = "no-referrer";
            context.Response.Headers.CacheControl = "no-cache";
            context.Response.ContentType = file.Kind;
            context.Response.ContentLength = file.Body.Length;
            return context.Response.Body.WriteAsync(file.Body).AsTask();
        }

        if (path.StartsWith("/api/badge/", StringComparison.Ordinal))
        {
            return BadgeAsync(context, path["/api/badge/".Length..]);
        }

        return path switch
        {
            "/healthz" => WriteAsync(context, Json, FormattableString.Invariant($"{{\"nodes_online\":{registry.LiveNodes},\"status\":\"ok\",\"uptime_seconds\":{Uptime},\"version\":\"1.0\"}}\n")),
            "/health" => HealthAsync(context),
            "/ready" => ReadyAsync(context),
            "/api/stats" => StatsAsync(context),
            "/api/history" => HistoryAsync(context),
            "/api/snapshot" => SnapshotAsync(context),
            "/metrics" => IsLocal(context) ? WriteAsync(context, "text/plain; version=0.0.4; charset=utf-8", Metrics()) : ForbidAsync(context),
            _ => NotFoundAsync(context),
        };
    }

    public void Dispose() => _looking.Dispose();

    /// <summary>Samples the history; called by a timer.</summary>
    public void Tick() => history.Note(clock.Now, () =>
    {
        NetworkPicture picture = statistics.Picture;
        return new HistorySample(clock.Now.ToUnixTimeSeconds(), picture.Active, Requests, picture.TrustLinks);
    });

    private long Uptime => (long)(clock.Now - registry.Started).TotalSeconds;

    private long Requests => registry.Look(core => core.State.StoredRequests + core.RequestCount);

    private async Task StatsAsync(HttpContext context)
    {
        if (!TryReadQuery(context.Request.Query, out NodeQuery query))
        {
            context.Response.StatusCode = StatusCodes.Status400BadRequest;
            await WriteAsync(context, Plain, "limit and offset are numbers\n");
            return;
        }

        context.Response.Headers.AccessControlAllowOrigin = "*";
        Task answer;
        await _looking.WaitAsync(context.RequestAborted);
        try
        {
            answer = WriteStatsAsync(context, query);
        }
        finally
        {
            _looking.Release();
        }

        await answer;
    }

    private Task WriteStatsAsync(HttpContext context, NodeQuery query)
    {
        NetworkPicture picture = statistics.Picture;
        (List<NodeSummary> page, int matching) = statistics.Select(picture, query);
        return WriteAsync(context, Json, writer =>
        {
            writer.WriteNumber("total_nodes", picture.Live.Length);
            writer.WriteNumber("active_nodes", picture.Active);
            writer.WriteNumber("total_trust_links", picture.TrustLinks);
            writer.WriteNumber("total_requests", Requests);
            writer.WriteNumber("unique_tags", picture.Tags.Length);
            writer.WriteNumber("task_executors", picture.TaskExecutors);
            writer.WriteStartArray("nodes");
            page.ForEach(node => WriteNode(writer, node));
            writer.WriteEndArray();
            writer.WriteStartArray("edges");
            if (options.ShowEdges)
            {
                foreach ((string source, string target) in statistics.Edges(MaxEdges))
                {
                    writer.WriteStartObject();
                    writer.WriteString("source", source);
                    writer.WriteString("target", target);
                    writer.WriteEndObject();
                }
            }

            writer.WriteEndArray();
            writer.WriteNumber("uptime_secs", Uptime);
            writer.WriteNumber("matching_nodes", matching);
            writer.WriteStartArray("versions");
            foreach ((string software, int nodes) in picture.Versions)
            {
                writer.WriteStartObject();
                writer.WriteString("software", software);
                writer.WriteNumber("nodes", nodes);
                writer.WriteEndObject();
            }

            writer.WriteEndArray();
            writer.WriteStartArray("tags");
            foreach ((string tag, int nodes) in picture.Tags.Take(MaxTags))
            {
                writer.WriteStartObject();
                writer.WriteString("tag", tag);
                writer.WriteNumber("nodes", nodes);
                writer.WriteEndObject();
            }

            writer.WriteEndArray();
        });
    }

    private static void WriteNode(Utf8JsonWriter writer, NodeSummary node)
    {
        writer.WriteStartObject();
        writer.WriteString("address", node.Address);
        writer.WriteStartArray("tags");
        Array.ForEach(node.Tags, writer.WriteStringValue);
        writer.WriteEndArray();
        writer.WriteBoolean("online", node.Online);
        writer.WriteNumber("trust_links", node.TrustLinks);
        writer.WriteBoolean("task_exec", node.TaskExec);
        writer.WriteNumber("polo_score", node.PoloScore);
        writer.WriteEndObject();
    }

    private Task HistoryAsync(HttpContext context) => WriteAsync(context, Json, writer =>
    {
        writer.WriteStartArray("samples");
        foreach (HistorySample sample in history.ToArray())
        {
            writer.WriteStartArray();
            writer.WriteNumberValue(sample.Time);
            writer.WriteNumberValue(sample.Online);
            writer.WriteNumberValue(sample.Requests);
            writer.WriteNumberValue(sample.TrustLinks);
            writer.WriteEndArray();
        }

        writer.WriteEndArray();
    });

    private Task BadgeAsync(HttpContext context, string name)
    {
        if (Badge.Find(name, statistics.Picture, Requests) is not { } svg)
        {
            return NotFoundAsync(context);
        }

        context.Response.Headers.AccessControlAllowOrigin = "*";
        context.Response.Headers.CacheControl = "no-cache, no-store, must-revalidate";
        return WriteAsync(context, "image/svg+xml", svg);
    }

    private Task SnapshotAsync(HttpContext context)
    {
        if (!IsLocal(context))
        {
            return ForbidAsync(context);
        }

        if (!HttpMethods.IsPost(context.Request.Method))
        {
            context.Response.StatusCode = StatusCodes.Status405MethodNotAllowed;
            return WriteAsync(context, Plain, "Method not allowed\n");
        }

        try
        {
            options.Store?.Compact(default); // whoever asked may go meanwhile; half a snapshot helps nobody
            return WriteAsync(context, Json, "{\"message\":\"snapshot saved successfully\",\"status\":\"ok\"}\n");
        }
        catch (Exception e) when (e is StoreException or StoreDamagedException)
        {
            context.Response.StatusCode = StatusCodes.Status500InternalServerError;
            return WriteAsync(context, Plain, $"snapshot failed: {e.Message}\n");
        }
    }

    // What an operator's monitoring asks; says nothing that the log does not say.
    private Task HealthAsync(HttpContext context)
    {
        bool local = IsLocal(context);
        return WriteAsync(context, Json, writer =>
        {
            string? failure = registry.Lane?.Failure;
            writer.WriteString("status", failure is null ? "ok" : "degraded");
            writer.WriteBoolean("writes", failure is null);
            writer.WriteNumber("nodes_online", registry.LiveNodes);
            writer.WriteNumber("connections", connections.Count);
            writer.WriteNumber("uptime_seconds", Uptime);
            writer.WriteString("store", options.Store is null ? "memory" : options.Store.IsShared ? "postgresql" : "sqlite");
            if (registry.Lane is { } lane)
            {
                writer.WriteNumber("store_position", lane.Position);
                writer.WriteNumber("writes_waiting", lane.Waiting);
            }

            if (failure is not null && local)
            {
                writer.WriteString("failure", failure);
            }

            StandbyFollower? follower = options.Follower();
            writer.WriteString("mode", follower is null ? "primary" : "standby");
            if (follower is not null)
            {
                writer.WriteBoolean("primary_connected", follower.Connected);
                if (follower.SnapshotAge is { } age)
                {
                    writer.WriteNumber("snapshot_age_seconds", (long)age.TotalSeconds);
                }
            }

            if (options.Fingerprint() is { } fingerprint)
            {
                writer.WriteString("tls_fingerprint", fingerprint);
            }
        });
    }

    private Task ReadyAsync(HttpContext context)
    {
        bool ready = !options.Stopping.IsCancellationRequested && registry.Lane?.Failure is null && (options.Follower() is not { } follower || follower.SnapshotAge is not null);
        context.Response.StatusCode = ready ? StatusCodes.Status200OK : StatusCodes.Status503ServiceUnavailable;
        return WriteAsync(context, Plain, ready ? "ready\n" : "not ready\n");
    }

    private string Metrics()
    {
        NetworkPicture picture = statistics.Picture;
        var text = new StringBuilder(16 * 1024);
        metrics.Write(text);
        RequestMetrics.Single(text, "pilot_nodes_online", "gauge", "Nodes seen within the stale threshold.", picture.Active);
        RequestMetrics.Single(text, "pilot_nodes_total", "gauge", "Live node records.", picture.Live.Length);
        RequestMetrics.Single(text, "pilot_trust_links", "gauge", "Pairs of nodes with trust.", picture.TrustLinks);
        RequestMetrics.Single(text, "pilot_task_executors", "gauge", "Nodes that take tasks.", picture.TaskExecutors);
        RequestMetrics.Single(text, "pilot_uptime_seconds", "gauge", "Seconds since the start.", Uptime);
        RequestMetrics.Single(text, "pilot_registrations_total", "counter", "Successful registrations.", metrics.Succeeded("register"));
        RequestMetrics.Single(text, "pilot_deregistrations_total", "counter", "Successful deregistrations.", metrics.Succeeded("deregister"));
        RequestMetrics.Single(text, "pilot_trust_reports_total", "counter", "Trust reports.", metrics.Succeeded("report_trust"));
        RequestMetrics.Single(text, "pilot_trust_revocations_total", "counter", "Trust revocations.", metrics.Succeeded("revoke_trust"));
        RequestMetrics.Single(text, "pilot_handshake_requests_total", "counter", "Relayed handshake requests.", metrics.Succeeded("request_handshake"));
        RequestMetrics.Single(text, "pilot_key_rotations_total", "counter", "Key rotations.", metrics.Succeeded("rotate_key"));
        RequestMetrics.Single(text, "pilot_networks_total", "gauge", "Networks besides the backbone.", registry.Look(core => core.State.Networks.Count));
        RequestMetrics.Single(text, "pilot_inbox_nodes", "gauge", "Nodes with waiting handshake messages.", registry.Look(core => core.State.Inboxes.Count));
        RequestMetrics.Single(text, "pilot_connections", "gauge", "Open registry connections.", connections.Count);
        if (registry.Lane is { } lane)
        {
            RequestMetrics.Single(text, "pilot_store_position", "gauge", "Batches stored since the beginning.", lane.Position);
            RequestMetrics.Single(text, "pilot_store_commits_total", "counter", "Commits of this process.", lane.Commits);
            RequestMetrics.Single(text, "pilot_store_waiting", "gauge", "Requests that wait for the store.", lane.Waiting);
            RequestMetrics.Single(text, "pilot_store_failing", "gauge", "1 while changes are refused.", lane.Failure is null ? 0 : 1);
        }

        return text.ToString();
    }

    // The peer must be on this machine; behind a proxy on this machine, so must be whom it speaks for (spec 03 section 11). The Host header guards
    // against pages that point a name of theirs at the loopback address.
    private static bool IsLocal(HttpContext context)
    {
        if (context.Connection.RemoteIpAddress is not { } peer || !IPAddress.IsLoopback(Unmap(peer)))
        {
            return false;
        }

        if (context.Request.Headers.ContainsKey("Forwarded"))
        {
            return false; // some proxies write this one (RFC 7239); none of ours has to be read
        }

        foreach (string header in (string[])["X-Real-IP", "X-Forwarded-For"])
        {
            if (context.Request.Headers.TryGetValue(header, out var value)
                && !(IPAddress.TryParse(value.ToString(), out IPAddress? real) && IPAddress.IsLoopback(Unmap(real))))
            {
                return false;
            }
        }

        string host = context.Request.Host.Host.Trim('[', ']');
        return host.Length == 0 || host == "localhost" || (IPAddress.TryParse(host, out IPAddress? address) && IPAddress.IsLoopback(Unmap(address)));
    }

    private static IPAddress Unmap(IPAddress address) => address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address;

    private static bool TryReadQuery(IQueryCollection query, out NodeQuery parsed)
    {
        parsed = new NodeQuery("", false, false, "", 0, 0);
        if (!TryNumber(query["limit"], DefaultNodes, out int limit) || !TryNumber(query["offset"], 0, out int offset))
        {
            return false;
        }

        parsed = new NodeQuery(query["q"].ToString(), query["online"] == "1", query["tasks"] == "1", query["sort"].ToString(), offset, Math.Min(limit, MaxNodes));
        return true;
    }

    private static bool TryNumber(string? text, int otherwise, out int value)
    {
        value = otherwise;
        return string.IsNullOrEmpty(text) || int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out value);
    }

    private static Task NotFoundAsync(HttpContext context)
    {
        context.Response.StatusCode = StatusCodes.Status404NotFound;
        return WriteAsync(context, Plain, "404 page not found\n");
    }

    private static Task ForbidAsync(HttpContext context)
    {
        context.Response.StatusCode = StatusCodes.Status403Forbidden;
        return WriteAsync(context, Plain, "Forbidden\n");
    }

    private static Task WriteAsync(HttpContext context, string kind, string body)
    {
        context.Response.ContentType = kind;
        return context.Response.WriteAsync(body);
    }

    private static Task WriteAsync(HttpContext context, string kind, Action<Utf8JsonWriter> members)
    {
        var buffer = new System.Buffers.ArrayBufferWriter<byte>();
        using (var writer = new Utf8JsonWriter(buffer))
        {
            writer.WriteStartObject();
            members(writer);
            writer.WriteEndObject();
        }

        buffer.Write("\n"u8);
        context.Response.ContentType = kind;
        context.Response.ContentLength = buffer.WrittenCount;
        return context.Response.Body.WriteAsync(buffer.WrittenMemory).AsTask();
    }

    private static byte[] Resource(string name)
    {
        using Stream stream = Assembly.GetExecutingAssembly().GetManifestResourceStream($"Pilot.Rendezvous.Http.Page.{name}")
            ?? throw new InvalidOperationException($"resource {name} is missing");
        byte[] bytes = new byte[stream.Length];
        stream.ReadExactly(bytes);
        return bytes;
    }
}

/// <summary>What the HTTP side is told at start.</summary>
internal sealed record HttpOptions(SqlEventStore? Store, Func<string?> Fingerprint, bool ShowEdges, Func<StandbyFollower?> Follower, CancellationToken Stopping);
