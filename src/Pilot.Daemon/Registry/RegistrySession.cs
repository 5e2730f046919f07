using System.Collections.Concurrent;
using System.Text.Json;
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
/// handshakes, registers again when the NAT mapping or the registry's memory changes, and answers the node's questions.
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
    private readonly IReadOnlyList<UdpEndpoint> _lan;
    private readonly ushort _localPort;
    private const string HostnameStep = "set_hostname";

    private readonly uint _lastNodeId;
    private readonly ILogger _logger;
    private readonly PollSchedule _polls = new();
    private readonly object _gate = new();
    private readonly SemaphoreSlim _wake = new(0, 1);
    private readonly TaskCompletionSource _mappingKnown = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _registered = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private TaskCompletionSource _pollDone = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private UdpEndpoint? _mapping;
    private string _registeredAddress = string.Empty;
    private volatile bool _registerWanted;
    private readonly ConcurrentDictionary<string, string> _stepErrors = new(StringComparer.Ordinal); // refused steps after registration, by request type
    private string _wantedHostname;
    private IReadOnlyList<string>? _tags;
    private bool? _taskExec;

    public RegistrySession(
        DaemonSettings settings, RegistryClient client, RegistryRequests requests, NodeHost host, TrustHost trust, IReadOnlyList<UdpEndpoint> lan, ushort localPort, string? email, ILogger logger)
    {
        _settings = settings;
        _client = client;
        _requests = requests;
        _host = host;
        _trust = trust;
        _lan = lan;
        _localPort = localPort;
        _lastNodeId = trust.Book.LastNodeId; // of the last run; nothing else uses the book yet
        _logger = logger;
        Email = email;
        IsPublic = settings.Public;
        _wantedHostname = settings.Hostname ?? string.Empty;
        if (_wantedHostname.Length > 0 && !HostnameRules.TryValidate(_wantedHostname, out var problem))
        {
            // As with a taken one: said, but no reason not to work.
            Note(HostnameStep, $"hostname \"{_wantedHostname}\" is not used: {problem}");
            _wantedHostname = string.Empty;
        }

        client.Greet = GreetAsync;
        client.Lost = _ => Locked(_polls.Unregistered);
        host.ResolveAsked = nodeId => _ = ResolveAsync(nodeId);
        host.LookupAsked = nodeId => _ = LookupAsync(nodeId);
        host.TrustCheckAsked = nodeId => _ = CheckTrustAsync(nodeId);
        host.MappingChanged = OnMappingChanged;
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

    /// <summary>Hostname that the registry confirmed; empty = none.</summary>
    public string Hostname { get; private set; } = string.Empty;

    public bool IsPublic { get; private set; }

    /// <summary>Endpoint as the beacon sees it; empty if unknown.</summary>
    public string Endpoint => _mapping?.ToString() ?? string.Empty;

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
                await _wake.WaitAsync(wait, cancellation).ConfigureAwait(false);
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
            }
        }
    }

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

    public async Task<RegistryAnswer> SetHostnameAsync(string hostname, CancellationToken cancellation)
    {
        var answer = await AskAsync(_requests.SetHostname(hostname), cancellation).ConfigureAwait(false);
        Hostname = _wantedHostname = hostname;
        _stepErrors.TryRemove(HostnameStep, out _);
        return answer;
    }

    public async Task<RegistryAnswer> SetVisibilityAsync(bool isPublic, CancellationToken cancellation)
    {
        if (!isPublic)
        {
            // Closing takes effect here even if the registry cannot be told.
            ApplyVisibility(false);
        }

        var answer = await AskAsync(_requests.SetVisibility(isPublic), cancellation).ConfigureAwait(false);
        ApplyVisibility(isPublic);
        return answer;
    }

    public async Task<RegistryAnswer> SetTagsAsync(IReadOnlyList<string> tags, CancellationToken cancellation)
    {
        var answer = await AskAsync(_requests.SetTags(tags), cancellation).ConfigureAwait(false);
        _tags = tags;
        return answer;
    }

    public async Task<RegistryAnswer> SetTaskExecAsync(bool enabled, CancellationToken cancellation)
    {
        var answer = await AskAsync(_requests.SetTaskExec(enabled), cancellation).ConfigureAwait(false);
        _taskExec = enabled;
        return answer;
    }

    /// <summary>Asks, and throws what the registry refuses.</summary>
    /// <exception cref="RegistryErrorException">Refused.</exception>
    /// <exception cref="RegistryUnavailableException">Could not be asked.</exception>
    public async Task<RegistryAnswer> AskAsync(RegistryRequest request, CancellationToken cancellation)
    {
        var answer = await _client.SendAsync(request, cancellation).ConfigureAwait(false);
        return answer.Error is null ? answer : throw new RegistryErrorException(answer);
    }

    public static byte[]? KeyOf(RegistryAnswer? answer)
    {
        if (answer is null || answer.Error is not null)
        {
            return null;
        }

        var key = new byte[Ed25519.PublicKeySize];
        return StandardBase64.TryDecodeExact(answer.Text("public_key"), key) ? key : null;
    }

    public static IReadOnlyList<ushort> NetworksOf(RegistryAnswer answer) =>
    [
        .. answer.Items("networks")
            .Where(item => item.ValueKind == JsonValueKind.Number && item.TryGetDouble(out var value) && value is >= 0 and <= ushort.MaxValue)
            .Select(item => (ushort)item.GetDouble()),
    ];

    private async Task GreetAsync(RegistryConnection connection, CancellationToken cancellation)
    {
        Task<RegistryAnswer> Send(RegistryRequest request, CancellationToken token) => connection.ExchangeAsync(request, _client.RequestTimeout, token);
        try
        {
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
        var answer = Check(await send(_requests.Register(address, Email, [.. _lan.Select(lan => lan.ToString())], NodeId != 0 ? NodeId : _lastNodeId), cancellation).ConfigureAwait(false));
        var nodeId = answer.Node("node_id");
        if (nodeId is 0 or PilotAddress.BroadcastNode)
        {
            throw new RegistryUnavailableException("register: missing node_id in response");
        }

        var before = _requests.NodeId;
        _requests.NodeId = nodeId;
        _registeredAddress = address;
        _logger.LogInformation("registered as node {NodeId} at {Endpoint}", nodeId, answer.Text("observed_addr"));
        var networks = NetworksOf(await send(RegistryRequests.Lookup(nodeId), cancellation).ConfigureAwait(false));
        await _host.Loop.AskAsync(() =>
        {
            _host.Node.SetRegistered(_host.Now, nodeId);
            _host.Node.SetNetworks(networks);
            _trust.Book.SetNetworks(networks);
            return true;
        }).ConfigureAwait(false);
        if (isRestored || before != nodeId)
        {
            await RestoreAsync(send, cancellation).ConfigureAwait(false);
            await _host.Loop.AskAsync(() =>
            {
                _trust.Registered(nodeId);
                return true;
            }).ConfigureAwait(false);
        }

        Locked(() => _polls.Registered(MonotonicClock.Now));
        LastError = string.Empty;
        _registered.TrySetResult();
        Wake();
    }

    private async Task RestoreAsync(Sender send, CancellationToken cancellation)
    {
        await Step(_requests.SetVisibility(IsPublic)).ConfigureAwait(false);
        if (_wantedHostname.Length > 0)
        {
            Hostname = await Step(_requests.SetHostname(_wantedHostname)).ConfigureAwait(false) ? _wantedHostname : string.Empty;
        }

        if (_tags is { } tags)
        {
            await Step(_requests.SetTags(tags)).ConfigureAwait(false);
        }

        if (_taskExec is { } taskExec)
        {
            await Step(_requests.SetTaskExec(taskExec)).ConfigureAwait(false);
        }

        async Task<bool> Step(RegistryRequest request)
        {
            var answer = await send(request, cancellation).ConfigureAwait(false);
            if (answer.Error is { } error)
            {
                // A taken hostname must not keep the node from working (07 §8: only logged).
                Note(request.Type, $"{request.Type}: registry: {error}");
                return false;
            }

            _stepErrors.TryRemove(request.Type, out _);
            return true;
        }
    }

    /// <summary>A step after registration that is refused (hostname taken, …) and was not repaired since; empty if none.</summary>
    public string LastErrorOfStep => _stepErrors.Values.FirstOrDefault() ?? string.Empty;

    private void Note(string step, string error)
    {
        _logger.LogError("{Error}", error);
        _stepErrors[step] = error;
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
        _settings.Endpoint ?? _mapping?.ToString() ?? $"127.0.0.1:{_localPort}";

    private void OnMappingChanged(UdpEndpoint mapping)
    {
        _mapping = mapping;
        _mappingKnown.TrySetResult();
        if (IsRegistered && RegistrationAddress() != _registeredAddress)
        {
            _registerWanted = true;
            Wake();
        }
    }

    private async Task ResolveAsync(uint nodeId)
    {
        ResolveAnswer result;
        try
        {
            var answer = await _client.SendAsync(_requests.Resolve(nodeId)).ConfigureAwait(false);
            result = answer.Error is { } error
                ? new ResolveAnswer(ResolveOutcome.Refused, null, [], error)
                : new ResolveAnswer(
                    ResolveOutcome.Found,
                    UdpEndpoint.TryParse(answer.Text("real_addr"), out var endpoint) && endpoint.Port != 0 ? endpoint : null,
                    LanAddresses.Matching(_lan, answer.Items("lan_addrs").Where(item => item.ValueKind == JsonValueKind.String).Select(item => item.GetString()!)));
        }
        catch (RegistryUnavailableException exception)
        {
            result = new ResolveAnswer(ResolveOutcome.Unavailable, null, [], exception.Message);
        }

        _host.Loop.Post(() => _host.CompleteResolve(nodeId, result));
    }

    private async Task LookupAsync(uint nodeId)
    {
        LookupAnswer result;
        try
        {
            var answer = await _client.SendAsync(RegistryRequests.Lookup(nodeId)).ConfigureAwait(false);
            result = answer.Error is not null && !answer.IsNotFound
                ? new LookupAnswer(false, null, [])
                : new LookupAnswer(true, KeyOf(answer), NetworksOf(answer));
        }
        catch (RegistryUnavailableException)
        {
            result = new LookupAnswer(false, null, []);
        }

        _host.Loop.Post(() => _host.Node.CompleteLookup(_host.Now, nodeId, result));
    }

    private async Task CheckTrustAsync(uint nodeId)
    {
        var (isAvailable, isTrusted) = (false, false);
        try
        {
            var answer = await _client.SendAsync(_requests.CheckTrust(nodeId)).ConfigureAwait(false);
            (isAvailable, isTrusted) = (answer.Error is null, answer.Bool("trusted"));
        }
        catch (RegistryUnavailableException)
        {
            // Told below; counts as not trusted (05 §12).
        }

        _host.Loop.Post(() => _host.Node.CompleteTrustCheck(_host.Now, nodeId, isAvailable, isTrusted));
    }

    private void ApplyVisibility(bool isPublic)
    {
        IsPublic = isPublic;
        _host.Loop.Post(() => _host.Node.SetVisibility(isPublic));
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
