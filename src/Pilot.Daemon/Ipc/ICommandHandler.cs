using Pilot.Ipc;

namespace Pilot.Daemon.Ipc;

/// <summary>How a command ended.</summary>
internal abstract record CommandOutcome
{
    /// <summary>A finished reply line.</summary>
    public sealed record Line(ReadOnlyMemory<byte> Bytes) : CommandOutcome;

    /// <summary>The connection becomes a stream: after the reply line is flushed, the connection is given to <paramref name="Take"/>; <paramref name="Abandon"/> is called instead when the client went away. Both on the loop thread.</summary>
    public sealed record HandOver(RawReply Reply, HandOverAction Take, Action Abandon) : CommandOutcome;
}

internal delegate void HandOverAction(in HandedOver client);

/// <summary>Executes commands. Called on the loop thread; must not block it.</summary>
internal interface ICommandHandler
{
    /// <summary>Starts a command. The token is cancelled when the client goes away.</summary>
    Task<CommandOutcome> ExecuteAsync(IpcRequest request, IpcSession session, CancellationToken cancellation);

    /// <summary>Whether events still go to the session, although it sends no more commands.</summary>
    bool IsSubscribed(IpcSession session);

    /// <summary>A session ended: release what it owns.</summary>
    void SessionClosed(IpcSession session);
}
