using System.Buffers;
using System.Diagnostics;
using System.Text;
using Pilot.Daemon.Host;
using Pilot.Daemon.Ipc;
using Pilot.Engine.Streams;
using Pilot.Ipc;

namespace Pilot.Daemon.Commands;

/// <summary>Commands about streams, datagrams and peers.</summary>
internal sealed partial class CommandHandler
{
    private static readonly TimeSpan DefaultPingTimeout = TimeSpan.FromSeconds(5);

    private async Task<CommandOutcome> DialAsync(IpcRequest request, IpcSession session, CancellationToken cancellation)
    {
        var port = PortOf(request);
        var timeout = TimeoutOf(request, NodeHost.DefaultDialTimeout);
        RequireRegistered();
        var started = Stopwatch.GetTimestamp();
        Action<ProgressEvent>? progress = request.Progress == true ? Report : null;
        if (progress is not null && !TargetResolver.TryNumeric(request, out _))
        {
            progress(new ProgressEvent { Stage = "resolving", ElapsedMs = 0 });
        }

        var target = await _targets.ResolveAsync(request, cancellation, mayBeRecent: true).ConfigureAwait(false);
        RequireNode(target.NodeId, "dial");
        progress?.Invoke(new ProgressEvent { Stage = "resolved", ElapsedMs = Elapsed(), NodeId = target.NodeId, Address = AddressOf(target.NodeId) });
        var operation = await context.Host.Loop.AskAsync(() => context.Host.Dial(target.NodeId, port, timeout, progress)).ConfigureAwait(false);
        await using var registration = cancellation.Register(() => context.Host.Loop.Post(operation.Cancel)).ConfigureAwait(false);
        var connection = await operation.Task.ConfigureAwait(false);
        return await HandOverAsync(connection, Elapsed(), target.Hostname).ConfigureAwait(false);

        double Elapsed() => Stopwatch.GetElapsedTime(started).TotalMilliseconds;

        void Report(ProgressEvent step)
        {
            var buffer = new ArrayBufferWriter<byte>();
            IpcLine.WriteObject(buffer, step with { Id = request.Id }, IpcJson.Context.ProgressEvent);
            session.SendEvent(buffer.WrittenMemory);
        }
    }

    private async Task<CommandOutcome> AcceptAsync(IpcRequest request, CancellationToken cancellation)
    {
        var port = PortOf(request);
        var timeout = request.TimeoutMs is null or 0 ? TimeSpan.Zero : TimeoutOf(request, TimeSpan.Zero);
        var operation = await context.Host.Loop.AskAsync(() => context.Host.Accept(port, timeout)).ConfigureAwait(false);
        await using var registration = cancellation.Register(() => context.Host.Loop.Post(() => operation.Fail(new OperationCanceledException()))).ConfigureAwait(false);
        return await HandOverAsync(await operation.Task.ConfigureAwait(false), null, string.Empty).ConfigureAwait(false);
    }

    private async Task<CommandOutcome> HandOverAsync(Connection connection, double? setup, string hostname)
    {
        var reply = await context.Host.Loop.AskAsync(() => context.Host.Describe(connection)).ConfigureAwait(false);
        return new CommandOutcome.HandOver(
            reply with { SetupMs = setup, Hostname = hostname.Length > 0 ? hostname : reply.Hostname },
            (in client) => context.Host.Attach(connection, client),
            () => context.Host.Discard(connection));
    }

    private Task<CommandOutcome> ListenAsync(IpcRequest request, IpcSession session)
    {
        var port = PortOf(request);
        var backlog = request.Backlog ?? NodeHost.DefaultBacklog;
        if (backlog is < 1 or > NodeHost.MaxBacklog)
        {
            throw new CommandException(IpcErrorCode.InvalidArgument, $"listen: backlog must be 1 to {NodeHost.MaxBacklog}");
        }

        return OnLoopAsync(request, () => new ListenData { Port = context.Host.Listen(session, port, backlog), Backlog = backlog }, IpcJson.Context.ListenData);
    }

    private Task<CommandOutcome> UnlistenAsync(IpcRequest request, IpcSession session)
    {
        var port = PortOf(request);
        return OnLoopAsync(request, () =>
        {
            context.Host.Unlisten(session, port);
            return new ListenData { Port = port };
        }, IpcJson.Context.ListenData);
    }

    private async Task<CommandOutcome> SendToAsync(IpcRequest request, CancellationToken cancellation)
    {
        var port = PortOf(request);
        var payload = Payload(request);
        RequireRegistered();
        var target = await _targets.ResolveAsync(request, cancellation, mayBeRecent: true).ConfigureAwait(false);
        RequireNode(target.NodeId, "sendto");
        var accepted = await context.Host.Loop.AskAsync(() => context.Host.SendDatagram(target.NodeId, request.SrcPort ?? 0, port, payload)).ConfigureAwait(false);
        await accepted.WaitAsync(cancellation).ConfigureAwait(false);
        return Success(request, new SendToData { Bytes = payload.Length, NodeId = target.NodeId, SrcPort = request.SrcPort ?? 0 }, IpcJson.Context.SendToData);
    }

    private CommandOutcome Subscribe(IpcRequest request, IpcSession session)
    {
        var events = request.Events ?? [];
        if (events.FirstOrDefault(name => !IpcEvent.IsSubscribable(name)) is { } unknown)
        {
            throw new CommandException(IpcErrorCode.InvalidArgument, $"subscribe: unknown event {Shorten(unknown)}");
        }

        if (request.Datagrams is null && events.Count == 0)
        {
            throw new CommandException(IpcErrorCode.InvalidArgument, "subscribe: nothing to subscribe to");
        }

        context.Events.Subscribe(session, request.Datagrams, events);
        return Success(request, new SubscribeData { Datagrams = request.Datagrams, Events = events }, IpcJson.Context.SubscribeData);
    }

    private async Task<CommandOutcome> PingAsync(IpcRequest request, CancellationToken cancellation)
    {
        var timeout = TimeoutOf(request, DefaultPingTimeout);
        RequireRegistered();
        var target = await _targets.ResolveAsync(request, cancellation, mayBeRecent: true).ConfigureAwait(false);
        RequireNode(target.NodeId, "ping");
        var ping = await context.Host.Loop.AskAsync(() => context.Host.Ping(target.NodeId, timeout)).ConfigureAwait(false);
        return Success(request, await ping.WaitAsync(cancellation).ConfigureAwait(false), IpcJson.Context.PingData);
    }

    private Task<CommandOutcome> PeersAsync(IpcRequest request) =>
        OnLoopAsync(request, () => context.Host.Peers(context.Trust.Book.Snapshot.IsKnown), IpcJson.Context.PeersData);

    private Task<CommandOutcome> ConnectionsAsync(IpcRequest request) => OnLoopAsync(request, context.Host.Connections, IpcJson.Context.ConnectionsData);

    private Task<CommandOutcome> DisconnectAsync(IpcRequest request)
    {
        var id = ConnOf(request);
        return OnLoopAsync(request, () => new DisconnectData { ConnId = id, Closed = context.Host.Disconnect(id) }, IpcJson.Context.DisconnectData);
    }

    private Task<CommandOutcome> ConnResultAsync(IpcRequest request)
    {
        var id = ConnOf(request);
        return OnLoopAsync(request, () => context.Host.Result(id) ?? throw new CommandException(IpcErrorCode.NotFound, $"connection {id} not found"), IpcJson.Context.ConnResultData);
    }

    private static uint ConnOf(IpcRequest request) => request.Conn ?? throw new CommandException(IpcErrorCode.InvalidArgument, $"{request.Cmd}: missing conn");

    private static void RequireNode(uint nodeId, string verb)
    {
        if (nodeId == 0)
        {
            throw new CommandException(IpcErrorCode.InvalidArgument, $"{verb}: node id 0 is no node");
        }
    }

    private static byte[] Payload(IpcRequest request)
    {
        byte[] payload;
        if (request.Data is { } encoded)
        {
            try
            {
                payload = Convert.FromBase64String(encoded);
            }
            catch (FormatException)
            {
                throw new CommandException(IpcErrorCode.InvalidArgument, "sendto: data is not base64");
            }
        }
        else
        {
            payload = Encoding.UTF8.GetBytes(request.Text ?? throw new CommandException(IpcErrorCode.InvalidArgument, "sendto: missing data or text"));
        }

        return payload.Length switch
        {
            0 => throw new CommandException(IpcErrorCode.InvalidArgument, "sendto: an empty datagram is dropped by its receiver"),
            > IpcProtocol.MaxDatagram => throw new CommandException(IpcErrorCode.TooLarge, $"sendto: payload too large: {payload.Length} bytes (max {IpcProtocol.MaxDatagram})"),
            _ => payload,
        };
    }
}
