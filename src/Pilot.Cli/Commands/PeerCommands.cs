using System.Globalization;
using System.Text;
using System.Text.Json;
using Pilot.Cli.CommandLine;
using Pilot.Cli.Output;
using Pilot.Ipc;

namespace Pilot.Cli.Commands;

/// <summary><c>peers connections disconnect</c> (07 §6.5).</summary>
internal static class PeerCommands
{
    private const int ListedRows = 50;

    public static Task<int> Peers(CommandContext context)
    {
        JsonElement answer = context.Ask(new IpcRequest { Cmd = IpcCommand.Peers }, "peers");
        string? query = context.Args.Text("search");
        List<JsonElement> peers = [.. answer.GetProperty("peers").EnumerateArray().Where(p => Matches(p, query))];
        long total = string.IsNullOrEmpty(query) ? answer.Whole("total") : peers.Count;
        context.Out.Success(new JsonMap { ["peers"] = peers, ["total"] = total }, context.Out.Json ? null : PeerTable(peers, query, total));
        return Task.FromResult(0);
    }

    public static Task<int> Connections(CommandContext context)
    {
        JsonElement answer = context.Ask(new IpcRequest { Cmd = IpcCommand.Connections }, "connections");
        JsonElement connections = answer.GetProperty("connections");
        context.Out.Success(
            new JsonMap { ["connections"] = connections, ["total"] = answer.Whole("total") },
            context.Out.Json ? null : ConnectionTable(connections, answer.Whole("total")));
        return Task.FromResult(0);
    }

    public static Task<int> Disconnect(CommandContext context)
    {
        uint id = NumberText.Unsigned(context.Args[0], uint.MaxValue, "connection ID", quoteValue: false);
        JsonElement answer = context.Ask(new IpcRequest { Cmd = IpcCommand.Disconnect, Conn = id }, "disconnect");
        context.Out.Success(new JsonMap { ["conn_id"] = id, ["closed"] = answer.Flag("closed") });
        return Task.FromResult(0);
    }

    private static bool Matches(JsonElement peer, string? query) =>
        string.IsNullOrEmpty(query)
        || peer.Integer("node_id").Contains(query, StringComparison.Ordinal)
        || peer.Text("endpoint").Contains(query, StringComparison.OrdinalIgnoreCase)
        || peer.Text("hostname").Contains(query, StringComparison.OrdinalIgnoreCase)
        || peer.Text("address").Contains(query, StringComparison.OrdinalIgnoreCase);

    private static string PeerTable(List<JsonElement> peers, string? query, long total)
    {
        if (peers.Count == 0)
        {
            return string.IsNullOrEmpty(query)
                ? "no peers connected\n  peers appear when you communicate with other nodes"
                : $"no peers matching \"{query}\"";
        }

        StringBuilder text = new(HumanFormat.Row(("NODE ID", 10), ("ENDPOINT", 30), ("ENCRYPTED", 20), ("AUTH", 13),
            ("PATH", 10), ("RTT", 8), ("LOSS", 6), ("SENT", 10), ("RECV", 0)));
        foreach (JsonElement peer in peers.Take(ListedRows))
        {
            text.Append('\n').Append(HumanFormat.Row(
                (peer.Integer("node_id"), 10), (peer.Text("endpoint"), 30),
                (peer.Flag("encrypted") ? "yes (AES-256-GCM)" : "no", 20), (peer.Flag("authenticated") ? "yes (Ed25519)" : "no", 13),
                (peer.Text("path") is { Length: > 0 } path ? path : "-", 10), (Figure(peer, "rtt_ms", 1, "0.#", "ms"), 8), (Figure(peer, "loss", 100, "0.#", "%"), 6),
                (HumanFormat.Size(peer.Number("bytes_sent")), 10), (HumanFormat.Size(peer.Number("bytes_recv")), 0)));
        }

        if (total > ListedRows)
        {
            text.Append($"\n... and {total - ListedRows} more peers (showing first {ListedRows})");
        }

        return text.ToString();
    }

    private static string Figure(JsonElement peer, string key, double factor, string format, string unit) =>
        peer.TryGetProperty(key, out JsonElement value) && value.ValueKind == JsonValueKind.Number
            ? (value.GetDouble() * factor).ToString(format, CultureInfo.InvariantCulture) + unit
            : "-";

    private static string ConnectionTable(JsonElement connections, long total)
    {
        if (connections.GetArrayLength() == 0)
        {
            return "no active connections\n  connect to a peer: pilotctl connect <address|hostname> --message \"hello\"";
        }

        StringBuilder text = new($"Active connections: {total}\n\n");
        text.Append(HumanFormat.Row(
            ("ID", 4), ("LOCAL", 6), ("REMOTE ADDR", 22), ("RPORT", 6), ("STATE", 11), ("CWND", 8), ("FLIGHT", 8), ("SRTT", 8),
            ("UNACK", 6), ("OOO", 6), ("PEERWIN", 8), ("RCVWIN", 0)));
        foreach (JsonElement c in connections.EnumerateArray().Take(ListedRows))
        {
            text.Append('\n').Append(HumanFormat.Row(
                (c.Integer("id"), 4), (c.Integer("local_port"), 6), (c.Text("remote_addr"), 22), (c.Integer("remote_port"), 6), (c.Text("state"), 11),
                (HumanFormat.Size(c.Number("cong_win")), 8), (HumanFormat.Size(c.Number("in_flight")), 8),
                (c.Integer("srtt_ms").PadRight(6) + "ms", 8), (c.Integer("unacked"), 6), (c.Integer("ooo_buf"), 6),
                (HumanFormat.Size(c.Number("peer_recv_win")), 8), (HumanFormat.Size(c.Number("recv_win")), 0)));
            text.Append($"\n      tx: {HumanFormat.Size(c.Number("bytes_sent"))} ({c.Whole("segs_sent")} segs)")
                .Append($"  rx: {HumanFormat.Size(c.Number("bytes_recv"))} ({c.Whole("segs_recv")} segs)")
                .Append($"  retx: {c.Whole("retransmits")}  fast-retx: {c.Whole("fast_retx")}")
                .Append($"  sack: {c.Whole("sack_recv")}/{c.Whole("sack_sent")}  dup-ack: {c.Whole("dup_acks")}");
        }

        if (total > ListedRows)
        {
            text.Append($"\n... and {total - ListedRows} more connections (showing first {ListedRows})");
        }

        return text.ToString();
    }
}
