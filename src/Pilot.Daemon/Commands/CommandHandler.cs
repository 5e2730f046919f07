using System.Buffers;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Pilot.Daemon.Host;
using Pilot.Daemon.Ipc;
using Pilot.Daemon.Registry;
using Pilot.Ipc;
using Pilot.Protocol;

namespace Pilot.Daemon.Commands;

/// <summary>Executes the commands of 08 §10.2. Each answers with one line, or hands its connection over to a stream.</summary>
internal sealed partial class CommandHandler(DaemonContext context) : ICommandHandler
{
    private readonly TargetResolver _targets = new(context);

    public async Task<CommandOutcome> ExecuteAsync(IpcRequest request, IpcSession session, CancellationToken cancellation) => await (request.Cmd switch
    {
        IpcCommand.Hello => Task.FromResult(Hello(request)),
        IpcCommand.Health => Task.FromResult(Health(request)),
        IpcCommand.Info => InfoAsync(request),
        IpcCommand.Status => StatusAsync(request),
        IpcCommand.Net => NetAsync(request, cancellation),
        IpcCommand.Path => PathAsync(request, cancellation),
        IpcCommand.Set => SetAsync(request, cancellation),
        IpcCommand.Resolve => ResolveAsync(request, cancellation),
        IpcCommand.Lookup => LookupAsync(request, cancellation),
        IpcCommand.Deregister => DeregisterAsync(request, cancellation),
        IpcCommand.Shutdown => Task.FromResult(Shutdown(request)),
        IpcCommand.Handshake => HandshakeAsync(request, cancellation),
        IpcCommand.Approve => TrustCommandAsync(request, static (book, clock, node, _) => book.Approve(clock, node), cancellation),
        IpcCommand.Reject => TrustCommandAsync(request, static (book, clock, node, text) => book.Reject(clock, node, text), cancellation),
        IpcCommand.Untrust => TrustCommandAsync(request, static (book, clock, node, _) => book.Untrust(clock, node), cancellation),
        IpcCommand.Withdraw => WithdrawAsync(request, cancellation),
        IpcCommand.Pending => PendingAsync(request),
        IpcCommand.Trusted => TrustedAsync(request),
        IpcCommand.Dial => DialAsync(request, session, cancellation),
        IpcCommand.Listen => ListenAsync(request, session),
        IpcCommand.Unlisten => UnlistenAsync(request, session),
        IpcCommand.Accept => AcceptAsync(request, cancellation),
        IpcCommand.SendTo => SendToAsync(request, cancellation),
        IpcCommand.Subscribe => Task.FromResult(Subscribe(request, session)),
        IpcCommand.Ping => PingAsync(request, cancellation),
        IpcCommand.Peers => PeersAsync(request),
        IpcCommand.Connections => ConnectionsAsync(request),
        IpcCommand.Disconnect => DisconnectAsync(request),
        IpcCommand.ConnResult => ConnResultAsync(request),
        _ => Task.FromException<CommandOutcome>(new CommandException(IpcErrorCode.UnknownCommand, $"unknown command: {Shorten(request.Cmd)}")),
    }).ConfigureAwait(false);

    public bool IsSubscribed(IpcSession session) => context.Events.IsSubscribed(session);

    public void SessionClosed(IpcSession session)
    {
        context.Events.Remove(session);
        context.Host.ReleasePorts(session);
    }

    private static CommandOutcome.Line Success<T>(IpcRequest request, T data, JsonTypeInfo<T> type)
    {
        var buffer = new ArrayBufferWriter<byte>();
        IpcLine.WriteSuccess(buffer, request.Id, data, type);
        return new CommandOutcome.Line(buffer.WrittenMemory);
    }

    /// <summary>Asks the registry; its refusals become command errors with the prefix of 08 §5.</summary>
    private async Task<RegistryAnswer> AskAsync(string verb, Task<RegistryAnswer> question)
    {
        try
        {
            return await question.ConfigureAwait(false);
        }
        catch (RegistryErrorException exception)
        {
            throw new CommandException(IpcErrorCode.FromRegistryText(exception.Message), $"{verb}: registry: {exception.Message}");
        }
        catch (RegistryUnavailableException exception)
        {
            throw new CommandException(IpcErrorCode.RegistryUnavailable, $"{verb}: {exception.Message}", "check that the registry is running, or set PILOT_REGISTRY");
        }
    }

    private void RequireRegistered()
    {
        if (!context.Session.IsRegistered)
        {
            var cause = context.Session.LastError is { Length: > 0 } refused ? refused : context.Registry.LastError;
            throw new CommandException(IpcErrorCode.RegistryUnavailable, $"not registered yet: {cause}", "check that the registry is running, or set PILOT_REGISTRY");
        }
    }

    private static ushort PortOf(IpcRequest request) =>
        request.Port ?? throw new CommandException(IpcErrorCode.InvalidArgument, $"{request.Cmd}: missing port");

    private static TimeSpan TimeoutOf(IpcRequest request, TimeSpan otherwise) => request.TimeoutMs switch
    {
        null => otherwise,
        <= 0 => throw new CommandException(IpcErrorCode.InvalidArgument, $"{request.Cmd}: timeout_ms must be positive"),
        var milliseconds => TimeSpan.FromMilliseconds(milliseconds.Value),
    };

    private static string Shorten(string? text) => text is { Length: > 64 } ? text[..64] + "…" : text ?? string.Empty;

    private Task<CommandOutcome> OnLoopAsync<T>(IpcRequest request, Func<T> function, JsonTypeInfo<T> type) => Map(context.Host.Loop.AskAsync(function), request, type);

    private static async Task<CommandOutcome> Map<T>(Task<T> task, IpcRequest request, JsonTypeInfo<T> type) => Success(request, await task.ConfigureAwait(false), type);

    private static uint Node(JsonElement element) => RegistryAnswer.Node(element, "node_id");

    private static string AddressOf(uint nodeId) => nodeId == 0 ? string.Empty : PilotAddress.OfNode(nodeId).ToString();
}
