using System.Text.Json;
using Pilot.Ipc;

namespace Pilot.Client;

/// <content>One method per command of <see cref="IpcCommand"/> that answers with data.</content>
public sealed partial class PilotClient
{
    /// <summary>Version, pid, state and features of the daemon.</summary>
    public Task<HelloData> HelloAsync(CancellationToken cancellationToken = default) =>
        AskAsync(new IpcRequest { Cmd = IpcCommand.Hello, Version = IpcProtocol.Version }, IpcJson.Context.HelloData, cancellationToken);

    /// <summary>Everything about the node, with peers and connections.</summary>
    public Task<InfoData> GetInfoAsync(CancellationToken cancellationToken = default) =>
        AskAsync(new IpcRequest { Cmd = IpcCommand.Info }, IpcJson.Context.InfoData, cancellationToken);

    /// <summary>Counters; answered even by a busy daemon.</summary>
    public Task<HealthData> GetHealthAsync(CancellationToken cancellationToken = default) =>
        AskAsync(new IpcRequest { Cmd = IpcCommand.Health }, IpcJson.Context.HealthData, cancellationToken);

    /// <summary>State of the daemon: registration, last error.</summary>
    public Task<StatusData> GetStatusAsync(CancellationToken cancellationToken = default) =>
        AskAsync(new IpcRequest { Cmd = IpcCommand.Status }, IpcJson.Context.StatusData, cancellationToken);

    /// <summary>Node behind a hostname (or id, or address).</summary>
    /// <exception cref="PilotException"><c>not_found</c>: unknown, or not visible to this node.</exception>
    public Task<ResolveData> ResolveAsync(string name, CancellationToken cancellationToken = default) =>
        AskAsync(new IpcRequest { Cmd = IpcCommand.Resolve, To = name }, IpcJson.Context.ResolveData, cancellationToken);

    /// <summary>Sets or (empty text) clears the own hostname.</summary>
    public Task<SetData> SetHostnameAsync(string hostname, CancellationToken cancellationToken = default) =>
        AskAsync(new IpcRequest { Cmd = IpcCommand.Set, Hostname = hostname }, IpcJson.Context.SetData, cancellationToken);

    /// <summary>Makes the node visible to everybody or to trusted peers only.</summary>
    public Task<SetData> SetVisibilityAsync(bool isPublic, CancellationToken cancellationToken = default) =>
        AskAsync(new IpcRequest { Cmd = IpcCommand.Set, Public = isPublic }, IpcJson.Context.SetData, cancellationToken);

    /// <summary>Asks a peer for trust; status <c>sent</c>, <c>approved</c> or <c>already_trusted</c>.</summary>
    public Task<TrustActionData> HandshakeAsync(string target, string? justification = null, CancellationToken cancellationToken = default) =>
        AskAsync(new IpcRequest { Cmd = IpcCommand.Handshake, To = target, Justification = justification }, IpcJson.Context.TrustActionData, cancellationToken);

    /// <summary>Accepts a pending request.</summary>
    public Task<TrustActionData> ApproveAsync(string target, CancellationToken cancellationToken = default) =>
        AskAsync(new IpcRequest { Cmd = IpcCommand.Approve, To = target }, IpcJson.Context.TrustActionData, cancellationToken);

    /// <summary>Refuses a pending request.</summary>
    public Task<TrustActionData> RejectAsync(string target, string? reason = null, CancellationToken cancellationToken = default) =>
        AskAsync(new IpcRequest { Cmd = IpcCommand.Reject, To = target, Reason = reason }, IpcJson.Context.TrustActionData, cancellationToken);

    /// <summary>Ends the trust in a peer.</summary>
    public Task<TrustActionData> UntrustAsync(string target, CancellationToken cancellationToken = default) =>
        AskAsync(new IpcRequest { Cmd = IpcCommand.Untrust, To = target }, IpcJson.Context.TrustActionData, cancellationToken);

    /// <summary>Requests that wait for a decision, and own requests without answer.</summary>
    public Task<PendingData> GetPendingAsync(CancellationToken cancellationToken = default) =>
        AskAsync(new IpcRequest { Cmd = IpcCommand.Pending }, IpcJson.Context.PendingData, cancellationToken);

    /// <summary>Trusted peers.</summary>
    public Task<TrustedData> GetTrustedAsync(CancellationToken cancellationToken = default) =>
        AskAsync(new IpcRequest { Cmd = IpcCommand.Trusted }, IpcJson.Context.TrustedData, cancellationToken);

    /// <summary>One ping through the tunnel, which is built if needed.</summary>
    public async Task<PingData> PingAsync(string target, TimeSpan timeout, CancellationToken cancellationToken = default) =>
        Read(
            await RequestAsync(
                new IpcRequest { Cmd = IpcCommand.Ping, To = target, TimeoutMs = Milliseconds(timeout) }, timeout + _options.RequestTimeout, cancellationToken)
                .ConfigureAwait(false),
            IpcJson.Context.PingData);

    /// <summary>The path to a peer at this moment; nothing is sent.</summary>
    public Task<PathData> GetPathAsync(string target, CancellationToken cancellationToken = default) =>
        AskAsync(new IpcRequest { Cmd = IpcCommand.Path, To = target }, IpcJson.Context.PathData, cancellationToken);

    /// <summary>What is known about the network that the node is in; the beacons are asked once more.</summary>
    public Task<NetData> GetNetAsync(CancellationToken cancellationToken = default) =>
        AskAsync(new IpcRequest { Cmd = IpcCommand.Net }, IpcJson.Context.NetData, cancellationToken);

    /// <summary>Tunnel peers.</summary>
    public Task<PeersData> GetPeersAsync(CancellationToken cancellationToken = default) =>
        AskAsync(new IpcRequest { Cmd = IpcCommand.Peers }, IpcJson.Context.PeersData, cancellationToken);

    /// <summary>Streams.</summary>
    public Task<ConnectionsData> GetConnectionsAsync(CancellationToken cancellationToken = default) =>
        AskAsync(new IpcRequest { Cmd = IpcCommand.Connections }, IpcJson.Context.ConnectionsData, cancellationToken);

    /// <summary>Closes a stream, whoever owns it.</summary>
    public Task<DisconnectData> DisconnectAsync(uint connectionId, CancellationToken cancellationToken = default) =>
        AskAsync(new IpcRequest { Cmd = IpcCommand.Disconnect, Conn = connectionId }, IpcJson.Context.DisconnectData, cancellationToken);

    /// <summary>Stops the daemon; returns when it has agreed, not when it is gone.</summary>
    public Task ShutdownAsync(CancellationToken cancellationToken = default) =>
        RequestAsync(new IpcRequest { Cmd = IpcCommand.Shutdown }, cancellationToken);

    private Task<ConnResultData> ConnResultAsync(uint connectionId, CancellationToken cancellationToken) =>
        AskAsync(new IpcRequest { Cmd = IpcCommand.ConnResult, Conn = connectionId }, IpcJson.Context.ConnResultData, cancellationToken);

    private async Task<T> AskAsync<T>(IpcRequest request, System.Text.Json.Serialization.Metadata.JsonTypeInfo<T> type, CancellationToken cancellationToken)
        where T : class
        => Read<T>(await RequestAsync(request, cancellationToken).ConfigureAwait(false), type);
}
