using System.Globalization;
using System.Text;
using System.Text.Json;
using Pilot.Cli.CommandLine;
using Pilot.Cli.Output;
using Pilot.Cli.Registry;
using Pilot.Ipc;

namespace Pilot.Cli.Commands;

/// <summary>The own node and the registry's view of nodes: <c>info health find lookup set-* deregister</c> (07 §6.2, §6.5).</summary>
internal static class NodeCommands
{
    private const int ListedConnections = 50;

    public static Task<int> Info(CommandContext context)
    {
        JsonElement info = context.Ask(new IpcRequest { Cmd = IpcCommand.Info }, "info");
        context.Out.Success(JsonMaps.From(info), context.Out.Json ? null : InfoText(info));
        return Task.FromResult(0);
    }

    public static Task<int> Health(CommandContext context)
    {
        JsonElement health = context.Ask(new IpcRequest { Cmd = IpcCommand.Health }, "health");
        context.Out.Success(
            JsonMaps.From(health),
            context.Out.Json
                ? null
                : $"""
                  Daemon Health
                    Status:      {health.Text("status")}
                    Uptime:      {HumanFormat.Clock(health.Number("uptime_seconds"))}
                    Connections: {health.Whole("connections")}
                    Peers:       {health.Whole("peers")}
                    Bytes Sent:  {HumanFormat.Size(health.Number("bytes_sent"))}
                    Bytes Recv:  {HumanFormat.Size(health.Number("bytes_recv"))}
                  """);
        return Task.FromResult(0);
    }

    public static Task<int> Find(CommandContext context)
    {
        string name = context.Args[0];
        JsonElement data;
        try
        {
            data = context.Ask(new IpcRequest { Cmd = IpcCommand.Resolve, Name = name }, "find");
        }
        catch (CliException e) when (e.Code is ErrorCodes.NotFound or ErrorCodes.InvalidArgument)
        {
            throw new CliException(
                ErrorCodes.NotFound,
                $"cannot find \"{name}\" — hostname not found or no mutual trust",
                $"establish trust first: pilotctl handshake {name} \"reason\"");
        }

        bool isPublic = data.Flag("public");
        context.Out.Success(
            new JsonMap
            {
                ["hostname"] = name,
                ["node_id"] = data.Whole("node_id"),
                ["address"] = data.Text("address"),
                ["public"] = isPublic,
            },
            $"""
            Hostname:  {name}
            Node ID:   {data.Whole("node_id")}
            Address:   {data.Text("address")}
            Visible:   {(isPublic ? "public" : "private")}
            """);
        return Task.FromResult(0);
    }

    /// <summary>Works without a daemon (decimal id, straight to the registry); with one it also takes names and addresses.</summary>
    public static Task<int> Lookup(CommandContext context)
    {
        string argument = context.Args[0];
        JsonElement data;
        if (NodeArgument.TryParseAddress(argument, out uint node))
        {
            data = RegistryLookup.Run(context.Settings.Registry().Value, node);
        }
        else if (NodeArgument.MayBeHostname(argument) && File.Exists(context.SocketPath))
        {
            data = context.Ask(new IpcRequest { Cmd = IpcCommand.Lookup, To = argument }, "lookup");
        }
        else
        {
            node = NumberText.Unsigned(argument, uint.MaxValue, "node_id");
            data = RegistryLookup.Run(context.Settings.Registry().Value, node);
        }

        context.Out.Success(JsonMaps.From(data));
        return Task.FromResult(0);
    }

    public static Task<int> SetHostname(CommandContext context) => ChangeHostname(context, context.Args[0], withNodeId: true);

    public static Task<int> ClearHostname(CommandContext context) => ChangeHostname(context, string.Empty, withNodeId: false);

    public static Task<int> SetPublic(CommandContext context) => ChangeVisibility(context, isPublic: true);

    public static Task<int> SetPrivate(CommandContext context) => ChangeVisibility(context, isPublic: false);

    public static Task<int> Deregister(CommandContext context)
    {
        JsonElement data = context.Ask(new IpcRequest { Cmd = IpcCommand.Deregister }, "deregister: deregister");
        context.Out.Success(JsonMaps.From(data));
        return Task.FromResult(0);
    }

    private static Task<int> ChangeHostname(CommandContext context, string hostname, bool withNodeId)
    {
        string label = withNodeId ? "set-hostname: set_hostname" : "clear-hostname: set_hostname";
        JsonElement answer = context.Ask(new IpcRequest { Cmd = IpcCommand.Set, Hostname = hostname }, label).GetProperty("hostname");
        string set = answer.Text("hostname");
        if (!string.Equals(context.Config.Text("hostname") ?? string.Empty, set, StringComparison.Ordinal))
        {
            context.Config.Set("hostname", set.Length == 0 ? null : set);
            context.Config.Save();
        }

        JsonMap data = new() { ["hostname"] = set };
        if (withNodeId)
        {
            data["node_id"] = answer.Whole("node_id");
        }

        context.Out.Success(data, set.Length == 0 ? "hostname cleared" : "hostname set: " + set);
        return Task.FromResult(0);
    }

    private static Task<int> ChangeVisibility(CommandContext context, bool isPublic)
    {
        string verb = isPublic ? "set-public" : "set-private";
        JsonElement answer = context.Ask(new IpcRequest { Cmd = IpcCommand.Set, Public = isPublic }, $"{verb}: set_visibility").GetProperty("visibility");
        context.Out.Success(JsonMaps.From(answer));
        return Task.FromResult(0);
    }

    private static string InfoText(JsonElement info)
    {
        StringBuilder text = new("Pilot Protocol Daemon\n");
        Line("Node ID:", info.Whole("node_id").ToString(CultureInfo.InvariantCulture));
        Line("Address:", info.Text("address"));
        if (info.Text("hostname") is { Length: > 0 } hostname)
        {
            Line("Hostname:", HumanFormat.OneLine(hostname));
        }

        Line("Uptime:", HumanFormat.Clock(info.Number("uptime_secs")));
        Line("Connections:", info.Whole("connections").ToString(CultureInfo.InvariantCulture));
        Line("Ports:", info.Whole("ports").ToString(CultureInfo.InvariantCulture));
        Line("Peers:", info.Whole("peers").ToString(CultureInfo.InvariantCulture));
        Line("Encryption:", info.Flag("encrypt")
            ? $"enabled (X25519 + AES-256-GCM), {info.Whole("encrypted_peers")}/{info.Whole("peers")} peers encrypted, {info.Whole("authenticated_peers")} authenticated"
            : "disabled");
        string key = info.Text("public_key");
        Line("Identity:", info.Flag("identity") ? $"persistent (Ed25519 {key[..Math.Min(16, key.Length)]}...)" : "ephemeral (not persisted)");
        if (info.Text("email") is { Length: > 0 } email)
        {
            Line("Email:", HumanFormat.OneLine(email));
        }

        if (info.Text("nat_type") is { Length: > 0 } nat)
        {
            string endpoint = info.Text("endpoint") is { Length: > 0 } known ? $" ({known})" : string.Empty;
            Line("NAT type:", nat + endpoint);
        }

        Line("Traffic:", $"{HumanFormat.Size(info.Number("bytes_sent"))} sent / {HumanFormat.Size(info.Number("bytes_recv"))} recv");
        Line("Packets:", $"{info.Whole("pkts_sent")} sent / {info.Whole("pkts_recv")} recv");
        JsonElement connections = info.GetProperty("conn_list");
        int total = connections.GetArrayLength();
        if (total > 0)
        {
            text.Append($"\nActive connections: {total}\n  ")
                .Append(HumanFormat.Row(("ID", 4), ("LOCAL", 6), ("REMOTE ADDR", 22), ("RPORT", 6), ("STATE", 11), ("CWND", 8), ("FLIGHT", 8), ("SRTT", 4)));
            foreach (JsonElement c in connections.EnumerateArray().Take(ListedConnections))
            {
                text.Append("\n  ").Append(HumanFormat.Row(
                    (c.Integer("id"), 4), (c.Integer("local_port"), 6), (c.Text("remote_addr"), 22), (c.Integer("remote_port"), 6), (c.Text("state"), 11),
                    (HumanFormat.Size(c.Number("cong_win")), 8), (HumanFormat.Size(c.Number("in_flight")), 8),
                    (c.Integer("srtt_ms") + "ms" + (c.Flag("in_recovery") ? " [RECOVERY]" : string.Empty), 4)));
            }

            if (total > ListedConnections)
            {
                text.Append($"\n  ... and {total - ListedConnections} more connections (showing first {ListedConnections})");
            }

            text.Append('\n');
        }

        return text.ToString().TrimEnd('\n');

        void Line(string label, string value) => text.Append("  ").Append(label.PadRight(13)).Append(value).Append('\n');
    }
}
