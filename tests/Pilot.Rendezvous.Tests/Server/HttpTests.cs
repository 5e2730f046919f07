using System.Net;
using System.Text.Json;
using Pilot.Protocol;
using Pilot.Rendezvous.Http;
using Pilot.Rendezvous.Registry;
using Pilot.Rendezvous.Server;

namespace Pilot.Rendezvous.Tests.Server;

/// <summary>The HTTP side: vectors of the reference, privacy, bounds, and who may ask what.</summary>
public sealed class HttpTests
{
    [Fact]
    public void Badges_are_those_of_the_vectors()
    {
        foreach (JsonElement vector in VectorFile.Load("registry.json", "badge/"))
        {
            string svg = Badge.Draw("requests", vector.GetProperty("inputs").GetProperty("count").GetInt64(), "#a855f7");
            Assert.Contains($"aria-label=\"{vector.Text("text")}\"", svg, StringComparison.Ordinal);
            Assert.Contains($"width=\"{vector.GetProperty("width").GetInt32()}\" height=\"20\"", svg, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Those_who_hold_the_dashboard_open_leave_room_for_this_machine_and_for_the_registry()
    {
        var limit = new HttpConnectionLimit(3, keptForThisMachine: 1);
        var held = new TaskCompletionSource();
        int served = 0;
        Task Serve(string address) => limit.ServeAsync(
            new Microsoft.AspNetCore.Connections.DefaultConnectionContext { RemoteEndPoint = new IPEndPoint(IPAddress.Parse(address), 1) },
            _ =>
            {
                served++;
                return held.Task;
            });
        Task[] strangers = [Serve("192.0.2.1"), Serve("192.0.2.1"), Serve("192.0.2.1"), Serve("2001:db8::1")];
        Assert.Equal(2, served);
        Task local = Serve("::ffff:127.0.0.1");
        Assert.Equal(3, served);
        held.SetResult();
        await Task.WhenAll([.. strangers, local]);
        await Serve("192.0.2.1");
        Assert.Equal(4, served);
    }

    [Fact]
    public async Task Many_who_look_at_the_nodes_take_no_threads_from_others()
    {
        await using RendezvousServer server = await StartAsync();
        using HttpClient http = Client(server);
        using var release = new ManualResetEventSlim();
        using var held = new ManualResetEventSlim();
        var holder = new Thread(() => server.Host.Registry.Look(_ =>
        {
            held.Set();
            release.Wait();
            return 0;
        }));
        holder.Start();
        held.Wait(TestContext.Current.CancellationToken);
        try
        {
            Task<HttpResponseMessage>[] pages = [.. Enumerable.Range(0, 60).Select(_ => http.GetAsync("/api/stats", TestContext.Current.CancellationToken))];
            for (int i = 0; i < 10; i++)
            {
                // What needs no look at the registry is answered beside them.
                using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(10));
                Assert.NotEmpty(await http.GetStringAsync("/dashboard.css", limit.Token));
            }

            release.Set();
            foreach (HttpResponseMessage page in await Task.WhenAll(pages))
            {
                Assert.Equal(HttpStatusCode.OK, page.StatusCode);
                page.Dispose();
            }
        }
        finally
        {
            release.Set();
            holder.Join();
        }
    }

    [Fact]
    public async Task Answers_of_the_vectors()
    {
        await using RendezvousServer server = await StartAsync();
        using HttpClient http = Client(server);
        foreach (JsonElement vector in VectorFile.Load("registry.json", "http/").Where(v => v.TryGetProperty("status", out _) && v.Name() is not ("http/stats" or "http/healthz")))
        {
            JsonElement inputs = vector.GetProperty("inputs");
            string[] words = inputs.Text("request").Split(' ');
            using var request = new HttpRequestMessage(new HttpMethod(words[0]), words[1]);
            if (inputs.Text("headers").Contains("X-Real-IP", StringComparison.Ordinal))
            {
                request.Headers.Add("X-Real-IP", "8.8.8.8");
            }

            using HttpResponseMessage answer = await http.SendAsync(request, TestContext.Current.CancellationToken);
            Assert.Equal((vector.Name(), vector.GetProperty("status").GetInt32()), (vector.Name(), (int)answer.StatusCode));
            Assert.Equal(vector.Text("text"), await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken));
            Assert.Equal(vector.Text("content_type"), answer.Content.Headers.ContentType!.ToString());
        }
    }

    [Theory]
    [InlineData("X-Real-IP", "192.0.2.1")]
    [InlineData("X-Forwarded-For", "192.0.2.1")]
    [InlineData("X-Forwarded-For", "127.0.0.1, 192.0.2.1")]
    [InlineData("Forwarded", "for=192.0.2.1")]
    [InlineData("Host", "rebound.example")]
    public async Task What_is_for_this_machine_goes_to_nobody_behind_its_proxy(string header, string value)
    {
        await using RendezvousServer server = await StartAsync();
        using HttpClient http = Client(server);
        Assert.Equal(HttpStatusCode.OK, await AskAsync("X-Forwarded-For", "127.0.0.1"));
        Assert.Equal(HttpStatusCode.Forbidden, await AskAsync(header, value));

        async Task<HttpStatusCode> AskAsync(string name, string text)
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, "/metrics");
            request.Headers.Add(name, text);
            using HttpResponseMessage answer = await http.SendAsync(request, TestContext.Current.CancellationToken);
            return answer.StatusCode;
        }
    }

    [Fact]
    public async Task Statistics_have_the_members_of_the_reference_and_nothing_private()
    {
        await using RendezvousServer server = await StartAsync();
        Fill(server, 3);
        using HttpClient http = Client(server);
        string text = await http.GetStringAsync("/api/stats", TestContext.Current.CancellationToken);
        using JsonDocument stats = JsonDocument.Parse(text);
        JsonElement expected = VectorFile.Find("registry.json", "http/stats");
        using JsonDocument reference = JsonDocument.Parse(expected.Text("text"));
        foreach (JsonProperty member in reference.RootElement.EnumerateObject())
        {
            Assert.Equal(member.Value.ValueKind, stats.RootElement.GetProperty(member.Name).ValueKind);
        }

        JsonElement node = stats.RootElement.GetProperty("nodes")[0];
        Assert.Equal(
            reference.RootElement.GetProperty("nodes")[0].EnumerateObject().Select(m => m.Name).Order(),
            node.EnumerateObject().Select(m => m.Name).Order());
        foreach (string secret in (string[])["real_addr", "public_key", "198.51.100", "owner", "host-1"])
        {
            Assert.DoesNotContain(secret, text, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Statistics_after_the_recorded_session_are_those_of_the_reference()
    {
        await using RendezvousServer server = await RendezvousServer.StartAsync(s =>
        {
            s.HttpAddress = "127.0.0.1:0";
            s.ReferencePolicy = true;
            s.AdminToken = "test-admin-secret";
        });
        RegistryService registry = server.Host.Registry;
        var connections = new Dictionary<string, RegistryConnection>();
        foreach (JsonElement vector in VectorFile.Load("registry.json", "core/").OrderBy(v => v.GetProperty("inputs").GetProperty("seq").GetInt32()))
        {
            JsonElement inputs = vector.GetProperty("inputs");
            string source = inputs.Text("source_ip");
            if (!connections.TryGetValue(source, out RegistryConnection? connection))
            {
                Assert.True(UdpEndpoint.TryParseIp(source, inputs.TryGetProperty("source_port", out JsonElement port) ? (ushort)port.GetInt32() : (ushort)40000, out UdpEndpoint at));
                connections[source] = connection = new RegistryConnection(at);
            }

            // Networks are not managed here; what the session does with them is set as events.
            registry.Look(core =>
            {
                switch (vector.Name()["core/".Length..][..3])
                {
                    case "154": core.Apply(new NetworkCreated(1, "lab", "open", false, 1, DateTimeOffset.UtcNow)); break;
                    case "155": core.Apply(new NetworkJoined(1, 4, "member")); break;
                }

                return true;
            });
            if (!inputs.TryGetProperty("then", out _))
            {
                await registry.HandleAsync(connection, System.Text.Encoding.UTF8.GetBytes(inputs.Text("request")));
            }
        }

        using HttpClient http = Client(server);
        JsonElement expected = VectorFile.Find("registry.json", "http/stats");
        var stats = System.Text.Json.Nodes.JsonNode.Parse(await http.GetStringAsync("/api/stats", TestContext.Current.CancellationToken))!.AsObject();
        foreach (string ours in (string[])["matching_nodes", "versions", "tags"])
        {
            Assert.True(stats.Remove(ours));
        }

        var wanted = System.Text.Json.Nodes.JsonNode.Parse(expected.Text("text"))!.AsObject();
        SortEdges(wanted);
        SortEdges(stats);
        Assert.Null(JsonCompare.Difference(wanted.ToJsonString(), stats.ToJsonString(), [.. expected.GetProperty("volatile").EnumerateArray().Select(p => p.GetString()!)]));
    }

    private static void SortEdges(System.Text.Json.Nodes.JsonObject stats) =>
        stats["edges"] = new System.Text.Json.Nodes.JsonArray([.. stats["edges"]!.AsArray().OrderBy(e => e!.ToJsonString(), StringComparer.Ordinal).Select(e => e!.DeepClone())]);

    [Fact]
    public async Task Software_is_counted_and_what_is_rare_or_unsaid_is_one_entry_each()
    {
        await using RendezvousServer server = await StartAsync();
        server.Host.Registry.Look(core =>
        {
            for (uint id = 1; id <= 60; id++)
            {
                core.Apply(new NodeRegistered(id, new PublicKey(id, 1, 2, 3), null, "", "192.0.2.1:4000", [], DateTimeOffset.UtcNow));
                core.Apply(new SoftwareChanged(id, id <= 20 ? "pilot-daemon/1.0.0" : id <= 30 ? "" : $"odd/{id}"));
            }

            return true;
        });
        using HttpClient http = Client(server);
        using JsonDocument stats = JsonDocument.Parse(await http.GetStringAsync("/api/stats?limit=1", TestContext.Current.CancellationToken));
        (string, int)[] versions = [.. stats.RootElement.GetProperty("versions").EnumerateArray().Select(v => (v.Text("software"), v.GetProperty("nodes").GetInt32()))];
        Assert.Equal(20, versions.Length);
        Assert.Equal([("pilot-daemon/1.0.0", 20), ("unknown", 10), ("odd/31", 1)], versions[..3]);
        Assert.Equal(("other", 13), versions[^1]);
        Assert.Equal(60, versions.Sum(v => v.Item2));
    }

    [Fact]
    public async Task Statistics_are_bounded_searched_and_paged()
    {
        await using RendezvousServer server = await StartAsync();
        Fill(server, 3000);
        using HttpClient http = Client(server);
        async Task<JsonElement> GetAsync(string query)
        {
            using JsonDocument document = JsonDocument.Parse(await http.GetStringAsync("/api/stats" + query, TestContext.Current.CancellationToken));
            return document.RootElement.Clone();
        }

        JsonElement all = await GetAsync("");
        Assert.Equal(3000, all.GetProperty("total_nodes").GetInt32());
        Assert.Equal(1000, all.GetProperty("nodes").GetArrayLength());
        JsonElement second = await GetAsync("?limit=10&offset=10");
        Assert.Equal("0:0000.0000.000B", second.GetProperty("nodes")[0].GetProperty("address").GetString());
        JsonElement tagged = await GetAsync("?q=%23Rare");
        Assert.Equal(3, tagged.GetProperty("matching_nodes").GetInt32());
        Assert.All(tagged.GetProperty("nodes").EnumerateArray(), n => Assert.Contains("rare", n.GetProperty("tags").EnumerateArray().Select(t => t.GetString())));
        Assert.Equal(0, (await GetAsync("?tasks=1")).GetProperty("matching_nodes").GetInt32());
        using HttpResponseMessage bad = await http.GetAsync("/api/stats?limit=x", TestContext.Current.CancellationToken);
        Assert.Equal(HttpStatusCode.BadRequest, bad.StatusCode);
    }

    [Fact]
    public async Task Metrics_have_bounded_labels_and_stay_on_this_machine()
    {
        await using RendezvousServer server = await StartAsync();
        using RawClient client = await server.ConnectAsync();
        await client.CallAsync("{\"type\":\"beacon_list\"}");
        for (int i = 0; i < 20; i++)
        {
            await client.CallAsync($"{{\"type\":\"a\\u0000b\\\"{i}\"}}");
        }

        using HttpClient http = Client(server);
        string text = await http.GetStringAsync("/metrics", TestContext.Current.CancellationToken);
        Assert.Contains("pilot_requests_total{type=\"beacon_list\"} 1\n", text, StringComparison.Ordinal);
        Assert.Contains("pilot_requests_total{type=\"unknown\"} 20\n", text, StringComparison.Ordinal);
        Assert.Contains("pilot_errors_total{type=\"unknown\"} 20\n", text, StringComparison.Ordinal);
        Assert.Contains("pilot_request_duration_seconds_bucket{type=\"beacon_list\",le=\"+Inf\"} 1\n", text, StringComparison.Ordinal);
        Assert.All(text.Split('\n', StringSplitOptions.RemoveEmptyEntries), line => Assert.Matches("^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\\{[a-z]+=\"[a-z_]+\"(,le=\"[0-9.+Inf]+\")?\\})? [0-9.E+-]+)$", line));

        using var foreign = new HttpRequestMessage(HttpMethod.Get, "/metrics");
        foreign.Headers.Host = "rebound.example:80";
        using HttpResponseMessage refused = await http.SendAsync(foreign, TestContext.Current.CancellationToken);
        Assert.Equal(HttpStatusCode.Forbidden, refused.StatusCode);
    }

    [Fact]
    public async Task Page_allows_nothing_from_elsewhere()
    {
        await using RendezvousServer server = await StartAsync();
        using HttpClient http = Client(server);
        using HttpResponseMessage page = await http.GetAsync("/", TestContext.Current.CancellationToken);
        string policy = page.Headers.GetValues("Content-Security-Policy").Single();
        Assert.StartsWith("default-src 'none'; script-src 'self'", policy, StringComparison.Ordinal);
        Assert.DoesNotContain("unsafe", policy, StringComparison.Ordinal);
        string html = await page.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
        Assert.Contains("Pilot Protocol", html, StringComparison.Ordinal);
        Assert.DoesNotContain("http", html, StringComparison.Ordinal); // no address of another host
        foreach (string file in (string[])["/dashboard.js", "/dashboard.css", "/health", "/ready", "/healthz", "/api/history", "/api/badge/nodes"])
        {
            using HttpResponseMessage answer = await http.GetAsync(file, TestContext.Current.CancellationToken);
            Assert.Equal((file, HttpStatusCode.OK), (file, answer.StatusCode));
        }
    }

    /// <summary>Nodes put into the state directly, with tags.</summary>
    internal static void Fill(RendezvousServer server, int count) => server.Host.Registry.Look(core =>
    {
        for (uint id = 1; id <= count; id++)
        {
            core.Apply(new NodeRegistered(id, new PublicKey(id, 1, 2, 3), null, $"owner{id}@example.com", "198.51.100.7:4000", [], DateTimeOffset.UtcNow));
            core.Apply(new HostnameChanged(id, $"host-{id}"));
            core.Apply(new TagsChanged(id, id % 1000 == 1 ? ["rare", "ml"] : [$"t{id % 7}"]));
            core.Apply(new SoftwareChanged(id, id % 10 == 0 ? "" : id % 7 == 0 ? "pilot-daemon/0.1.0" : "pilot-daemon/0.2.0"));
            if (id > 1)
            {
                core.Apply(new ConsentGiven(id, id - 1));
            }
        }

        return true;
    });

    internal static Task<RendezvousServer> StartAsync() => RendezvousServer.StartAsync(s => s.HttpAddress = "127.0.0.1:0");

    private static HttpClient Client(RendezvousServer server) => new() { BaseAddress = new Uri($"http://{server.Host.HttpEndPoint}") };
}
