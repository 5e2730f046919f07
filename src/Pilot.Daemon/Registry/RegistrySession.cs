using Microsoft.Extensions.Logging;
using Pilot.Daemon.Configuration;
using Pilot.Daemon.Host;
using Pilot.Daemon.Loop;
using Pilot.Daemon.Net;
using Pilot.Daemon.Trust;
using Pilot.Engine;
using Pilot.Engine.Trust;
using Pilot.Protocol;
using Pilot.Protocol.Registry;

namespace Pilot.Daemon.Registry;

/// <summary>
/// Keeps this node registered (00 §3): registers, restores everything the registry may have forgotten, sends heartbeats, polls for relayed
/// handshakes, and registers again when the NAT mapping or the registry's memory changes.
/// </summary>
internal sealed class RegistrySession : IDisposable
{
    private static readonly TimeSpan LookWait = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan MappingWait = TimeSpan.FromSeconds(1); // 00 §2.1 row 3

    private readonly DaemonSettings _settings;
    private readonly RegistryClient _client;
    private readonly RegistryRequests _requests;
    private readonly NodeHost _host;
    private readonly TrustHost _trust;
    private readonly OwnAddresses _own;
    private readonly Func<ushort> _localPort;
    private readonly uint _lastNodeId;
    private readonly ILogger _logger;
    private readonly PollSchedule _polls = new();
    private readonly object _gate = new();
    private readonly SemaphoreSlim _wake = new(0, 1);
    private readonly TaskCompletionSource _mappingKnown = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _registered = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private TaskCompletionSource _pollDone = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private string _registeredAddress = string.Empty;
    private IReadOnlyList<UdpEndpoint> _registeredLan = [];
    private volatile bool _registerWanted;

    public RegistrySession(
        DaemonSettings settings, RegistryClient client, RegistryRequests requests, NodeHost host, TrustHost trust, OwnAddresses own, Func<ushort> localPort, string? email, ILogger logger)
    {
        _settings = settings;
        _client = client;
        _requests = requests;
        _host = host;
        _trust = trust;
        _own = own;
        _localPort = localPort;
        _lastNodeId = trust.Book.LastNodeId; // of the last run; nothing else uses the book yet
        _logger = logger;
        Email = email;
        Attributes = new NodeAttributes(settings, requests, client, host, logger);
        var questions = new RegistryQuestions(requests, client, host, own);
        client.Greet = GreetAsync;
        client.Lost = _ => Locked(_polls.Unregistered);
        host.ResolveAsked = nodeId => _ = questions.ResolveAsync(nodeId);
        host.LookupAsked = nodeId => _ = questions.LookupAsync(nodeId);
        host.TrustCheckAsked = nodeId => _ = questions.CheckTrustAsync(nodeId);
        host.MappingChanged = endpoint =>
        {
            own.SetSeen(endpoint);
            _mappingKnown.TrySetResult();
        };
        own.Changed += _ => RegisterIfMoved();
        trust.PollSoon = () =>
        {
            Locked(() =>
            {
                _polls.TrustAction(MonotonicClock.Now);
                _polls.Look(MonotonicClock.Now);
            });
            Wake();
        };
    }

    public string? Email { get; }

    /// <summary>Own node id; 0 before the first registration.</summary>
    public uint NodeId => _requests.NodeId;

    public string Address => NodeId == 0 ? string.Empty : PilotAddress.OfNode(NodeId).ToString();

    /// <summary>What the registry is told about this node besides where it is.</summary>
    public NodeAttributes Attributes { get; }

    /// <summary>Endpoint as the beacon sees it; empty if unknown.</summary>
    public string Endpoint => _own.Current.Seen?.ToString() ?? string.Empty;

    /// <summary>Last refusal of a registration step; empty when the last one went well.</summary>
    public string LastError { get; private set; } = string.Empty;

    /// <summary>Done after the first registration.</summary>
    public Task Registered => _registered.Task;

    public bool IsRegistered => _registered.Task.IsCompleted;

    public void Dispose() => _wake.Dispose();

    /// <summary>Heartbeats and polls until cancelled.</summary>
    public async Task RunAsync(CancellationToken cancellation)
    {
        await _registered.Task.WaitAsync(cancellation).ConfigureAwait(false);
        var nextHeartbeat = MonotonicClock.Now + _settings.KeepAlive;
        while (!cancellation.IsCancellationRequested)
        {
            var nextPoll = Locked(() => _polls.NextPoll);
            var wait = Instant.Min(nextHeartbeat, nextPoll) - MonotonicClock.Now;
            if (wait > TimeSpan.Zero)
            {
                await _wake.WaitAsync(WholeMilliseconds(wait), cancellation).ConfigureAwait(false);
            }

            try
            {
                if (_registerWanted)
                {
                    _registerWanted = false;
                    await RegisterAsync(SendAsync, isRestored: false, cancellation).ConfigureAwait(false);
                }

                if (MonotonicClock.Now >= nextHeartbeat)
                {
                    nextHeartbeat = MonotonicClock.Now + _settings.KeepAlive;
                    await HeartbeatAsync(SendAsync, cancellation).ConfigureAwait(false);
                }

                if (MonotonicClock.Now >= Locked(() => _polls.NextPoll))
                {
                    await PollAsync(cancellation).ConfigureAwait(false);
                }
            }
            catch (Exception exception) when (exception is RegistryUnavailableException or RegistryErrorException)
            {
                _logger.LogWarning("{Error}", exception.Message);
                _registerWanted |= HasMoved; // again with the next heartbeat
            }
        }
    }

    /// <summary>Timers count whole milliseconds and cut the rest off: a wait of less than one would end at once, again and again until the time has come.</summary>
    internal static TimeSpan WholeMilliseconds(TimeSpan wait) => TimeSpan.FromMilliseconds(Math.Ceiling(wait.TotalMilliseconds));

    /// <summary>Somebody looks at pending or trusted: polls now if the last poll is not fresh, and waits a moment for it (lessons 64).</summary>
    public async Task LookAsync()
    {
        var (due, done) = Locked(() =>
        {
            _polls.Look(MonotonicClock.Now);
            return (_polls.NextPoll <= MonotonicClock.Now, _pollDone.Task);
        });
        if (due)
        {
            Wake();
            await Task.WhenAny(done, Task.Delay(LookWait)).ConfigureAwait(false);
        }
    }

    private async Task GreetAsync(RegistryConnection connection, CancellationToken cancellation)
    {
        Task<RegistryAnswer> Send(RegistryRequest request, CancellationToken token) => connection.ExchangeAsync(request, _client.RequestTimeout, token);
        try
        {
            // One that cannot name a session is no registry of ours, and gets the reference's signatures alone.
            var session = new byte[RequestProof.SessionSize];
            var hello = await Send(RegistryRequests.Hello(), cancellation).ConfigureAwait(false);
            if (hello.Error is null && StandardBase64.TryDecodeExact(hello.Text(RequestProof.SessionMember), session))
            {
                var serverKey = new byte[X25519.KeySize];
                connection.SignWith(_requests.Identity, session, StandardBase64.TryDecodeExact(hello.Text(RequestMac.ServerKeyMember), serverKey) ? serverKey : default);
            }

            if (NodeId == 0)
            {
                await WaitForMappingAsync(cancellation).ConfigureAwait(false);
                await RegisterAsync(Send, isRestored: true, cancellation).ConfigureAwait(false);
            }
            else
            {
                await HeartbeatAsync(Send, cancellation).ConfigureAwait(false);
                Locked(() => _polls.Registered(MonotonicClock.Now));
                _host.Loop.Post(_trust.RegistryAvailable);
            }

            Wake();
        }
        catch (RegistryErrorException exception)
        {
            LastError = $"register: registry: {exception.Message}";
            throw new RegistryUnavailableException(LastError);
        }
    }

    private async Task WaitForMappingAsync(CancellationToken cancellation)
    {
        if (_settings.Beacons.Count > 0 && _settings.Endpoint is null)
        {
            await Task.WhenAny(_mappingKnown.Task, Task.Delay(MappingWait, cancellation)).ConfigureAwait(false);
            cancellation.ThrowIfCancellationRequested();
        }
    }

    /// <summary>Registers, and with <paramref name="isRestored"/> tells the registry again everything it keeps about this node (00 §3).</summary>
    private async Task RegisterAsync(Sender send, bool isRestored, CancellationToken cancellation)
    {
        var address = RegistrationAddress();
        var lan = _own.Current.ToRegisterAsLan;
        var answer = Check(await send(_requests.Register(address, Email, [.. lan.Select(endpoint => endpoint.ToString())], NodeId != 0 ? NodeId : _lastNodeId), cancellation).ConfigureAwait(false));
        var nodeId = answer.Node("node_id");
        if (nodeId is 0 or PilotAddress.BroadcastNode)
        {
            throw new RegistryUnavailableException("register: missing node_id in response");
        }

        var before = _requests.NodeId;
        _requests.NodeId = nodeId;
        (_registeredAddress, _registeredLan) = (address, lan);
        _own.SetObserved(UdpEndpoint.TryParse(answer.Text("observed_addr"), out var observed) ? observed : null);
        _logger.LogInformation("registered as node {NodeId} at {Endpoint}", nodeId, answer.Text("observed_addr"));
        var networks = RegistryAnswer.NetworksOf(await send(RegistryRequests.Lookup(nodeId), cancellation).ConfigureAwait(false));
        await _host.Loop.AskAsync(() =>
        {
            _host.Node.SetRegistered(_host.Now, nodeId);
            _host.Node.SetNetworks(networks);
            _trust.Book.SetNetworks(networks);
            return true;
        }).ConfigureAwait(false);
        if (isRestored || before != nodeId)
        {
            await Attributes.RestoreAsync(request => send(request, cancellation)).ConfigureAwait(false);
            await _host.Loop.AskAsync(() =>
            {
                _trust.Registered(nodeId);
                return true;
            }).ConfigureAwait(false);
        }

        Locked(() => _polls.Registered(MonotonicClock.Now));
        LastError = string.Empty;
        _registered.TrySetResult();
        RegisterIfMoved(); // what was learned meanwhile
        Wake();
    }

    private async Task HeartbeatAsync(Sender send, CancellationToken cancellation)
    {
        var answer = await send(_requests.Heartbeat(), cancellation).ConfigureAwait(false);
        if (answer.Error is null)
        {
            return;
        }

        _logger.LogWarning("heartbeat refused: {Error}", answer.Error);
        if (answer.IsNotFound)
        {
            await RegisterAsync(send, isRestored: true, cancellation).ConfigureAwait(false);
        }
        else if (answer.Error == "request failed")
        {
            // The registry has another key for this id (03 §5.4 cases 3 and 4): registering by our key settles which id is ours.
            await RegisterAsync(send, isRestored: true, cancellation).ConfigureAwait(false);
        }
    }

    private async Task PollAsync(CancellationToken cancellation)
    {
        Locked(_polls.Sent);
        try
        {
            var answer = Check(await SendAsync(_requests.PollHandshakes(), cancellation).ConfigureAwait(false));
            var requests = answer.Items("requests")
                .Select(item => new RelayedRequest(RegistryAnswer.Node(item, "from_node_id"), RegistryAnswer.Text(item, "justification"), RegistryAnswer.Text(item, "from_hostname")))
                .Where(item => item.FromNodeId != 0).ToArray();
            var responses = answer.Items("responses")
                .Select(item => new RelayedResponse(RegistryAnswer.Node(item, "from_node_id"), RegistryAnswer.Bool(item, "accept"), RegistryAnswer.Text(item, "from_hostname")))
                .Where(item => item.FromNodeId != 0).ToArray();
            if (requests.Length > 0 || responses.Length > 0)
            {
                _host.Loop.Post(() => _trust.ReceivePoll(requests, responses));
            }
        }
        finally
        {
            Locked(() =>
            {
                _polls.Finished(MonotonicClock.Now);
                _pollDone.TrySetResult();
                _pollDone = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            });
        }
    }

    /// <summary>What <c>listen_addr</c> is to say: the registry uses its port only (03 §5.1).</summary>
    private string RegistrationAddress() =>
        _settings.Endpoint ?? _own.Current.ToRegister?.ToString() ?? $"127.0.0.1:{_localPort()}";

    private bool HasMoved => RegistrationAddress() != _registeredAddress || !_own.Current.ToRegisterAsLan.SequenceEqual(_registeredLan);

    /// <summary>What was registered is not true any more: registers again at once.</summary>
    private void RegisterIfMoved()
    {
        if (IsRegistered && HasMoved)
        {
            _registerWanted = true;
            Wake();
        }
    }

    private Task<RegistryAnswer> SendAsync(RegistryRequest request, CancellationToken cancellation) => _client.SendAsync(request, cancellation);

    private static RegistryAnswer Check(RegistryAnswer answer) => answer.Error is null ? answer : throw new RegistryErrorException(answer);

    private void Wake()
    {
        try
        {
            if (_wake.CurrentCount == 0)
            {
                _wake.Release();
            }
        }
        catch (SemaphoreFullException)
        {
            // Somebody else woke it at the same moment.
        }
    }

    private void Locked(Action action)
    {
        lock (_gate)
        {
            action();
        }
    }

    private T Locked<T>(Func<T> function)
    {
        lock (_gate)
        {
            return function();
        }
    }

    private delegate Task<RegistryAnswer> Sender(RegistryRequest request, CancellationToken cancellation);
}
