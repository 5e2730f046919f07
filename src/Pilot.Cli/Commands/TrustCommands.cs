using System.Globalization;
using System.Text;
using System.Text.Json;
using Pilot.Cli.Output;
using Pilot.Ipc;

namespace Pilot.Cli.Commands;

/// <summary><c>handshake approve reject untrust pending trust</c> and the sub-commands of <c>trust</c> (07 §6.4, 05 §13).</summary>
internal static class TrustCommands
{
    private static readonly TimeSpan WaitStep = TimeSpan.FromMilliseconds(200);

    public static Task<int> Handshake(CommandContext context)
    {
        (JsonElement answer, string who) = Request(context, "handshake: handshake");
        uint node = (uint)answer.Whole("node_id");
        string text = answer.Text("status") switch
        {
            "already_trusted" => $"already trusted with {who} — ready to communicate",
            "approved" => $"trust established with {who}\n  try: pilotctl ping {(node == 0 ? context.Args[0] : Decimal(node))}",
            _ => $"handshake request sent to {who}\n  next: {who} must approve — or send a handshake back for auto-approval\n  check: pilotctl trust",
        };
        context.Out.Success(JsonMaps.From(answer), text);
        return Task.FromResult(0);
    }

    public static Task<int> Approve(CommandContext context)
    {
        JsonElement answer = context.Ask(
            new IpcRequest { Cmd = IpcCommand.Approve, To = Target(context.Args[0]) }, "approve: approve");
        context.Out.Success(
            Action(answer), $"trust established with node {answer.Whole("node_id")}\n  try: pilotctl ping {answer.Whole("node_id")}");
        return Task.FromResult(0);
    }

    public static Task<int> Reject(CommandContext context)
    {
        string? reason = context.Args.Count > 1 ? context.Args[1] : null;
        JsonElement answer = context.Ask(
            new IpcRequest { Cmd = IpcCommand.Reject, To = Target(context.Args[0]), Reason = reason }, "reject: reject");
        context.Out.Success(Action(answer), $"handshake from node {answer.Whole("node_id")} rejected");
        return Task.FromResult(0);
    }

    public static Task<int> Untrust(CommandContext context)
    {
        JsonElement answer = context.Ask(new IpcRequest { Cmd = IpcCommand.Untrust, To = Target(context.Args[0]) }, "untrust: revoke");
        context.Out.Success(new JsonMap { ["node_id"] = answer.Whole("node_id") });
        return Task.FromResult(0);
    }

    public static Task<int> Pending(CommandContext context)
    {
        JsonElement answer = context.Ask(new IpcRequest { Cmd = IpcCommand.Pending }, "pending");
        JsonElement pending = answer.GetProperty("pending");
        StringBuilder text = new();
        if (pending.GetArrayLength() == 0)
        {
            text.Append("no pending handshake requests\n  requests appear here when another node sends: pilotctl handshake <your-node-id>");
        }
        else
        {
            text.Append(HumanFormat.Row(("NODE ID", 10), ("JUSTIFICATION", 40), ("RECEIVED", 0)));
            foreach (JsonElement entry in pending.EnumerateArray())
            {
                text.Append('\n').Append(HumanFormat.Row(
                    (entry.Integer("node_id"), 10), (entry.Text("justification"), 40), (HumanFormat.LocalTime(entry.Whole("received_at")), 0)));
            }
        }

        context.Out.Success(JsonMaps.From(answer), text.ToString());
        return Task.FromResult(0);
    }

    public static Task<int> List(CommandContext context)
    {
        JsonElement answer = context.Ask(new IpcRequest { Cmd = IpcCommand.Trusted }, "trust");
        JsonElement trusted = answer.GetProperty("trusted");
        StringBuilder text = new();
        if (trusted.GetArrayLength() == 0)
        {
            text.Append("no trusted peers\n  establish trust: pilotctl handshake <node_id|hostname> \"reason\"");
        }
        else
        {
            text.Append(HumanFormat.Row(("NODE ID", 10), ("MUTUAL", 10), ("NETWORK", 10), ("APPROVED AT", 0)));
            foreach (JsonElement entry in trusted.EnumerateArray())
            {
                string network = entry.Whole("network") == 0 ? "-" : entry.Integer("network");
                text.Append('\n').Append(HumanFormat.Row(
                    (entry.Integer("node_id"), 10), (entry.Flag("mutual") ? "yes" : "no", 10), (network, 10),
                    (HumanFormat.LocalTime(entry.Whole("approved_at")), 0)));
            }
        }

        context.Out.Success(JsonMaps.From(answer), text.ToString());
        return Task.FromResult(0);
    }

    /// <summary>Handshake, approval or nothing, whichever the peer's state asks for; <c>--wait</c> until trust is there.</summary>
    public static async Task<int> Add(CommandContext context)
    {
        TimeSpan wait = context.Args.Duration("wait", TimeSpan.Zero);
        (JsonElement answer, string who) = Request(context, "trust add: handshake");
        JsonMap data = JsonMaps.From(answer);
        string status = answer.Text("status");
        if (status == "sent" && wait > TimeSpan.Zero)
        {
            context.Out.Note($"request sent — waiting for {who} to trust this node too");
            uint node = await WaitForTrustAsync(context, (uint)answer.Whole("node_id"), wait).ConfigureAwait(false);
            data["status"] = status = "approved";
            data["node_id"] = node;
        }

        context.Out.Success(
            data,
            status switch
            {
                "already_trusted" => $"already trusted with {who} — ready to communicate",
                "approved" => "✓ Mutual trust established. Both agents can now dial each other.",
                _ => $"trust requested from {who}\n  nothing happens until the peer adds this node too; check: pilotctl trust",
            });
        return 0;
    }

    /// <summary>Ends trust; for a request that waits here, rejects it; for an own request without answer, withdraws it.</summary>
    public static Task<int> Remove(CommandContext context)
    {
        string target = Target(context.Args[0]);
        foreach (string command in (ReadOnlySpan<string>)[IpcCommand.Untrust, IpcCommand.Reject, IpcCommand.Withdraw])
        {
            try
            {
                JsonElement answer = context.Ask(new IpcRequest { Cmd = command, To = target }, "trust remove: " + command);
                JsonMap data = Action(answer);
                context.Out.Success(data, command switch
                {
                    IpcCommand.Untrust => $"✓ {OwnName(context)} is now invisible to {context.Args[0]} again.",
                    IpcCommand.Reject => $"handshake from node {answer.Whole("node_id")} rejected",
                    _ => $"request to {context.Args[0]} withdrawn",
                });
                return Task.FromResult(0);
            }
            catch (CliException e) when (e.Code == ErrorCodes.NotFound && command != IpcCommand.Withdraw)
            {
                // Not trusted: perhaps only pending, or only asked.
            }
        }

        throw new CliException(ErrorCodes.NotFound, $"trust remove: no trust with {context.Args[0]}");
    }

    private static (JsonElement Answer, string Who) Request(CommandContext context, string label)
    {
        string argument = context.Args[0];
        string? justification = context.Args.Count > 1 ? context.Args[1] : null;
        bool isId = NodeArgument.TryParseNodeId(argument, out uint node);
        if (!isId && NodeArgument.TryParseAddress(argument, out node))
        {
            isId = true;
            context.Out.Note($"parsed address {argument} → node {node}");
        }

        JsonElement answer = context.Ask(
            new IpcRequest { Cmd = IpcCommand.Handshake, To = isId ? Decimal(node) : argument, Justification = justification }, label);
        uint known = (uint)answer.Whole("node_id");
        if (!isId && known != 0)
        {
            context.Out.Note($"resolved {argument} → node {known}");
        }

        return (answer, known == 0 ? argument : $"node {known}");
    }

    private static async Task<uint> WaitForTrustAsync(CommandContext context, uint node, TimeSpan wait)
    {
        string name = context.Args[0];
        using PeriodicTimer timer = new(WaitStep);
        long deadline = System.Environment.TickCount64 + (long)wait.TotalMilliseconds;
        while (true)
        {
            JsonElement trusted = context.Ask(new IpcRequest { Cmd = IpcCommand.Trusted }, "trust add").GetProperty("trusted");
            foreach (JsonElement entry in trusted.EnumerateArray())
            {
                if ((node != 0 && entry.Whole("node_id") == node) || (node == 0 && entry.Text("hostname") == name))
                {
                    return (uint)entry.Whole("node_id");
                }
            }

            if (System.Environment.TickCount64 >= deadline)
            {
                throw new CliException(
                    ErrorCodes.Timeout, $"{name} did not answer within {CommandLine.GoDuration.Format(wait)}", "the request stays open; check: pilotctl trust");
            }

            await timer.WaitForNextTickAsync().ConfigureAwait(false);
        }
    }

    /// <summary>Decimal ids and hostnames go to the daemon as they are; of an address only the node counts.</summary>
    private static string Target(string argument) =>
        NodeArgument.TryParseAddress(argument, out uint node) ? Decimal(node) : argument;

    private static JsonMap Action(JsonElement answer) => new() { ["status"] = answer.Text("status"), ["node_id"] = answer.Whole("node_id") };

    private static string OwnName(CommandContext context)
    {
        JsonElement status = context.Ask(new IpcRequest { Cmd = IpcCommand.Status }, "trust remove");
        return status.Text("hostname") is { Length: > 0 } name ? HumanFormat.OneLine(name) : "this node";
    }

    private static string Decimal(uint node) => node.ToString(CultureInfo.InvariantCulture);
}
