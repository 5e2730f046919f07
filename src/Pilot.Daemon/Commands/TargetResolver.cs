using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using Pilot.Daemon.Host;
using Pilot.Daemon.Registry;
using Pilot.Ipc;
using Pilot.Protocol;
using Pilot.Protocol.Registry;

namespace Pilot.Daemon.Commands;

/// <summary>A target as a command meant it.</summary>
/// <param name="NodeId">The node.</param>
/// <param name="Hostname">The name it was given by, or empty.</param>
/// <param name="IsPublic">What the registry said about it; false when it was not asked.</param>
internal sealed record Target(uint NodeId, string Hostname, bool IsPublic);

/// <summary>Turns a node id, an address or a hostname into a node (07 §1.5).</summary>
internal sealed class TargetResolver(DaemonContext context)
{
    private const int MaxRemembered = 1024;

    /// <summary>An answer is used again for this long: scripts dial by name many times a minute, and the registry counts queries by address.</summary>
    private static readonly TimeSpan FreshFor = TimeSpan.FromSeconds(10);

    private readonly ConcurrentDictionary<string, (uint Node, bool IsPublic, long AskedAt)> _remembered = new(StringComparer.Ordinal);

    /// <summary>The node named by <c>node</c>, <c>to</c> or <c>name</c>.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellation">Ends the wait for the registry.</param>
    /// <param name="mayBeRecent">An answer of the last seconds will do: the gates decide anyway.</param>
    /// <exception cref="CommandException">Missing, malformed, unknown, or not known because the registry is away.</exception>
    public async Task<Target> ResolveAsync(IpcRequest request, CancellationToken cancellation, bool mayBeRecent = false)
    {
        if (TryNumeric(request, out var node))
        {
            return new Target(node, string.Empty, false);
        }

        return await ResolveNameAsync(NameOf(request), cancellation, mayBeRecent).ConfigureAwait(false);
    }

    /// <summary>True when the target is given as a number or an address.</summary>
    public static bool TryNumeric(IpcRequest request, out uint node)
    {
        node = 0;
        if (request.Node is { } given)
        {
            node = given;
            return true;
        }

        var text = request.To ?? request.Name;
        if (text is null)
        {
            return false;
        }

        if (PilotAddress.TryParse(text, out var address))
        {
            node = address.Node;
            return true;
        }

        return uint.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out node);
    }

    public static string NameOf(IpcRequest request)
    {
        var name = request.To ?? request.Name;
        return string.IsNullOrEmpty(name) ? throw new CommandException(IpcErrorCode.InvalidArgument, $"{request.Cmd}: missing target") : name;
    }

    public async Task<Target> ResolveNameAsync(string name, CancellationToken cancellation, bool mayBeRecent = false)
    {
        if (name.Length > HostnameRules.MaxLength || name.Any(static c => char.IsControl(c)))
        {
            throw NotFound(name);
        }

        if (context.Session.Attributes.Hostname == name && context.Session.NodeId != 0)
        {
            return new Target(context.Session.NodeId, name, context.Session.Attributes.IsPublic);
        }

        if (mayBeRecent && _remembered.TryGetValue(name, out var remembered) && Stopwatch.GetElapsedTime(remembered.AskedAt) < FreshFor)
        {
            return new Target(remembered.Node, name, remembered.IsPublic);
        }

        try
        {
            var answer = await context.Registry.AskAsync(context.Requests.ResolveHostname(name), cancellation).ConfigureAwait(false);
            var node = answer.Node("node_id");
            if (node == 0)
            {
                throw NotFound(name);
            }

            if (_remembered.Count < MaxRemembered || _remembered.ContainsKey(name))
            {
                _remembered[name] = (node, answer.Bool("public"), Stopwatch.GetTimestamp());
            }

            return new Target(node, name, answer.Bool("public"));
        }
        catch (RegistryErrorException exception) when (exception.Answer.IsNotFound)
        {
            _remembered.TryRemove(name, out _);
            throw NotFound(name);
        }
        catch (RegistryErrorException exception)
        {
            throw new CommandException(IpcErrorCode.FromRegistryText(exception.Message), $"resolve_hostname: registry: {exception.Message}");
        }
        catch (RegistryUnavailableException exception)
        {
            // Known peers stay reachable by name while the registry is away.
            var known = await context.Host.Loop.AskAsync(() => context.Trust.Book.FindByHostname(name)).ConfigureAwait(false);
            if (known == 0 && _remembered.TryGetValue(name, out var last))
            {
                known = last.Node;
            }

            if (known != 0)
            {
                return new Target(known, name, false);
            }

            throw new CommandException(IpcErrorCode.RegistryUnavailable, $"resolve_hostname: {exception.Message}", "check that the registry is running, or set PILOT_REGISTRY");
        }
    }

    private static CommandException NotFound(string name) => new(
        IpcErrorCode.NotFound, $"resolve_hostname: registry: hostname \"{name}\" not found", $"establish trust first: pilotctl handshake {name} \"reason\"");
}
