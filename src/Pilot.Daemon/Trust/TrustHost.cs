using Microsoft.Extensions.Logging;
using Pilot.Daemon.Host;
using Pilot.Daemon.Loop;
using Pilot.Daemon.Registry;
using Pilot.Daemon.State;
using Pilot.Engine;
using Pilot.Engine.Trust;

namespace Pilot.Daemon.Trust;

/// <summary>
/// Runs the trust book on the loop thread and carries out its effects: messages on port 444, requests to the registry, files, the gates'
/// snapshot. An effect that writes files is finished before the next one is taken, so that a decision is on disk before anybody hears of it.
/// </summary>
internal sealed class TrustHost : IDeadlineSource
{
    private static readonly TimeSpan SaveRetry = TimeSpan.FromSeconds(2);

    private readonly NodeHost _host;
    private readonly TrustStore _store;
    private readonly RegistryClient _registry;
    private readonly RegistryRequests _requests;
    private readonly ILogger _logger;
    private readonly Dictionary<long, TaskCompletionSource<TrustCommandResult>> _commands = [];
    private (string Trust, string Extension) _saved;
    private Task _writes = Task.CompletedTask;
    private bool _isSaving;
    private bool _isRetryPlanned;

    public TrustHost(NodeHost host, TrustBook book, TrustStore store, RegistryClient registry, RegistryRequests requests, ILogger logger)
    {
        _host = host;
        Book = book;
        _store = store;
        _registry = registry;
        _requests = requests;
        _logger = logger;
        _saved = (book.FormatTrustFile(), book.FormatExtensionFile());
        host.Loop.AddDeadlineSource(this);
        host.HostnameOf = HostnameOf;
    }

    /// <summary>Loop thread only.</summary>
    public TrustBook Book { get; }

    /// <summary>Something changed that subscribers want to hear. Loop thread.</summary>
    public Action<TrustEvent>? Raised { get; set; }

    /// <summary>Relayed handshakes are expected: poll fast. Loop thread.</summary>
    public Action? PollSoon { get; set; }

    /// <summary>What the node's gates go by: the book as of the last change that is on disk.</summary>
    public TrustSnapshot Applied { get; private set; } = TrustSnapshot.Empty;

    public TrustClock Clock => new(_host.Now, DateTimeOffset.Now);

    public Instant NextDeadline => _isSaving ? Instant.Never : Book.NextDeadline;

    public void HandleTimeout(Instant now)
    {
        Book.Advance(Clock);
        RunEffects();
    }

    /// <summary>Binds port 444 and hands the gates what was loaded.</summary>
    public void Start()
    {
        Apply();
        _host.BindService(TrustLimits.Port, NodeHost.DefaultBacklog, connection => new IncomingTrustMessage(_host, connection, Receive).Start());
        RunEffects();
    }

    /// <summary>Runs a command of the user on the book; the result comes when the book finishes it. From any thread.</summary>
    public async Task<TrustCommandResult> RunAsync(Func<TrustBook, TrustClock, long> command)
    {
        var result = await _host.Loop.AskAsync(() =>
        {
            var finished = new TaskCompletionSource<TrustCommandResult>(TaskCreationOptions.RunContinuationsAsynchronously);
            _commands[command(Book, Clock)] = finished;
            RunEffects();
            return finished.Task;
        }).ConfigureAwait(false);
        return await result.ConfigureAwait(false);
    }

    /// <summary>The node is registered (again). Loop thread.</summary>
    public void Registered(uint nodeId)
    {
        Book.Registered(nodeId);
        RunEffects();
    }

    /// <summary>The registry answers again after a pause. Loop thread.</summary>
    public void RegistryAvailable()
    {
        Book.RegistryAvailable();
        RunEffects();
    }

    public void ReceivePoll(IReadOnlyList<RelayedRequest> requests, IReadOnlyList<RelayedResponse> responses)
    {
        Book.ReceivePoll(Clock, requests, responses);
        RunEffects();
    }

    /// <summary>Writes what waits to be written; done when it is on disk. Loop thread.</summary>
    public Task FlushAsync() => SaveAsync();

    public string? HostnameOf(uint nodeId)
    {
        foreach (var peer in Book.Trusted)
        {
            if (peer.NodeId == nodeId)
            {
                return peer.Hostname.Length > 0 ? peer.Hostname : null;
            }
        }

        return null;
    }

    private void Receive(uint nodeId, byte[] payload)
    {
        // Rule B3: the registry's key; when it cannot be asked, the book falls back to the pinned one.
        _ = AnswerAsync(RegistryRequests.Lookup(nodeId), answer =>
        {
            var verdict = Book.ReceiveDirect(Clock, payload, nodeId, RegistryAnswer.KeyOf(answer) ?? []);
            _logger.LogInformation("trust message from node {NodeId}: {Verdict}", nodeId, verdict);
            RunEffects();
        });
    }

    private void Apply()
    {
        Applied = Book.Snapshot;
        _host.Node.SetTrust(Applied);
    }

    private void RunEffects()
    {
        while (!_isSaving && Book.TryGetEffect(Clock, out var effect))
        {
            Run(effect);
        }
    }

    private void Run(TrustEffect effect)
    {
        switch (effect)
        {
            case TrustEffect.SendDirect send:
                if (send.ExistingTunnelOnly && !_host.HasTunnel(send.NodeId))
                {
                    CompleteDirect(send.Token, false);
                }
                else
                {
                    new OutgoingTrustMessage(_host, send.Message, delivered => CompleteDirect(send.Token, delivered)).Start(send.NodeId);
                }

                break;
            case TrustEffect.RequestHandshake request:
                Ask(request.Token, request.NodeId != 0
                    ? _requests.RequestHandshake(request.NodeId, request.Justification)
                    : _requests.RequestHandshakeByName(request.Hostname, request.Justification));
                break;
            case TrustEffect.RespondHandshake respond:
                Ask(respond.Token, _requests.RespondHandshake(respond.NodeId, respond.Accept));
                break;
            case TrustEffect.ReportTrust report:
                Ask(report.Token, _requests.ReportTrust(report.NodeId));
                break;
            case TrustEffect.RevokeTrust revoke:
                Ask(revoke.Token, _requests.RevokeTrust(revoke.NodeId));
                break;
            case TrustEffect.LookupKey lookup:
                _ = AnswerAsync(RegistryRequests.Lookup(lookup.NodeId), answer =>
                {
                    Book.CompleteLookup(Clock, lookup.NodeId, ToLookup(answer));
                    RunEffects();
                });
                break;
            case TrustEffect.Save:
                Save();
                break;
            case TrustEffect.TrustChanged:
                Apply();
                break;
            case TrustEffect.PeerRevoked revoked:
                _host.Node.DropPeer(_host.Now, revoked.NodeId);
                break;
            case TrustEffect.PollSoon:
                PollSoon?.Invoke();
                break;
            case TrustEffect.Raise raise:
                _logger.LogInformation("{Event} node {NodeId} {Reason}", raise.Event.Name, raise.Event.PeerNodeId, raise.Event.Reason ?? string.Empty);
                Raised?.Invoke(raise.Event);
                break;
            case TrustEffect.CommandFinished finished:
                if (_commands.Remove(finished.Token, out var waiting))
                {
                    waiting.TrySetResult(finished.Result);
                }

                break;
            default:
                throw new InvalidOperationException($"unknown effect {effect.GetType().Name}");
        }
    }

    private void CompleteDirect(long token, bool delivered)
    {
        Book.CompleteDirect(Clock, token, delivered);
        RunEffects();
    }

    private void Ask(long token, RegistryRequest request) => _ = AnswerAsync(request, answer =>
    {
        if (answer?.Error is { } error)
        {
            _logger.LogInformation("registry refused {Request}: {Error}", request.Type, error);
        }

        Book.CompleteRegistry(Clock, token, answer is not null, answer?.Error);
        RunEffects();
    });

    /// <summary>Asks the registry and continues on the loop; with null when it could not be asked.</summary>
    private async Task AnswerAsync(RegistryRequest request, Action<RegistryAnswer?> next)
    {
        RegistryAnswer? answer = null;
        try
        {
            answer = await _registry.SendAsync(request).ConfigureAwait(false);
        }
        catch (RegistryUnavailableException)
        {
            // Told as null: the book tries again later.
        }

        _host.Loop.Post(() => next(answer));
    }

    private void Save()
    {
        _isSaving = true;
        SaveAsync().ContinueWith(
            _ => _host.Loop.Post(() =>
            {
                _isSaving = false;
                RunEffects();
            }),
            CancellationToken.None,
            TaskContinuationOptions.ExecuteSynchronously,
            TaskScheduler.Default);
    }

    /// <summary>Writes the state of this moment after every earlier write, off the loop thread. Unchanged files are left alone.</summary>
    private Task SaveAsync()
    {
        var content = (Book.FormatTrustFile(), Book.FormatExtensionFile());
        if (content == _saved)
        {
            return _writes;
        }

        _saved = content;
        return _writes = _writes.ContinueWith(
            _ =>
            {
                try
                {
                    _store.Save(content.Item1, content.Item2);
                }
                catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
                {
                    _logger.LogError("cannot save trust: {Error}", exception.Message);
                    _host.Loop.Post(SaveLater);
                }
            },
            CancellationToken.None,
            TaskContinuationOptions.None,
            TaskScheduler.Default);
    }

    /// <summary>What could not be written is written as soon as the disk allows: a crash may come before the next change.</summary>
    private void SaveLater()
    {
        _saved = default;
        if (_isRetryPlanned)
        {
            return;
        }

        _isRetryPlanned = true;
        _host.Loop.StartTimer(SaveRetry, () =>
        {
            _isRetryPlanned = false;
            if (!_isSaving)
            {
                Save();
            }
        });
    }

    private static TrustLookup ToLookup(RegistryAnswer? answer)
    {
        if (answer is null || (answer.Error is not null && !answer.IsNotFound))
        {
            return TrustLookup.Unavailable;
        }

        return new TrustLookup(true, RegistryAnswer.KeyOf(answer), RegistryAnswer.NetworksOf(answer), answer.Text("hostname"));
    }
}
