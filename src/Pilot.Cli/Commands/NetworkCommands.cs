using System.Globalization;
using System.Text;
using System.Text.Json;
using Pilot.Cli.Output;
using Pilot.Ipc;

namespace Pilot.Cli.Commands;

/// <summary>How this node is reached: <c>status netcheck</c> (07 §12).</summary>
internal static class NetworkCommands
{
    private const int Column = 15;

    public static Task<int> Status(CommandContext context)
    {
        JsonElement status = context.Ask(new IpcRequest { Cmd = IpcCommand.Status }, "status");
        JsonElement info = context.Ask(new IpcRequest { Cmd = IpcCommand.Info }, "status");
        string nat = info.Text("nat_type");
        JsonElement mapping = PortMappingOf(status);
        string strategy = Strategy(nat, mapping);
        JsonMap data = JsonMaps.From(status);
        data["nat_type"] = nat;
        data["endpoint"] = info.Text("endpoint");
        data["strategy"] = strategy;
        data["public"] = info.Flag("public");
        data["running"] = true;
        data["responsive"] = true;
        string endpoint = IsMapped(mapping) ? mapping.Text("external") : info.Text("endpoint") is { Length: > 0 } known ? known : "unknown";
        string registry = status.Flag("registry_connected") ? "connected" : "not connected";
        string lastError = status.Text("last_error") is { Length: > 0 } error ? $"\nLast error: {HumanFormat.OneLine(error)}" : string.Empty;
        context.Out.Success(
            data,
            $"""
            NAT type:  {nat}
            Endpoint:  {endpoint}
            Strategy:  {strategy}
            Mapping:   {MappingText(mapping)}
            State:     {status.Text("state")} (pid {status.Whole("pid")}, up {HumanFormat.Clock(status.Number("uptime_secs"))})
            Address:   {status.Text("address")}
            Hostname:  {HumanFormat.OneLine(status.Text("hostname"))}
            Peers:     {status.Whole("peers")} ({status.Whole("connections")} streams)
            Registry:  {status.Text("registry")} ({registry}){lastError}
            """);
        return Task.FromResult(0);
    }

    public static Task<int> Netcheck(CommandContext context)
    {
        JsonElement net = context.Ask(new IpcRequest { Cmd = IpcCommand.Net }, "netcheck");
        string type = NatOf(net).Text("type");
        string meaning = Meaning(type, PortMappingOf(net), HasBeacons(net));
        JsonMap data = JsonMaps.From(net);
        data["strategy"] = Strategy(type, PortMappingOf(net));
        data["meaning"] = meaning;
        context.Out.Success(data, context.Out.Json ? null : Screen(net, type, meaning));
        return Task.FromResult(0);
    }

    /// <summary>How peers reach this node, in the words of the product pages.</summary>
    internal static string Strategy(string natType, JsonElement mapping) => natType switch
    {
        "open" or "full-cone" => "direct (STUN endpoint reachable by all peers)",
        _ when IsMapped(mapping) => $"direct (port mapped by {mapping.Text("protocol")}, reachable by all peers)",
        "restricted cone" or "port-restricted cone" => "hole-punch (coordinated by the beacon)",
        "symmetric" => "relay via beacon (hole-punch not possible towards other strict NATs)",
        "blocked" => "none (no beacon answers: UDP does not come back)",
        _ => "unknown (not measured yet)",
    };

    private static string Meaning(string natType, JsonElement mapping, bool hasBeacons) => natType switch
    {
        "open" or "full-cone" => "Every peer can reach this node directly.",
        _ when IsMapped(mapping) => "Every peer can reach this node directly, as long as the gateway keeps the mapping.",
        "restricted cone" => "Peers reach this node directly, where needed by hole punching.",
        "port-restricted cone" => "Peers reach this node directly by hole punching; those behind symmetric NATs by relay.",
        "symmetric" => "Peers without NAT, or behind full-cone and address-restricted NATs, are reached directly; the others by relay.",
        "blocked" => "No beacon answers. UDP is blocked here, or the beacons are down: only peers of the local network can be reached.",
        _ when !hasBeacons => "No beacon is configured: peers are reached at their registered addresses only.",
        _ => "The NAT is not measured yet. Direct paths are tried with every peer, and the relay is used until one works.",
    };

    private static string Screen(JsonElement net, string type, string meaning)
    {
        StringBuilder text = new();
        JsonElement nat = NatOf(net);
        Line("UDP", Choice(net, "udp", "yes", "no: no beacon answers", "not tested (no beacon)"));
        Line("IPv4", Family(net.Flag("ipv4"), nat.Text("endpoint_v4")));
        Line("IPv6", Family(net.Flag("ipv6"), nat.Text("endpoint_v6")));
        Line("NAT type", type);
        Line("  mapping", nat.Text("mapping"));
        Line("  filtering", nat.Text("filtering"));
        Line("  port kept", Choice(nat, "preserves_port", "yes", "no", "unknown"));
        Line("  hairpinning", Choice(nat, "hairpins", "yes", "no", "unknown"));
        double lifetime = nat.Number("binding_lifetime_secs");
        Line("  lifetime", lifetime > 0 ? string.Create(CultureInfo.InvariantCulture, $"at least {lifetime:0} s without traffic") : "unknown");
        Line("Port mapping", MappingText(PortMappingOf(net)));
        string[] beacons = [.. Items(net, "beacons").Select(BeaconText)];
        Line("Beacons", beacons.Length == 0 ? "none" : beacons[0]);
        foreach (string beacon in beacons.Skip(1))
        {
            Line(string.Empty, beacon);
        }

        Line("Registry", $"{net.Text("registry")} ({(net.Flag("registry_connected") ? "connected" : "not connected")})");
        return text.Append('\n').Append(meaning).ToString();

        void Line(string label, string value) => text.Append((label.Length > 0 ? label + ":" : label).PadRight(Column)).Append(HumanFormat.OneLine(value)).Append('\n');
    }

    private static string Family(bool isThere, string endpoint) => !isThere ? "no" : endpoint.Length > 0 ? $"yes, seen as {endpoint}" : "yes";

    private static string BeaconText(JsonElement beacon)
    {
        string name = beacon.Text("name");
        string endpoint = beacon.Text("endpoint");
        string where = endpoint.Length == 0 || endpoint == name ? name : $"{name} ({endpoint})";
        return endpoint.Length == 0 ? $"{where}: address unknown"
            : !beacon.Flag("answering") ? $"{where}: no answer"
            : string.Create(CultureInfo.InvariantCulture, $"{where}: {beacon.Number("rtt_ms"):0.#}ms{(beacon.Flag("current") ? ", in use" : string.Empty)}");
    }

    private static string MappingText(JsonElement mapping)
    {
        string error = mapping.Text("error") is { Length: > 0 } text ? $": {text}" : string.Empty;
        return mapping.Text("state") switch
        {
            PortMappingState.Mapped =>
                $"{mapping.Text("external")} by {mapping.Text("protocol")} (gateway {mapping.Text("gateway")}{(mapping.Flag("behind_another_nat") ? "; behind another NAT, so no use outside" : string.Empty)})",
            PortMappingState.Refused => $"refused by {mapping.Text("gateway")} ({mapping.Text("protocol")}{error})",
            PortMappingState.NoAnswer => $"none (gateway {mapping.Text("gateway")} speaks no PCP, NAT-PMP or UPnP)",
            PortMappingState.Asking => $"being asked for at {mapping.Text("gateway")}",
            { Length: > 0 } state => state,
            _ => "unknown",
        };
    }

    private static bool IsMapped(JsonElement mapping) => mapping.Text("state") == PortMappingState.Mapped && !mapping.Flag("behind_another_nat");

    private static bool HasBeacons(JsonElement net) => Items(net, "beacons").Any();

    private static IEnumerable<JsonElement> Items(JsonElement element, string key) =>
        element.TryGetProperty(key, out JsonElement list) && list.ValueKind == JsonValueKind.Array ? list.EnumerateArray() : [];

    private static JsonElement NatOf(JsonElement net) => Object(net, "nat");

    private static JsonElement PortMappingOf(JsonElement element) => Object(element, "port_mapping");

    private static readonly JsonElement Empty = JsonDocument.Parse("{}").RootElement;

    private static JsonElement Object(JsonElement element, string key) =>
        element.TryGetProperty(key, out JsonElement value) && value.ValueKind == JsonValueKind.Object ? value : Empty;

    private static string Choice(JsonElement element, string key, string yes, string no, string otherwise) =>
        !element.TryGetProperty(key, out JsonElement value) ? otherwise : value.ValueKind switch
        {
            JsonValueKind.True => yes,
            JsonValueKind.False => no,
            _ => otherwise,
        };
}
