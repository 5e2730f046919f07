namespace Pilot.Rendezvous.Registry;

/// <summary>
/// The named rules in which this registry is stricter than the reference (spec 03 section 15). None of them refuses a reference daemon.
/// <see cref="Strict"/> has all of them, <see cref="Reference"/> none.
/// </summary>
[Flags]
public enum RegistryPolicy
{
    /// <summary>Answers exactly as the reference does.</summary>
    Reference = 0,

    /// <summary>A claimed port must be 1-65535, else the TCP port counts; LAN addresses must be ip:port, 16 at most; owners have 254 bytes at most. Spec 03 section 5.4.</summary>
    CheckAddresses = 1 << 0,

    /// <summary>Hostname, tags, task flag, external id and foreign networks of a private node only to entitled connections; so is whose a taken private name is. Spec 03 section 6.1, 6.2.</summary>
    LookupPrivacy = 1 << 1,

    /// <summary>LAN addresses only to requesters behind the same address, or trusted. Spec 03 section 7.</summary>
    LanPrivacy = 1 << 2,

    /// <summary>Trust has a direction: X is found only by those to whom X itself consented; no trust in oneself; a new key inherits none. Spec 03 section 6.4, 05 section 15.</summary>
    DirectionalConsent = 1 << 3,

    /// <summary>A requester id counts only when the connection or a signature proves it; an absent one is taken from the connection. Spec 03 section 6.1.</summary>
    RequesterIdentity = 1 << 4,

    /// <summary>No handshake with oneself; an accept without a request becomes a request; one response per responder, the latest. Spec 03 section 6.5.</summary>
    HandshakeRules = 1 << 5,

    /// <summary>Reputation only from authenticated connections, within bounds; setting it needs the admin token. Spec 03 section 6.8.</summary>
    PoloIdentity = 1 << 6,

    /// <summary><c>punch</c> follows the privacy rule of <c>resolve</c>. Spec 03 section 6.1.</summary>
    PunchPrivacy = 1 << 7,

    /// <summary>A beacon registers only its own address, or an allowed one, and not another's id. Spec 03 section 6.9.</summary>
    BeaconSource = 1 << 8,

    /// <summary>Members of a network are listed to members and to the admin only. Spec 03 section 6.9.</summary>
    MemberPrivacy = 1 << 9,

    /// <summary>The owner text gives a node id to a new key only while no connection of the holder is open. Spec 03 section 5.4.</summary>
    TakeoverNeedsAbsence = 1 << 10,

    /// <summary>Keys are indexed by their 32 bytes, not by their text; a key of another node cannot be rotated in. Spec 03 section 5.4, 6.3.</summary>
    KeyBytes = 1 << 11,

    /// <summary>An expired key neither registers nor signs. Spec 03 section 6.6.</summary>
    KeyExpiry = 1 << 12,

    /// <summary>A silent node that once proved its key keeps its attributes and hostname. Spec 03 section 5.6.</summary>
    Retention = 1 << 13,

    /// <summary>An unsigned registration does not move the endpoint of a node that is connected elsewhere, until a signed request follows. Spec 03 section 5.4.</summary>
    EndpointProof = 1 << 14,

    /// <summary>Signed requests are limited per node, only failures and unsigned requests per address. Spec 03 section 8.</summary>
    LimitPerNode = 1 << 15,

    /// <summary>A node that once signed freshly (<see cref="Pilot.Protocol.Registry.RequestProof"/>) does so always: what was recorded of it cannot be repeated. Spec 03 section 4.3.</summary>
    FreshSignatures = 1 << 16,

    /// <summary>All rules.</summary>
    Strict = (1 << 17) - 1,
}
