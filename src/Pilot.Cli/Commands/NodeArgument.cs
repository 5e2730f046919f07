using System.Buffers;
using System.Globalization;
using System.Text.Json;
using Pilot.Cli.Output;
using Pilot.Ipc;

namespace Pilot.Cli.Commands;

/// <summary>Arguments that name a node (07 §1.5): full address, decimal node id, hostname, in this order.</summary>
internal static class NodeArgument
{
    private const int GroupLength = 4; // hex digits
    private static readonly SearchValues<char> NameCharacters = SearchValues.Create("abcdefghijklmnopqrstuvwxyz0123456789-");

    /// <summary>Address of the node; asks the daemon only for hostnames.</summary>
    public static string Address(CommandContext context, string argument)
    {
        if (TryParseAddress(argument, out _))
        {
            context.RequireDaemon();
            return argument.ToUpperInvariant();
        }

        if (TryParseNodeId(argument, out uint node))
        {
            context.RequireDaemon();
            return AddressOf(node);
        }

        JsonElement data;
        try
        {
            data = context.Ask(new IpcRequest { Cmd = IpcCommand.Resolve, Name = argument }, "resolve");
        }
        catch (CliException e) when (e.Code is ErrorCodes.NotFound or ErrorCodes.InvalidArgument)
        {
            throw new CliException(
                ErrorCodes.NotFound,
                $"cannot resolve \"{argument}\" — is the hostname correct and is there mutual trust? (see: pilotctl handshake)");
        }

        string address = data.GetProperty("address").GetString()!;
        context.Out.Note($"resolved \"{argument}\" → {address}");
        return address;
    }

    /// <summary>Full form <c>N:NNNN.HHHH.LLLL</c>; the first group must equal N.</summary>
    public static bool TryParseAddress(string text, out uint node)
    {
        node = 0;
        int colon = text.IndexOf(':', StringComparison.Ordinal);
        if (colon < 1 || text.Length != colon + 1 + (3 * GroupLength) + 2
            || !ushort.TryParse(text.AsSpan(0, colon), NumberStyles.None, CultureInfo.InvariantCulture, out ushort network))
        {
            return false;
        }

        ReadOnlySpan<char> groups = text.AsSpan(colon + 1);
        if (groups[GroupLength] != '.' || groups[(2 * GroupLength) + 1] != '.'
            || !TryGroup(groups, 0, out uint first) || first != network
            || !TryGroup(groups, 1, out uint high) || !TryGroup(groups, 2, out uint low))
        {
            return false;
        }

        node = (high << 16) | low;
        return true;
    }

    public static bool TryParseNodeId(string text, out uint node) =>
        uint.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out node);

    /// <summary>Lower-case letters, digits and hyphens, at least one letter: a number is never a name (07 §1.5).</summary>
    public static bool MayBeHostname(string text) =>
        text.Length is > 0 and <= 63 && text[0] != '-'
        && !text.AsSpan().ContainsAnyExcept(NameCharacters)
        && text.AsSpan().ContainsAnyInRange('a', 'z');

    public static string AddressOf(uint node) =>
        string.Create(CultureInfo.InvariantCulture, $"0:0000.{node >> 16:X4}.{node & 0xFFFF:X4}");

    private static bool TryGroup(ReadOnlySpan<char> groups, int index, out uint value) =>
        uint.TryParse(groups.Slice(index * (GroupLength + 1), GroupLength), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out value);
}
