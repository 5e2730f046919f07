using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Text.Json.Nodes;

namespace Pilot.Daemon.Tests;

/// <summary>A registry over real TCP with just enough behaviour for daemons: ids by key, endpoints, names, trust by consent, the handshake relay. Every request is recorded; a test may answer one itself.</summary>
internal sealed class FakeRegistry : IAsyncDisposable
{
    private readonly TcpListener _listener;
    private readonly CancellationTokenSource _stop = new();
    private readonly List<Socket> _clients = [];
    private readonly object _gate = new();
    private readonly Dictionary<string, uint> _ids = new(StringComparer.Ordinal);
    private readonly Dictionary<uint, Entry> _nodes = [];
    private readonly HashSet<(uint From, uint To)> _consents = [];
    private readonly Task _accepting;

    public FakeRegistry(int port = 0)
    {
        _listener = new TcpListener(IPAddress.Loopback, port);
        _listener.Server.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.ReuseAddress, true);
        _listener.Start();
        Port = ((IPEndPoint)_listener.LocalEndpoint).Port;
        _accepting = AcceptAsync();
    }

    public int Port { get; }

    public string Address => $"127.0.0.1:{Port}";

    /// <summary>Types of all requests, in order.</summary>
    public ConcurrentQueue<string> Types { get; } = new();

    public ConcurrentQueue<JsonObject> Requests { get; } = new();

    /// <summary>The same as bytes.</summary>
    public ConcurrentQueue<byte[]> Bodies { get; } = new();

    /// <summary>Named to clients that ask, as a registry of ours does; null as a reference registry.</summary>
    public byte[]? Session { get; set; }

    /// <summary>X25519 secret whose public half is named with the session; null as an older registry of ours.</summary>
    public byte[]? ExchangeSecret { get; set; }

    /// <summary>Returns an answer instead of the usual one; an object without members means: no answer at all.</summary>
    public Func<JsonObject, JsonObject?>? Script { get; set; }

    /// <summary>Waits until a request of this type came that is not counted yet.</summary>
    public async Task WaitForAsync(string type, int count = 1)
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        while (Types.Count(seen => seen == type) < count)
        {
            await Task.Delay(5, limit.Token);
        }
    }

    /// <summary>Forgets every node, as a registry without storage does when it restarts.</summary>
    public void Forget()
    {
        lock (_gate)
        {
            _nodes.Clear();
            _consents.Clear();
        }
    }

    /// <summary>Ends all connections.</summary>
    public void Cut()
    {
        lock (_gate)
        {
            foreach (var client in _clients)
            {
                client.Dispose();
            }

            _clients.Clear();
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        _listener.Dispose();
        Cut();
        await _accepting;
        _stop.Dispose();
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
            {
                var client = await _listener.AcceptSocketAsync(_stop.Token);
                client.NoDelay = true;
                lock (_gate)
                {
                    _clients.Add(client);
                }

                _ = ServeAsync(client);
            }
        }
        catch (Exception exception) when (_stop.IsCancellationRequested && exception is OperationCanceledException or SocketException or InvalidOperationException)
        {
            // stopped
        }
    }

    private async Task ServeAsync(Socket client)
    {
        try
        {
            await using var stream = new NetworkStream(client);
            var header = new byte[4];
            while (true)
            {
                await stream.ReadExactlyAsync(header);
                var body = new byte[BinaryPrimitives.ReadUInt32BigEndian(header)];
                await stream.ReadExactlyAsync(body);
                var request = JsonNode.Parse(body)!.AsObject();
                JsonObject answer;
                if (request["session_wanted"] is not null)
                {
                    // Not recorded: the tests are about what comes after.
                    var hello = new JsonObject { ["type"] = "check_trust_ok", ["trusted"] = false };
                    if (Session is not null)
                    {
                        hello["session"] = Convert.ToBase64String(Session);
                        if (ExchangeSecret is not null)
                        {
                            var named = new byte[32];
                            Pilot.Protocol.X25519.GetPublicKey(ExchangeSecret, named);
                            hello["session_key"] = Convert.ToBase64String(named);
                        }
                    }

                    await stream.WriteAsync(Frame(hello));
                    continue;
                }

                Requests.Enqueue(request);
                Bodies.Enqueue(body);
                lock (_gate)
                {
                    answer = Script?.Invoke(request) ?? Answer(request);
                }

                Types.Enqueue((string)request["type"]!);
                if (answer.Count > 0)
                {
                    await stream.WriteAsync(Frame(answer));
                }
            }
        }
        catch (Exception exception) when (exception is IOException or ObjectDisposedException)
        {
            client.Dispose();
        }
    }

    public static byte[] Frame(JsonObject answer)
    {
        var text = System.Text.Encoding.UTF8.GetBytes(answer.ToJsonString());
        var frame = new byte[4 + text.Length];
        BinaryPrimitives.WriteUInt32BigEndian(frame, (uint)text.Length);
        text.CopyTo(frame, 4);
        return frame;
    }

    public static JsonObject Error(string text) => new() { ["type"] = "error", ["error"] = text };

    private static uint Id(JsonObject request, string name) => request[name] is { } value ? (uint)value : 0;

    private JsonObject Answer(JsonObject request)
    {
        var type = (string)request["type"]!;
        var answer = new JsonObject { ["type"] = type + "_ok" };
        if (type == "register")
        {
            return Register(request, answer);
        }

        var self = type switch
        {
            "resolve" or "resolve_hostname" => Id(request, "requester_id"),
            "request_handshake" => Id(request, "from_node_id"),
            _ => Id(request, "node_id"),
        };
        if (!_nodes.TryGetValue(self, out var node))
        {
            return Error($"node {self}: node not found");
        }

        switch (type)
        {
            case "lookup":
                answer["node_id"] = self;
                answer["public_key"] = node.Key;
                answer["networks"] = new JsonArray(0);
                answer["hostname"] = node.Hostname;
                return answer;
            case "set_visibility":
                node.IsPublic = (bool)request["public"]!;
                answer["node_id"] = self;
                answer["visibility"] = node.IsPublic ? "public" : "private";
                return answer;
            case "set_hostname":
                node.Hostname = (string)request["hostname"]!;
                answer["node_id"] = self;
                answer["hostname"] = node.Hostname;
                return answer;
            case "resolve":
                var target = Id(request, "node_id");
                if (!_nodes.TryGetValue(target, out var found))
                {
                    return Error($"node {target}: node not found");
                }

                if (!found.IsPublic && !_consents.Contains((target, self)))
                {
                    return Error("request failed");
                }

                answer["node_id"] = target;
                answer["real_addr"] = found.Endpoint;
                return answer;
            case "resolve_hostname":
                var name = (string)request["hostname"]!;
                var named = _nodes.Values.FirstOrDefault(entry => entry.Hostname == name && (entry.IsPublic || entry.Id == self || _consents.Contains((entry.Id, self))));
                if (named is null)
                {
                    return Error($"hostname \"{name}\" not found");
                }

                answer["node_id"] = named.Id;
                answer["hostname"] = name;
                answer["public"] = named.IsPublic;
                return answer;
            case "request_handshake":
                return RequestHandshake(request, answer, node);
            case "respond_handshake":
                var peer = Id(request, "peer_id");
                if ((bool)request["accept"]!)
                {
                    _consents.Add((self, peer));
                }

                _nodes.GetValueOrDefault(peer)?.Responses.Add(new JsonObject { ["from_node_id"] = self, ["accept"] = (bool)request["accept"]!, ["from_hostname"] = node.Hostname });
                return answer;
            case "report_trust":
                _consents.Add((self, Id(request, "peer_id")));
                return answer;
            case "revoke_trust":
                _consents.Remove((self, Id(request, "peer_id")));
                _consents.Remove((Id(request, "peer_id"), self));
                return answer;
            case "poll_handshakes":
                answer["requests"] = new JsonArray([.. node.Requests]);
                answer["responses"] = new JsonArray([.. node.Responses]);
                node.Requests.Clear();
                node.Responses.Clear();
                return answer;
            default:
                return answer;
        }
    }

    private JsonObject Register(JsonObject request, JsonObject answer)
    {
        var key = (string)request["public_key"]!;
        if (!_ids.TryGetValue(key, out var id))
        {
            _ids.Add(key, id = (uint)_ids.Count + 1);
        }

        var address = (string)request["listen_addr"]!;
        if (!_nodes.TryGetValue(id, out var entry))
        {
            _nodes.Add(id, entry = new Entry { Id = id, Key = key });
        }

        entry.Endpoint = $"127.0.0.1:{address[(address.LastIndexOf(':') + 1)..]}";
        answer["node_id"] = id;
        answer["address"] = $"0:0000.{id >> 16:X4}.{id & 0xFFFF:X4}";
        answer["observed_addr"] = entry.Endpoint;
        return answer;
    }

    private JsonObject RequestHandshake(JsonObject request, JsonObject answer, Entry node)
    {
        var target = request["to_hostname"] is { } name ? _nodes.Values.FirstOrDefault(entry => entry.Hostname == (string)name!) : _nodes.GetValueOrDefault(Id(request, "to_node_id"));
        if (target is null && request["to_hostname"] is null)
        {
            return Error($"node {Id(request, "to_node_id")}: node not found");
        }

        if (target is not null)
        {
            _consents.Add((node.Id, target.Id));
            target.Requests.Add(new JsonObject { ["from_node_id"] = node.Id, ["justification"] = (string?)request["justification"], ["from_hostname"] = node.Hostname });
        }

        answer["status"] = "delivered";
        return answer;
    }

    private sealed class Entry
    {
        public required uint Id { get; init; }

        public required string Key { get; init; }

        public string Endpoint { get; set; } = string.Empty;

        public string Hostname { get; set; } = string.Empty;

        public bool IsPublic { get; set; }

        public List<JsonNode> Requests { get; } = [];

        public List<JsonNode> Responses { get; } = [];
    }
}
