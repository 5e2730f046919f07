using System.Text.Json;
using Pilot.Cli.CommandLine;
using Pilot.Cli.Output;
using Pilot.Cli.State;
using Pilot.Client;
using Pilot.Ipc;

namespace Pilot.Cli.Commands;

/// <summary>What a command works with: its arguments, the output, the local state and the daemon.</summary>
internal sealed class CommandContext(
    CommandSpec command, ParsedArguments arguments, CliOutput output, PilotHome home, Func<string, string?> environment)
{
    /// <summary>Limit for a request that may wait for the registry (the daemon's own limit there is 10 s).</summary>
    private static readonly TimeSpan RegistryRequest = TimeSpan.FromSeconds(20);

    private ConfigFile? _config;
    private PilotClient? _client;

    public CommandSpec Command { get; } = command;

    public ParsedArguments Args { get; } = arguments;

    public CliOutput Out { get; } = output;

    public PilotHome Home { get; } = home;

    public Func<string, string?> Environment { get; } = environment;

    public ConfigFile Config => _config ??= ConfigFile.Load(Home.ConfigFile);

    public Settings Settings => new(Config, Environment);

    public string SocketPath => Settings.Socket(Args).Value;

    public PilotClient Client => _client ??= new PilotClient(new PilotClientOptions { SocketPath = SocketPath });

    /// <summary>One request; failures become the messages of 07 §2.3. <paramref name="label"/> is <c>&lt;verb&gt;: &lt;operation&gt;</c>.</summary>
    public JsonElement Ask(IpcRequest request, string label)
    {
        try
        {
            return Client.Request(request, RegistryRequest);
        }
        catch (PilotException e)
        {
            throw Failure(e, label);
        }
    }

    /// <summary>Fails with <c>not_running</c> when nothing listens on the socket, before anything else is looked at.</summary>
    public void RequireDaemon()
    {
        try
        {
            Client.Request(new IpcRequest { Cmd = IpcCommand.Hello, Version = IpcProtocol.Version });
        }
        catch (PilotException e)
        {
            throw Failure(e, "connect");
        }
    }

    public static CliException Failure(PilotException e, string label) => e switch
    {
        { Code: PilotErrorCode.NotRunning } =>
            new CliException(ErrorCodes.NotRunning, "daemon is not running", "start the daemon with: pilotctl daemon start"),
        PilotNotRunningException => new CliException(ErrorCodes.PermissionDenied, e.Message),
        { Code: PilotErrorCode.ConnectionLost } => new CliException(ErrorCodes.ConnectionFailed, $"{label}: daemon disconnected"),
        _ => new CliException(IpcErrorCode.ToCliCode(e.Code), $"{label}: daemon: {e.Message}", e.Hint),
    };
}
