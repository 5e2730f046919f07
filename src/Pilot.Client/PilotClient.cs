using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Pilot.Ipc;

namespace Pilot.Client;

/// <summary>
/// A client of the local <c>pilot-daemon</c> (spec chapter 08 section 10). Thread-safe; one object serves a whole program. No connection is made
/// before the first call, and a lost one is made again by the next call.
/// </summary>
/// <example>
/// <code>
/// await using PilotClient pilot = new();
/// await using PilotStream stream = await pilot.DialAsync("agent-b", 1000);
/// await stream.WriteAsync("hello"u8.ToArray());
/// await stream.CompleteWritesAsync();
/// </code>
/// </example>
public sealed partial class PilotClient : IAsyncDisposable
{
    private readonly PilotClientOptions _options;
    private readonly ControlChannel _control;
    private readonly Lock _directGate = new();
    private IpcConnection? _direct;
    private bool _disposed;

    /// <summary>Makes a client; see <see cref="PilotClientOptions"/> for the default socket.</summary>
    public PilotClient(PilotClientOptions? options = null)
    {
        _options = options ?? new PilotClientOptions();
        _control = new ControlChannel(_options.SocketPath);
    }

    /// <summary>Socket of the daemon.</summary>
    public string SocketPath => _options.SocketPath;

    /// <summary>Sends any request that needs no hand-over and returns the reply's data.</summary>
    /// <exception cref="PilotException">The daemon refused, is not running or did not answer.</exception>
    public Task<JsonElement> RequestAsync(IpcRequest request, CancellationToken cancellationToken = default) =>
        RequestAsync(request, _options.RequestTimeout, cancellationToken);

    /// <summary>The same with another limit; <see cref="Timeout.InfiniteTimeSpan"/> for none.</summary>
    public async Task<JsonElement> RequestAsync(IpcRequest request, TimeSpan timeout, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(request);
        using CancellationTokenSource limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(timeout);
        try
        {
            return IpcConnection.DataOf(await _control.RequestAsync(request, limit.Token).ConfigureAwait(false));
        }
        catch (OperationCanceledException e) when (!cancellationToken.IsCancellationRequested)
        {
            throw new PilotException(IpcErrorCode.Timeout, "the daemon did not answer in time", null, e);
        }
    }

    /// <summary>One request, blocking the calling thread: the cheapest way for a short-lived program. Requests of several threads wait for each other.</summary>
    /// <exception cref="PilotException">The daemon refused, is not running or did not answer.</exception>
    public JsonElement Request(IpcRequest request, TimeSpan? timeout = null)
    {
        ArgumentNullException.ThrowIfNull(request);
        lock (_directGate)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            bool reused = _direct is not null;
            while (true)
            {
                _direct ??= IpcConnection.Open(_options.SocketPath);
                try
                {
                    return IpcConnection.DataOf(_direct.Request(request, timeout ?? _options.RequestTimeout));
                }
                catch (PilotException e) when (e.Code is PilotErrorCode.ConnectionLost or PilotErrorCode.Protocol or IpcErrorCode.Timeout && !_direct.IsIdle)
                {
                    // A late answer must not be taken for the next one's.
                    _direct.Dispose();
                    _direct = null;
                    if (!reused || e.Code != PilotErrorCode.ConnectionLost)
                    {
                        throw;
                    }

                    reused = false; // the daemon was restarted since the last request
                }
            }
        }
    }

    /// <summary>Opens a stream.</summary>
    /// <param name="target">Hostname, address <c>N:NNNN.HHHH.LLLL</c> or decimal node id.</param>
    /// <param name="port">Port at the peer.</param>
    /// <param name="timeout">Limit for name, tunnel and stream together; null leaves it to the daemon (15 s).</param>
    /// <param name="progress">Told of the steps.</param>
    /// <param name="cancellationToken">Gives the attempt up.</param>
    /// <exception cref="PilotException">Codes <c>not_found</c>, <c>refused</c>, <c>timeout</c>, <c>not_trusted</c>, <c>unreachable</c>, <c>registry_unavailable</c>, <c>not_running</c>.</exception>
    public Task<PilotStream> DialAsync(
        string target, ushort port, TimeSpan? timeout = null, Action<DialProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        IpcRequest request = DialRequest(target, port, timeout) with { Progress = progress is null ? null : true };
        return HandOverAsync(request, progress, cancellationToken);
    }

    /// <summary>
    /// The same on the calling thread, which waits: no thread of the pool takes part, so the stream is open (and
    /// <see cref="PilotStream.Read(Span{byte})"/> returns) about two changes of threads sooner.
    /// </summary>
    /// <param name="target">As in <see cref="DialAsync"/>.</param>
    /// <param name="port">Port at the peer.</param>
    /// <param name="timeout">As in <see cref="DialAsync"/>; the daemon keeps it.</param>
    /// <exception cref="PilotException">As <see cref="DialAsync"/>.</exception>
    public PilotStream Dial(string target, ushort port, TimeSpan? timeout = null) => HandOver(DialRequest(target, port, timeout));

    /// <summary>Binds a port (0: any free one).</summary>
    /// <exception cref="PilotException"><c>port_in_use</c>, <c>limit_reached</c>.</exception>
    public async Task<PilotListener> ListenAsync(ushort port, int? backlog = null, CancellationToken cancellationToken = default)
    {
        IpcConnection binding = await IpcConnection.OpenAsync(_options.SocketPath, cancellationToken).ConfigureAwait(false);
        try
        {
            await binding.WriteAsync(new IpcRequest { Cmd = IpcCommand.Listen, Port = port, Backlog = backlog }, cancellationToken).ConfigureAwait(false);
            IpcReply reply = await binding.ReadAsync(cancellationToken).ConfigureAwait(false);
            return new PilotListener(this, binding, Read(IpcConnection.DataOf(reply), IpcJson.Context.ListenData));
        }
        catch
        {
            binding.Dispose();
            throw;
        }
    }

    /// <summary>Sends one datagram; delivery is not confirmed.</summary>
    /// <param name="target">As in <see cref="DialAsync"/>.</param>
    /// <param name="port">Port at the peer.</param>
    /// <param name="payload">At most <see cref="IpcProtocol.MaxDatagram"/> bytes.</param>
    /// <param name="sourcePort">Own port; null for an ephemeral one.</param>
    /// <param name="cancellationToken">Gives up waiting.</param>
    public async Task<SendToData> SendDatagramAsync(
        string target, ushort port, ReadOnlyMemory<byte> payload, ushort? sourcePort = null, CancellationToken cancellationToken = default) =>
        Read(
            await RequestAsync(
                new IpcRequest { Cmd = IpcCommand.SendTo, To = target, Port = port, SrcPort = sourcePort, Data = Convert.ToBase64String(payload.Span) },
                cancellationToken).ConfigureAwait(false),
            IpcJson.Context.SendToData);

    /// <summary>Datagrams that arrive for the given ports (none given: every port) from now on. Enumerate to receive; stop to unsubscribe.</summary>
    public async IAsyncEnumerable<DatagramEvent> SubscribeDatagramsAsync(
        IReadOnlyList<ushort> ports, Action? subscribed = null, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        using IpcConnection connection = await IpcConnection.OpenAsync(_options.SocketPath, cancellationToken).ConfigureAwait(false);
        await connection.WriteAsync(new IpcRequest { Cmd = IpcCommand.Subscribe, Datagrams = ports }, cancellationToken).ConfigureAwait(false);
        bool answered = false;
        while (true)
        {
            (IpcReply reply, DatagramEvent? datagram) = await connection.ReadAsync(
                IpcEvent.Datagram, IpcJson.Context.DatagramEvent, cancellationToken).ConfigureAwait(false);
            if (datagram is not null)
            {
                yield return datagram;
            }
            else if (!answered && reply.Event is null)
            {
                _ = IpcConnection.DataOf(reply);
                answered = true;
                subscribed?.Invoke();
            }
        }
    }

    /// <summary>Subscribes to events; from the return on none is missed.</summary>
    /// <param name="events">Names, see <see cref="IpcEvent"/>.</param>
    /// <param name="occurred">Told of each, one after the other, as the object that the daemon sent (<c>docs/ipc.md</c>).</param>
    /// <param name="cancellationToken">Gives the subscribing up.</param>
    /// <exception cref="PilotException">The daemon refused, or is not running.</exception>
    public async Task<EventSubscription> SubscribeEventsAsync(IReadOnlyList<string> events, Action<JsonElement> occurred, CancellationToken cancellationToken = default)
    {
        IpcConnection connection = await IpcConnection.OpenAsync(_options.SocketPath, cancellationToken).ConfigureAwait(false);
        try
        {
            await connection.WriteAsync(new IpcRequest { Cmd = IpcCommand.Subscribe, Events = events }, cancellationToken).ConfigureAwait(false);
            _ = IpcConnection.DataOf(await connection.ReadAsync(cancellationToken).ConfigureAwait(false));
            return new EventSubscription(connection, occurred);
        }
        catch
        {
            connection.Dispose();
            throw;
        }
    }

    /// <summary>Closes the control connection; streams and listeners live on.</summary>
    public ValueTask DisposeAsync()
    {
        lock (_directGate)
        {
            _disposed = true;
            _direct?.Dispose();
            _direct = null;
        }

        return _control.DisposeAsync();
    }

    internal async Task<PilotStream> HandOverAsync(IpcRequest request, Action<DialProgress>? progress, CancellationToken cancellationToken)
    {
        IpcConnection connection = await IpcConnection.OpenAsync(_options.SocketPath, cancellationToken).ConfigureAwait(false);
        try
        {
            await connection.WriteAsync(request, cancellationToken).ConfigureAwait(false);
            while (true)
            {
                (IpcReply reply, ProgressEvent? step) = await connection.ReadAsync(
                    IpcEvent.Progress, IpcJson.Context.ProgressEvent, cancellationToken).ConfigureAwait(false);
                if (step is not null)
                {
                    progress?.Invoke(new DialProgress(step));
                }
                else if (reply.Event is null)
                {
                    return ToStream(connection, reply);
                }
            }
        }
        catch
        {
            connection.Dispose();
            throw;
        }
    }

    internal PilotStream HandOver(IpcRequest request)
    {
        IpcConnection connection = IpcConnection.Open(_options.SocketPath);
        try
        {
            return ToStream(connection, connection.RequestHandOver(request));
        }
        catch
        {
            connection.Dispose();
            throw;
        }
    }

    private PilotStream ToStream(IpcConnection connection, IpcReply reply)
    {
        if (!reply.Ok)
        {
            throw IpcConnection.Failure(reply);
        }

        if (!reply.Raw)
        {
            throw new PilotException(PilotErrorCode.Protocol, "the daemon did not hand the stream over");
        }

        (System.Net.Sockets.Socket socket, ReadOnlyMemory<byte> first) = connection.Detach();
        return new PilotStream(socket, first, reply, ConnResultAsync);
    }

    private static IpcRequest DialRequest(string target, ushort port, TimeSpan? timeout) => new()
    {
        Cmd = IpcCommand.Dial,
        To = target,
        Port = port,
        TimeoutMs = timeout is { } limit ? Milliseconds(limit) : null,
    };

    internal static int Milliseconds(TimeSpan timeout) => (int)Math.Clamp(Math.Ceiling(timeout.TotalMilliseconds), 1, int.MaxValue);

    private static T Read<T>(JsonElement data, JsonTypeInfo<T> type)
        where T : class
    {
        try
        {
            return data.Deserialize(type) ?? throw new PilotException(PilotErrorCode.Protocol, "the daemon sent null for an object");
        }
        catch (JsonException e)
        {
            throw new PilotException(PilotErrorCode.Protocol, "the daemon sent data of another shape: " + e.Message, null, e);
        }
    }
}

/// <summary>A step of a running dial.</summary>
public readonly record struct DialProgress
{
    internal DialProgress(ProgressEvent step)
    {
        Stage = step.Stage;
        Elapsed = TimeSpan.FromMilliseconds(step.ElapsedMs);
        Address = step.Address;
        Path = step.Path;
        UdpEndpoint = step.Endpoint;
        RoundTrip = step.RttMs is { } rtt ? TimeSpan.FromMilliseconds(rtt) : null;
    }

    /// <summary><c>resolving</c>, <c>resolved</c>, <c>tunnel</c>, <c>path</c> or <c>connecting</c>; see <see cref="ProgressEvent.Stage"/>.</summary>
    public string Stage { get; }

    /// <summary>Time since the request.</summary>
    public TimeSpan Elapsed { get; }

    /// <summary>Peer's address, once known.</summary>
    public string? Address { get; }

    /// <summary>See <see cref="PathName"/>, once known.</summary>
    public string? Path { get; }

    /// <summary>UDP endpoint, once known.</summary>
    public string? UdpEndpoint { get; }

    /// <summary>Round trip, once known.</summary>
    public TimeSpan? RoundTrip { get; }
}
