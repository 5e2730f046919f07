using System.Text.Json;
using Pilot.Daemon.Host;
using Pilot.Daemon.Ipc;
using Pilot.Daemon.Registry;
using Pilot.Ipc;

namespace Pilot.Daemon.Commands;

/// <summary>Commands about this node and names.</summary>
internal sealed partial class CommandHandler
{
    private const int MaxTags = 3; // 08 §3.5

    private string State => context.IsStopping ? DaemonState.Stopping : context.Session.IsRegistered ? DaemonState.Ready : DaemonState.Starting;

    private CommandOutcome Hello(IpcRequest request) => Success(request, new HelloData
    {
        Version = IpcProtocol.Version,
        DaemonVersion = DaemonVersion.Text,
        Pid = Environment.ProcessId,
        State = State,
        Features = IpcProtocol.Features,
    }, IpcJson.Context.HelloData);

    private CommandOutcome Health(IpcRequest request)
    {
        // From the last snapshot of the loop: answers even when everything else is busy.
        var counters = context.Host.LastCounters;
        return Success(request, new HealthData
        {
            Status = "ok",
            UptimeSeconds = context.UptimeSeconds,
            Connections = counters.Connections,
            Peers = counters.Peers,
            BytesSent = counters.BytesSent,
            BytesRecv = counters.BytesReceived,
            State = State,
        }, IpcJson.Context.HealthData);
    }

    private async Task<CommandOutcome> StatusAsync(IpcRequest request)
    {
        var counters = context.Host.LastCounters;
        var (nat, isAnswering, loopAllocated) = await context.Host.Loop.AskAsync(() =>
            (context.Host.Node.Nat, context.Host.Node.IsBeaconAnswering, GC.GetAllocatedBytesForCurrentThread())).ConfigureAwait(false);
        var session = context.Session;
        return Success(request, new StatusData
        {
            State = State,
            Pid = Environment.ProcessId,
            Version = DaemonVersion.Text,
            NodeId = session.NodeId,
            Address = session.Address,
            Hostname = session.Attributes.Hostname,
            UptimeSecs = context.UptimeSeconds,
            Peers = counters.Peers,
            Connections = counters.Connections,
            Registry = context.Registry.Address,
            RegistryConnected = context.Registry.IsConnected,
            Beacon = Beacon,
            Endpoint = session.Endpoint,
            LastError = session.LastError is { Length: > 0 } refused ? refused : context.Registry.LastError is { Length: > 0 } lost ? lost : session.Attributes.LastError,
            Socket = context.Settings.SocketPath,
            Home = context.Settings.Home,
            LogFile = context.Settings.LogFile ?? string.Empty,
            NatType = NatType(nat),
            BeaconAnswering = context.Settings.Beacons.Count > 0 ? isAnswering : null,
            PortMapping = PortMapping(),
            AllocatedBytes = GC.GetTotalAllocatedBytes(precise: true),
            LoopAllocatedBytes = loopAllocated,
        }, IpcJson.Context.StatusData);
    }

    private string Beacon => context.Settings.Beacons.Count > 0 ? context.Settings.Beacons[0] : string.Empty;

    private async Task<CommandOutcome> InfoAsync(IpcRequest request)
    {
        var (counters, peers, connections, pending, trusted, nat) = await context.Host.Loop.AskAsync(() => (
            context.Host.Counters(),
            context.Host.Peers(context.Trust.Book.Snapshot.IsKnown),
            context.Host.Connections(),
            context.Trust.Book.Pending.Count,
            context.Trust.Book.Trusted.Count,
            context.Host.Node.Nat)).ConfigureAwait(false);
        var session = context.Session;
        return Success(request, new InfoData
        {
            NodeId = session.NodeId,
            Address = session.Address,
            Hostname = session.Attributes.Hostname,
            UptimeSecs = context.UptimeSeconds,
            Connections = counters.Connections,
            Ports = counters.Ports,
            Peers = peers.Total,
            EncryptedPeers = peers.Peers.Count(peer => peer.Encrypted),
            AuthenticatedPeers = peers.Peers.Count(peer => peer.Authenticated),
            Encrypt = true,
            Identity = true,
            PublicKey = context.Identity.PublicKeyText,
            Email = session.Email ?? string.Empty,
            BytesSent = counters.BytesSent,
            BytesRecv = counters.BytesReceived,
            PktsSent = counters.PacketsSent,
            PktsRecv = counters.PacketsReceived,
            TunnelEncryptionSuccess = counters.Encrypted,
            TunnelEncryptionFailure = counters.DecryptionFailures,
            HandshakePendingCount = pending,
            PeerList = peers.Peers,
            ConnList = connections.Connections,
            Truncated = peers.Total > peers.Peers.Count || connections.Total > connections.Connections.Count,
            State = State,
            Version = DaemonVersion.Text,
            Pid = Environment.ProcessId,
            Public = session.Attributes.IsPublic,
            Endpoint = session.Endpoint,
            Listen = context.LocalEndpoint.ToString(),
            NatType = NatType(nat),
            Beacon = Beacon,
            Registry = context.Registry.Address,
            RegistryConnected = context.Registry.IsConnected,
            TrustedCount = trusted,
            Home = context.Settings.Home,
            Features = IpcProtocol.Features,
        }, IpcJson.Context.InfoData);
    }

    private async Task<CommandOutcome> SetAsync(IpcRequest request, CancellationToken cancellation)
    {
        if (request is { Hostname: null, Public: null, Tags: null, TaskExec: null })
        {
            throw new CommandException(IpcErrorCode.InvalidArgument, "set: nothing to set");
        }

        if (request.Tags is { Count: > MaxTags })
        {
            throw new CommandException(IpcErrorCode.InvalidArgument, $"set_tags: maximum {MaxTags} tags allowed");
        }

        RequireRegistered();
        var data = new SetData();
        if (request.Hostname is { } hostname)
        {
            var answer = await AskAsync("set_hostname", context.Session.Attributes.SetHostnameAsync(hostname, cancellation)).ConfigureAwait(false);
            data = data with { Hostname = new SetHostnameData(answer.Text("type"), answer.Node("node_id"), answer.Text("hostname")) };
        }

        if (request.Public is { } isPublic)
        {
            var answer = await AskAsync("set_visibility", context.Session.Attributes.SetVisibilityAsync(isPublic, cancellation)).ConfigureAwait(false);
            data = data with { Visibility = new SetVisibilityData(answer.Text("type"), answer.Node("node_id"), answer.Text("visibility")) };
        }

        if (request.Tags is { } tags)
        {
            var answer = await AskAsync("set_tags", context.Session.Attributes.SetTagsAsync(tags, cancellation)).ConfigureAwait(false);
            string[] set = [.. answer.Items("tags").Where(item => item.ValueKind == JsonValueKind.String).Select(item => item.GetString()!)];
            data = data with { Tags = new SetTagsData(answer.Text("type"), answer.Node("node_id"), set) };
        }

        if (request.TaskExec is { } taskExec)
        {
            var answer = await AskAsync("set_task_exec", context.Session.Attributes.SetTaskExecAsync(taskExec, cancellation)).ConfigureAwait(false);
            data = data with { TaskExec = new SetTaskExecData(answer.Text("type"), answer.Node("node_id"), answer.Bool("task_exec")) };
        }

        return Success(request, data, IpcJson.Context.SetData);
    }

    private async Task<CommandOutcome> ResolveAsync(IpcRequest request, CancellationToken cancellation)
    {
        RequireRegistered();
        var target = await _targets.ResolveAsync(request, cancellation).ConfigureAwait(false);
        return Success(request, new ResolveData
        {
            NodeId = target.NodeId,
            Address = AddressOf(target.NodeId),
            Hostname = target.Hostname,
            Public = target.IsPublic,
        }, IpcJson.Context.ResolveData);
    }

    private async Task<CommandOutcome> LookupAsync(IpcRequest request, CancellationToken cancellation)
    {
        var target = await _targets.ResolveAsync(request, cancellation).ConfigureAwait(false);
        var answer = await AskAsync("lookup", context.Registry.AskAsync(RegistryRequests.Lookup(target.NodeId), cancellation)).ConfigureAwait(false);
        return Success(request, answer.Root, IpcJson.Context.JsonElement);
    }

    private async Task<CommandOutcome> DeregisterAsync(IpcRequest request, CancellationToken cancellation)
    {
        RequireRegistered();
        var answer = await AskAsync("deregister", context.Registry.AskAsync(context.Requests.Deregister(), cancellation)).ConfigureAwait(false);
        return Success(request, answer.Root, IpcJson.Context.JsonElement);
    }

    private CommandOutcome Shutdown(IpcRequest request)
    {
        context.IsStopping = true;
        context.RequestStop();
        return Success(request, new EmptyData(), IpcJson.Context.EmptyData);
    }
}
