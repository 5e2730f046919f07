using System.Buffers.Binary;
using System.Diagnostics;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Pilot.Rendezvous.Registry;
using Pilot.Rendezvous.Storage;

namespace Pilot.Rendezvous.Server;

/// <summary>Follows a primary of ours or of the reference, and keeps what it says in this server's own store (spec 03 section 10).</summary>
internal sealed class StandbyFollower : IAsyncDisposable
{
    private const int MaxFrame = 512 * 1024 * 1024; // bytes; some 400 per node
    private const int FirstRoom = 64 * 1024; // grown as bytes arrive, never as announced
    private static readonly TimeSpan ConnectTimeout = TimeSpan.FromSeconds(10); // spec 03 section 10, with the next two
    private static readonly TimeSpan ReadTimeout = TimeSpan.FromSeconds(45);
    private static readonly TimeSpan ReconnectPause = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan AliveInterval = TimeSpan.FromSeconds(20); // a reference primary drops standbys that are silent for 60 s

    private readonly StandbyOptions _options;
    private readonly RegistryService _registry;
    private readonly SqlEventStore? _store;
    private readonly Action _stopServer;
    private readonly Serilog.ILogger _log;
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _running;
    private long _position;
    private long _lastSnapshot;
    private volatile bool _connected;

    /// <param name="options">Whom to follow.</param>
    /// <param name="registry">Gets the state.</param>
    /// <param name="store">Keeps it; null = nowhere.</param>
    /// <param name="position">Of the store.</param>
    /// <param name="stopServer">Called when the store turns out to be damaged.</param>
    /// <param name="log">Log.</param>
    public StandbyFollower(StandbyOptions options, RegistryService registry, SqlEventStore? store, long position, Action stopServer, Serilog.ILogger log)
    {
        _stopServer = stopServer;
        _options = options;
        _registry = registry;
        _store = store;
        _position = position;
        _log = log;
        _running = Task.Run(RunAsync);
    }

    /// <summary>The primary is connected.</summary>
    public bool Connected => _connected;

    /// <summary>The store is damaged: nothing is followed any more.</summary>
    public bool Failed { get; private set; }

    /// <summary>Since the primary's state was taken over last; null when it never was.</summary>
    public TimeSpan? SnapshotAge => Volatile.Read(ref _lastSnapshot) is var at and not 0 ? Stopwatch.GetElapsedTime(at) : null;

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _running;
        _stop.Dispose();
    }

    private async Task RunAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                await FollowAsync();
            }
            catch (Exception e) when (e is IOException or SocketException or AuthenticationException or InvalidDataException or StoreException or OperationCanceledException)
            {
                if (!_stop.IsCancellationRequested)
                {
                    _log.Warning("standby: {Reason}; again in {Seconds} s", e is OperationCanceledException ? "the primary is silent" : e.Message, ReconnectPause.TotalSeconds);
                }
            }

            catch (StoreDamagedException e)
            {
                _log.Fatal("stopping: {Reason}", e.Message);
                Failed = true;
                _connected = false;
                _stopServer();
                return;
            }
            catch (Exception e)
            {
                // A fault of ours: a standby that stands still unseen is worth nothing on the day it is needed.
                _log.Error(e, "standby: the primary's state could not be taken over");
            }

            _connected = false;
            await Task.Delay(ReconnectPause, _stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task FollowAsync()
    {
        using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await using Stream stream = await ConnectAsync(socket);
        await stream.WriteAsync(Frame(JsonSerializer.SerializeToUtf8Bytes(
            new Dictionary<string, string> { ["format"] = "events", ["token"] = _options.Token, ["type"] = "subscribe_replication" })), _stop.Token);
        long lastAlive = Stopwatch.GetTimestamp();
        while (true)
        {
            byte[] body = await ReadAsync(stream);
            TakeOver(body);
            if (Stopwatch.GetElapsedTime(lastAlive) > AliveInterval)
            {
                // Any byte does; one that begins no frame of ours.
                await stream.WriteAsync(new byte[1], _stop.Token);
                lastAlive = Stopwatch.GetTimestamp();
            }
        }
    }

    private async Task<Stream> ConnectAsync(Socket socket)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
        limit.CancelAfter(ConnectTimeout);
        int colon = _options.Primary.LastIndexOf(':');
        string host = _options.Primary[..colon].Trim('[', ']');
        await socket.ConnectAsync(host, int.Parse(_options.Primary.AsSpan(colon + 1), System.Globalization.CultureInfo.InvariantCulture), limit.Token);
        var stream = new NetworkStream(socket);
        if (_options.Fingerprint.Length == 0)
        {
            return stream;
        }

        // The pin alone decides (spec 03 section 2.3).
        var tls = new SslStream(stream, leaveInnerStreamOpen: false, (_, certificate, _, _) =>
            certificate is not null && Convert.ToHexStringLower(SHA256.HashData(certificate.GetRawCertData())) == _options.Fingerprint);
        await tls.AuthenticateAsClientAsync(new SslClientAuthenticationOptions { TargetHost = host }, limit.Token);
        return tls;
    }

    private async Task<byte[]> ReadAsync(Stream stream)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
        limit.CancelAfter(ReadTimeout);
        byte[] prefix = new byte[sizeof(uint)];
        await stream.ReadExactlyAsync(prefix, limit.Token);
        uint length = BinaryPrimitives.ReadUInt32BigEndian(prefix);
        if (length > MaxFrame)
        {
            throw new InvalidDataException($"the primary announces a message of {length} bytes");
        }

        byte[] body = new byte[Math.Min(length, FirstRoom)];
        int filled = 0;
        while (filled < length)
        {
            if (filled == body.Length)
            {
                Array.Resize(ref body, (int)Math.Min(length, (long)filled * 2));
            }

            limit.CancelAfter(ReadTimeout);
            int read = await stream.ReadAsync(body.AsMemory(filled), limit.Token);
            filled += read > 0 ? read : throw new EndOfStreamException("the primary closed the connection");
        }

        return body;
    }

    private void TakeOver(byte[] body)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(body);
            JsonElement root = document.RootElement;
            if (root.TryGetProperty("error", out JsonElement error))
            {
                throw new InvalidDataException($"the primary refuses: {error}");
            }

            string type = root.TryGetProperty("type", out JsonElement named) ? named.ToString() : "";
            if (type != "replication_snapshot")
            {
                if (type != "heartbeat")
                {
                    _log.Warning("standby: unknown message {Type} of the primary", type);
                }

                return;
            }

            RegistryState state = root.TryGetProperty("events", out JsonElement events) ? ReadEvents(events)
                : root.TryGetProperty("snapshot", out JsonElement snapshot) ? ReferenceSnapshot.Read(Encoding.UTF8.GetBytes(snapshot.GetRawText()), out _)
                : throw new InvalidDataException("a snapshot without content");
            _connected = true;
            Keep(state);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or ArgumentException or NotSupportedException)
        {
            throw new InvalidDataException($"unreadable message of the primary: {e.Message}", e);
        }
    }

    private static RegistryState ReadEvents(JsonElement events)
    {
        var state = new RegistryState(DateTimeOffset.UnixEpoch);
        foreach (RegistryEvent happened in events.Deserialize(RegistryEventContext.Default.RegistryEventArray) ?? throw new InvalidDataException("no events"))
        {
            state.Apply(happened);
        }

        return state;
    }

    // First the store: what this server answers survives it.
    private void Keep(RegistryState state)
    {
        if (_store is not null)
        {
            _position = _store.Replace(_position, StoredState.Of(state));
        }

        _registry.Follow(state);
        bool first = Interlocked.Exchange(ref _lastSnapshot, Stopwatch.GetTimestamp()) == 0;
        _log.Write(first ? Serilog.Events.LogEventLevel.Information : Serilog.Events.LogEventLevel.Debug, "standby: state of the primary taken over, {Nodes} nodes", state.Nodes.Count);
    }

    private static byte[] Frame(byte[] body)
    {
        byte[] frame = new byte[sizeof(uint) + body.Length];
        BinaryPrimitives.WriteUInt32BigEndian(frame, (uint)body.Length);
        body.CopyTo(frame, sizeof(uint));
        return frame;
    }
}

/// <summary>Whom to follow.</summary>
/// <param name="Primary"><c>host:port</c>.</param>
/// <param name="Token">Replication token of the primary.</param>
/// <param name="Fingerprint">SHA-256 of its certificate in lower-case hex; empty = without TLS.</param>
internal sealed record StandbyOptions(string Primary, string Token, string Fingerprint);
