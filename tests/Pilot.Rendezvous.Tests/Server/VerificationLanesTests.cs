using Pilot.Protocol;
using Pilot.Rendezvous.Registry;
using Pilot.Rendezvous.Server;

namespace Pilot.Rendezvous.Tests.Server;

public sealed class VerificationLanesTests
{
    [Fact]
    public async Task A_verification_that_fails_by_a_fault_of_ours_costs_no_thread()
    {
        using var lanes = new VerificationLanes();
        Identity identity = Identity.Create();
        PublicKey key = PublicKey.Read(Convert.FromBase64String(identity.PublicKeyText));
        var genuine = new SignatureTask(1, key, "heartbeat:1", identity.SignText("heartbeat:1"));
        SignatureTask faulty = genuine with { Fresh = new FreshSignature(null!, default, null) };
        for (int i = 0; i < 2 * Environment.ProcessorCount; i++)
        {
            await Assert.ThrowsAnyAsync<Exception>(() => lanes.VerifyAsync(faulty));
        }

        SignatureVerdict verdict = await lanes.VerifyAsync(genuine).WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
        Assert.Equal(SignatureState.Valid, verdict.State);
    }
}
