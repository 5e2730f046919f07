using System.Collections.Frozen;
using System.Text;
using Pilot.Protocol.Registry;

namespace Pilot.Rendezvous.Registry;

// Standbys (spec 03 section 10)
internal sealed partial class RegistryCore
{
    private static readonly FrozenSet<string> StandbyTypes = FrozenSet.ToFrozenSet(
    [
        "lookup", "resolve", "list_networks", "list_nodes", "heartbeat", "poll_handshakes", "poll_invites", "resolve_hostname", "beacon_list", "get_polo_score",
        "get_key_info", "get_network_policy", "get_audit_log", "get_member_role", "check_trust", "subscribe_replication",
    ]);

    /// <summary>Takes the primary's state over.</summary>
    public void Follow(RegistryState state, DateTimeOffset now)
    {
        Replace(state);
        Resume(now);
    }

    private object SubscribeReplication(Turn turn)
    {
        turn.Connection.CloseRequested = true;
        if (_options.ReplicationToken.Length == 0)
        {
            return new ErrorResponse { Error = "replication not configured" };
        }

        if (!IsToken(turn.Request.GetString("token"), Encoding.UTF8.GetBytes(_options.ReplicationToken)))
        {
            return new ErrorResponse { Error = "invalid replication token" };
        }

        turn.Connection.CloseRequested = false;
        turn.Connection.Replication = turn.Request.GetString("format") == "events" ? ReplicationForm.Events : ReplicationForm.Reference;
        return new AcknowledgeResponse { Type = "subscribe_replication_ok" };
    }
}
