using Pilot.Engine.Trust;

namespace Pilot.Engine.Tests.Trust;

/// <summary>Predicate P, row by row (spec 05 section 12).</summary>
public class AdmissionTests
{
    private static readonly byte[] Key = TrustVectors.A.PublicKey;
    private static readonly byte[] OtherKey = TrustVectors.C.PublicKey;

    private static readonly TrustSnapshot Snapshot = TrustSnapshot.Create(
        [
            new TrustedPeer { NodeId = 1, PublicKey = TrustVectors.A.PublicKeyText, ApprovedAt = default },
            new TrustedPeer { NodeId = 2, PublicKey = TrustVectors.A.PublicKeyText, ApprovedAt = default, Network = 7 },
            new TrustedPeer { NodeId = 3, ApprovedAt = default },
            new TrustedPeer { NodeId = 4, PublicKey = "garbage", ApprovedAt = default },
            new TrustedPeer { NodeId = 5, PublicKey = TrustVectors.A.PublicKeyText, ApprovedAt = default },
        ],
        [10],
        [5, 6]);

    [Theory]
    // Local records, with pinned keys.
    [InlineData(1, true, Knowledge.No, AdmissionDecision.Allowed)]
    [InlineData(1, false, Knowledge.No, AdmissionDecision.Denied)]
    [InlineData(1, true, Knowledge.Unknown, AdmissionDecision.Allowed)]
    [InlineData(1, false, Knowledge.Unknown, AdmissionDecision.Unknown)]
    [InlineData(3, true, Knowledge.No, AdmissionDecision.Allowed)]
    [InlineData(4, true, Knowledge.No, AdmissionDecision.Denied)]
    // A record that a network caused counts while the network is shared.
    [InlineData(2, true, Knowledge.No, AdmissionDecision.Denied)]
    [InlineData(2, true, Knowledge.Unknown, AdmissionDecision.Unknown)]
    [InlineData(2, true, Knowledge.Yes, AdmissionDecision.Allowed)]
    // Strangers.
    [InlineData(9, true, Knowledge.No, AdmissionDecision.Denied)]
    [InlineData(9, true, Knowledge.Unknown, AdmissionDecision.Unknown)]
    [InlineData(9, true, Knowledge.Yes, AdmissionDecision.Allowed)]
    // The deny list beats everything.
    [InlineData(5, true, Knowledge.Yes, AdmissionDecision.Denied)]
    [InlineData(6, true, Knowledge.Yes, AdmissionDecision.Denied)]
    public void Private_node(uint nodeId, bool rightKey, Knowledge sharesNetwork, AdmissionDecision wanted) =>
        Assert.Equal(wanted, Admission.Decide(new AdmissionQuery
        {
            Trust = Snapshot,
            NodeId = nodeId,
            PublicKey = rightKey ? Key : OtherKey,
            SharesNetwork = sharesNetwork,
            Port = 1000,
        }));

    [Theory]
    [InlineData(444, AdmissionDecision.Allowed)]
    [InlineData(null, AdmissionDecision.Allowed)]
    [InlineData(1000, AdmissionDecision.Denied)]
    [InlineData(7, AdmissionDecision.Denied)]
    public void An_outgoing_mark_opens_the_tunnel_and_port_444_only(int? port, AdmissionDecision wanted) =>
        Assert.Equal(wanted, Admission.Decide(new AdmissionQuery
        {
            Trust = Snapshot, NodeId = 10, PublicKey = Key, SharesNetwork = Knowledge.No, Port = (ushort?)port,
        }));

    [Theory]
    [InlineData(null, AdmissionDecision.Allowed)]
    [InlineData(444, AdmissionDecision.Denied)]
    public void A_node_that_we_called_may_answer_but_not_call(int? port, AdmissionDecision wanted) =>
        Assert.Equal(wanted, Admission.Decide(new AdmissionQuery
        {
            Trust = Snapshot, NodeId = 9, PublicKey = Key, SharesNetwork = Knowledge.No, Port = (ushort?)port, WasContacted = true,
        }));

    [Theory]
    [InlineData(9, AdmissionDecision.Allowed)]
    [InlineData(5, AdmissionDecision.Denied)]
    public void A_public_node_lets_everybody_in_but_the_denied(uint nodeId, AdmissionDecision wanted) =>
        Assert.Equal(wanted, Admission.Decide(new AdmissionQuery { IsPublic = true, Trust = Snapshot, NodeId = nodeId, Port = 1000 }));

    [Theory]
    [InlineData(false, Knowledge.Yes, AdmissionDecision.Denied)]
    [InlineData(true, Knowledge.Yes, AdmissionDecision.Allowed)]
    [InlineData(true, Knowledge.Unknown, AdmissionDecision.Unknown)]
    [InlineData(true, Knowledge.No, AdmissionDecision.Denied)]
    public void A_registry_pair_counts_only_with_the_option_W1(bool option, Knowledge pair, AdmissionDecision wanted) =>
        Assert.Equal(wanted, Admission.Decide(new AdmissionQuery
        {
            Trust = Snapshot, NodeId = 9, SharesNetwork = Knowledge.No, AcceptRegistryTrust = option, RegistryPair = pair, Port = 1000,
        }));
}
