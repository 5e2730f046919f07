using Pilot.Daemon.Host;
using Pilot.Daemon.Ipc;
using Pilot.Engine.Trust;
using Pilot.Ipc;
using Pilot.Protocol;
using Pilot.Protocol.Registry;

namespace Pilot.Daemon.Commands;

/// <summary>Trust commands (05 §13).</summary>
internal sealed partial class CommandHandler
{
    private delegate long BookCommand(TrustBook book, TrustClock clock, uint nodeId, string text);

    private async Task<CommandOutcome> HandshakeAsync(IpcRequest request, CancellationToken cancellation)
    {
        RequireRegistered();
        var justification = request.Justification ?? string.Empty;
        if (TargetResolver.TryNumeric(request, out var nodeId))
        {
            return Answer(request, await context.Trust.RunAsync((book, clock) => book.Request(clock, nodeId, justification)).ConfigureAwait(false), string.Empty);
        }

        var name = TargetResolver.NameOf(request);
        if (!HostnameRules.TryValidate(name, out var problem))
        {
            throw new CommandException(IpcErrorCode.InvalidArgument, $"handshake request: invalid hostname: {problem}");
        }

        uint known = 0;
        try
        {
            known = (await _targets.ResolveNameAsync(name, cancellation).ConfigureAwait(false)).NodeId;
        }
        catch (CommandException exception) when (exception.Code == IpcErrorCode.NotFound)
        {
            // Private or unknown: the registry passes the request on without telling which (03 §6.5).
        }

        var result = await context.Trust.RunAsync((book, clock) => known != 0
            ? book.Request(clock, known, justification)
            : book.RequestByHostname(clock, name, justification)).ConfigureAwait(false);
        if (result is { Status: TrustStatus.Failed, Error: TrustError.NotFound } && known == 0)
        {
            throw new CommandException(IpcErrorCode.NotFound, $"handshake request: hostname \"{name}\" not found", "this registry takes no requests by name to private nodes: use the node id or address");
        }

        return Answer(request, result, name);
    }

    private async Task<CommandOutcome> TrustCommandAsync(IpcRequest request, BookCommand command, CancellationToken cancellation)
    {
        var (nodeId, name) = await KnownPeerAsync(request, cancellation).ConfigureAwait(false);
        var text = request.Reason ?? string.Empty;
        return Answer(request, await context.Trust.RunAsync((book, clock) => command(book, clock, nodeId, text)).ConfigureAwait(false), name);
    }

    private async Task<CommandOutcome> WithdrawAsync(IpcRequest request, CancellationToken cancellation)
    {
        if (TargetResolver.TryNumeric(request, out var nodeId))
        {
            return Answer(request, await context.Trust.RunAsync((book, clock) => book.Withdraw(clock, nodeId)).ConfigureAwait(false), string.Empty);
        }

        var name = TargetResolver.NameOf(request);
        cancellation.ThrowIfCancellationRequested();
        return Answer(request, await context.Trust.RunAsync((book, clock) => book.Withdraw(clock, name)).ConfigureAwait(false), name);
    }

    private async Task<CommandOutcome> PendingAsync(IpcRequest request)
    {
        await context.Session.LookAsync().ConfigureAwait(false);
        return await OnLoopAsync(request, () => new PendingData
        {
            Pending =
            [
                .. context.Trust.Book.Pending.Select(entry => new PendingEntry
                {
                    NodeId = entry.NodeId,
                    PublicKey = entry.PublicKey,
                    Justification = entry.Justification,
                    ReceivedAt = entry.ReceivedAt.ToUnixTimeSeconds(),
                    Hostname = entry.Hostname.Length > 0 ? entry.Hostname : null,
                }),
            ],
            Requested =
            [
                .. context.Trust.Book.Requested.Select(mark => new RequestedEntry
                {
                    NodeId = mark.NodeId,
                    Hostname = mark.Hostname.Length > 0 ? mark.Hostname : null,
                    RequestedAt = mark.Since.ToUnixTimeSeconds(),
                }),
            ],
        }, IpcJson.Context.PendingData).ConfigureAwait(false);
    }

    private async Task<CommandOutcome> TrustedAsync(IpcRequest request)
    {
        await context.Session.LookAsync().ConfigureAwait(false);
        return await OnLoopAsync(request, () => new TrustedData
        {
            Trusted =
            [
                // Not before the gates know it: who reads a peer here may write to it at once.
                .. context.Trust.Book.Trusted.Where(peer => context.Trust.Applied.IsKnown(peer.NodeId)).Select(peer => new TrustedEntry
                {
                    NodeId = peer.NodeId,
                    PublicKey = peer.PublicKey,
                    ApprovedAt = peer.ApprovedAt.ToUnixTimeSeconds(),
                    Mutual = peer.Mutual,
                    Network = peer.Network,
                    Hostname = peer.Hostname.Length > 0 ? peer.Hostname : null,
                }),
            ],
        }, IpcJson.Context.TrustedData).ConfigureAwait(false);
    }

    /// <summary>A peer of the trust book by id, address or name; names of known peers need no registry.</summary>
    private async Task<(uint NodeId, string Name)> KnownPeerAsync(IpcRequest request, CancellationToken cancellation)
    {
        if (TargetResolver.TryNumeric(request, out var nodeId))
        {
            return (nodeId, string.Empty);
        }

        var name = TargetResolver.NameOf(request);
        var known = await context.Host.Loop.AskAsync(() => context.Trust.Book.FindByHostname(name)).ConfigureAwait(false);
        return (known != 0 ? known : (await _targets.ResolveNameAsync(name, cancellation).ConfigureAwait(false)).NodeId, name);
    }

    private static CommandOutcome Answer(IpcRequest request, TrustCommandResult result, string name)
    {
        if (result.Status == TrustStatus.Failed)
        {
            var code = result.Error switch
            {
                TrustError.InvalidArgument => IpcErrorCode.InvalidArgument,
                TrustError.NotFound or TrustError.NotTrusted => IpcErrorCode.NotFound,
                TrustError.TooMany => IpcErrorCode.LimitReached,
                _ => IpcErrorCode.FromRegistryText(result.Message ?? string.Empty),
            };
            throw new CommandException(code, result.Message ?? $"{request.Cmd} failed");
        }

        return Success(request, new TrustActionData
        {
            NodeId = result.NodeId,
            Status = result.Status switch
            {
                TrustStatus.Sent => "sent",
                TrustStatus.Approved => "approved",
                TrustStatus.AlreadyTrusted => "already_trusted",
                TrustStatus.Rejected => "rejected",
                TrustStatus.Revoked => "revoked",
                _ => "withdrawn",
            },
            Hostname = name.Length > 0 ? name : result.Hostname.Length > 0 ? result.Hostname : null,
            Delivery = result.Delivery switch
            {
                TrustDelivery.Direct => "direct",
                TrustDelivery.Relayed => "relayed",
                TrustDelivery.Pending => "pending",
                _ => null,
            },
        }, IpcJson.Context.TrustActionData);
    }
}
