using Pilot.Ipc;

namespace Pilot.Client;

/// <summary>How a <see cref="PilotClient"/> reaches its daemon.</summary>
public sealed record PilotClientOptions
{
    /// <summary>
    /// Path of the daemon's Unix socket. Default: environment variable <c>PILOT_SOCKET</c>, else
    /// <see cref="IpcProtocol.DefaultSocketPath"/>.
    /// </summary>
    public string SocketPath { get; init; } =
        Environment.GetEnvironmentVariable("PILOT_SOCKET") is { Length: > 0 } path ? path : IpcProtocol.DefaultSocketPath;

    /// <summary>Limit for the answer to a local request (nothing that waits for a peer or the registry). Default 30 s.</summary>
    public TimeSpan RequestTimeout { get; init; } = TimeSpan.FromSeconds(30);
}
