using System.Text;
using Pilot.Protocol.Registry;

namespace Pilot.Rendezvous.Registry;

// set_hostname, set_visibility, set_tags, set_task_exec (spec 03 section 6.2)
internal sealed partial class RegistryCore
{
    private const int MaxTags = 10;
    private const int MaxTagBytes = 32;

    private object SetHostname(Turn turn)
    {
        string hostname = turn.Request.GetString("hostname");
        if (hostname.Length > 0 && !HostnameRules.TryValidate(hostname, out string? error))
        {
            return Refusal.Invalid($"invalid hostname: {error}");
        }

        if (FindSigned(turn, out NodeRecord? node) is { } refusal)
        {
            return refusal;
        }

        if (hostname.Length > 0 && State.TryGetByHostname(hostname, out NodeRecord? holder) && holder.Id != node!.Id)
        {
            // A name can be tried by everybody: whose it is, when it is private, is told to the entitled only.
            string by = Has(RegistryPolicy.LookupPrivacy) && !MaySee(turn.Connection, holder) ? "" : $" by node {holder.Id}";
            return new Refusal($"hostname \"{hostname}\" already in use{by}", RegistryErrorCode.Conflict);
        }

        if (node!.Hostname != hostname)
        {
            turn.Emit(new HostnameChanged(node.Id, hostname));
        }

        return new SetHostnameResponse { NodeId = node.Id, Hostname = hostname };
    }

    private object SetVisibility(Turn turn)
    {
        if (FindSigned(turn, out NodeRecord? node) is { } refusal)
        {
            return refusal;
        }

        bool isPublic = turn.Request.GetBoolean("public");
        if (node!.Public != isPublic)
        {
            turn.Emit(new VisibilityChanged(node.Id, isPublic));
        }

        return new SetVisibilityResponse { NodeId = node.Id, Visibility = isPublic ? "public" : "private" };
    }

    private object SetTags(Turn turn)
    {
        if (!TryReadTags(turn.Request.GetStrings("tags") ?? [], out string[] tags, out string error))
        {
            return Refusal.Invalid(error);
        }

        if (FindSigned(turn, out NodeRecord? node) is { } refusal)
        {
            return refusal;
        }

        if (!node!.Tags.AsSpan().SequenceEqual(tags))
        {
            turn.Emit(new TagsChanged(node.Id, tags));
        }

        return new SetTagsResponse { NodeId = node.Id, Tags = tags.Length > 0 ? tags : null };
    }

    private object SetTaskExec(Turn turn)
    {
        if (FindSigned(turn, out NodeRecord? node) is { } refusal)
        {
            return refusal;
        }

        bool enabled = turn.Request.GetBoolean("enabled");
        if (node!.TaskExec != enabled)
        {
            turn.Emit(new TaskExecChanged(node.Id, enabled));
        }

        return new SetTaskExecResponse { NodeId = node.Id, TaskExec = enabled };
    }

    private Refusal? FindSigned(Turn turn, out NodeRecord? node) =>
        State.TryGetLive(turn.NodeId, out node) ? CheckSigned(turn, node, adminMay: true) : Refusal.NodeNotFound(turn.NodeId);

    private static bool TryReadTags(IReadOnlyList<string> given, out string[] tags, out string error)
    {
        var kept = new List<string>();
        foreach (string text in given)
        {
            string tag = text.StartsWith('#') ? text[1..] : text;
            if (!kept.Contains(tag))
            {
                kept.Add(tag);
            }

            if (kept.Count > MaxTags)
            {
                break;
            }
        }

        tags = [.. kept];
        error = kept.Count > MaxTags ? "too many tags (max 10)" : "";
        foreach (string tag in tags)
        {
            if (error.Length > 0)
            {
                break;
            }

            error = tag.Length == 0 ? "empty tag"
                : Encoding.UTF8.GetByteCount(tag) > MaxTagBytes ? $"tag \"{Echo(tag)}\" too long (max 32 chars)"
                : !HostnameRules.MatchesPattern(tag) ? "tag must be lowercase alphanumeric with hyphens"
                : "";
        }

        return error.Length == 0;
    }
}
