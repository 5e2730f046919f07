namespace Pilot.Rendezvous.Registry;

// What the beacon of the same process asks (spec 04 section 4.5)
internal sealed partial class RegistryCore
{
    /// <summary>True when the requester may learn the target's endpoint: the gate of <c>resolve</c>.</summary>
    public bool MayPunch(uint requester, uint target) =>
        State.TryGetLive(requester, out NodeRecord? from)
        && State.TryGetLive(target, out NodeRecord? to)
        && (to.Public || MayReach(from, to));

    /// <summary>True when the node registered or signed a request from this address since the given time.</summary>
    public bool HasProof(uint node, UInt128 address, DateTimeOffset since) =>
        State.TryGetLive(node, out NodeRecord? record) && record.ProofIp == address && record.ProofAt >= since;

    /// <summary>The node's key, 32 bytes.</summary>
    public byte[]? KeyOf(uint node)
    {
        if (!State.TryGetLive(node, out NodeRecord? record))
        {
            return null;
        }

        byte[] key = new byte[PublicKey.Size];
        record.Key.Write(key);
        return key;
    }
}
