using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;
using Pilot.Daemon.Configuration;
using Pilot.Daemon.Host;
using Pilot.Protocol.Registry;

namespace Pilot.Daemon.Registry;

/// <summary>Hostname, visibility, tags and task flag: what is wanted, what the registry confirmed, and what it refused.</summary>
internal sealed class NodeAttributes
{
    private const string HostnameStep = "set_hostname";

    private readonly ConcurrentDictionary<string, string> _stepErrors = new(StringComparer.Ordinal); // refused steps after registration, by request type
    private readonly RegistryRequests _requests;
    private readonly RegistryClient _client;
    private readonly NodeHost _host;
    private readonly ILogger _logger;
    private string _wantedHostname;
    private IReadOnlyList<string>? _tags;
    private bool? _taskExec;

    public NodeAttributes(DaemonSettings settings, RegistryRequests requests, RegistryClient client, NodeHost host, ILogger logger)
    {
        _requests = requests;
        _client = client;
        _host = host;
        _logger = logger;
        IsPublic = settings.Public;
        _wantedHostname = settings.Hostname ?? string.Empty;
        if (_wantedHostname.Length > 0 && !HostnameRules.TryValidate(_wantedHostname, out var problem))
        {
            // As with a taken one: said, but no reason not to work.
            Note(HostnameStep, $"hostname \"{_wantedHostname}\" is not used: {problem}");
            _wantedHostname = string.Empty;
        }
    }

    /// <summary>Hostname that the registry confirmed; empty = none.</summary>
    public string Hostname { get; private set; } = string.Empty;

    public bool IsPublic { get; private set; }

    /// <summary>A step after registration that is refused (hostname taken, …) and was not repaired since; empty if none.</summary>
    public string LastError => _stepErrors.Values.FirstOrDefault() ?? string.Empty;

    public async Task<RegistryAnswer> SetHostnameAsync(string hostname, CancellationToken cancellation)
    {
        var answer = await _client.AskAsync(_requests.SetHostname(hostname), cancellation).ConfigureAwait(false);
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

        var answer = await _client.AskAsync(_requests.SetVisibility(isPublic), cancellation).ConfigureAwait(false);
        ApplyVisibility(isPublic);
        return answer;
    }

    public async Task<RegistryAnswer> SetTagsAsync(IReadOnlyList<string> tags, CancellationToken cancellation)
    {
        var answer = await _client.AskAsync(_requests.SetTags(tags), cancellation).ConfigureAwait(false);
        _tags = tags;
        return answer;
    }

    public async Task<RegistryAnswer> SetTaskExecAsync(bool enabled, CancellationToken cancellation)
    {
        var answer = await _client.AskAsync(_requests.SetTaskExec(enabled), cancellation).ConfigureAwait(false);
        _taskExec = enabled;
        return answer;
    }

    /// <summary>Tells the registry again everything it keeps about this node (00 §3).</summary>
    public async Task RestoreAsync(Func<RegistryRequest, Task<RegistryAnswer>> send)
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
            var answer = await send(request).ConfigureAwait(false);
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

    private void Note(string step, string error)
    {
        _logger.LogError("{Error}", error);
        _stepErrors[step] = error;
    }

    private void ApplyVisibility(bool isPublic)
    {
        IsPublic = isPublic;
        _host.Loop.Post(() => _host.Node.SetVisibility(isPublic));
    }
}
