namespace Pilot.Rendezvous.Beacon;

/// <summary>What a beacon may ask its registry (spec 04 section 4.5). Answers at once, from what is known.</summary>
public interface IBeaconDirectory
{
    /// <summary>True when the requester may learn the target's endpoint: consent, a shared network, or a public target.</summary>
    bool MayPunch(uint requester, uint target);

    /// <summary>True when the node registered, or signed a request, from this source address at or after the given time.</summary>
    /// <param name="node">Node id.</param>
    /// <param name="address">IPv6 bits, IPv4 mapped.</param>
    /// <param name="since">Earliest time that counts.</param>
    bool HasProof(uint node, UInt128 address, DateTimeOffset since);

    /// <summary>Whether it can prove addresses at all. Where not, references are believed as far as the protocol needs it.</summary>
    bool HasProofs => true;

    /// <summary>The node's Ed25519 key, 32 bytes; null when it is not known (yet).</summary>
    byte[]? KeyOf(uint node) => null;
}
