using Pilot.Engine.Trust;
using Pilot.Protocol;
using Pilot.Protocol.Trust;

namespace Pilot.Engine.Tests.Trust;

/// <summary>
/// Seeded sequences of everything that can happen to a book. Against a model that knows only local consent: whoever is
/// trusted was asked or approved by this side after the last revocation, with the key that the registry named.
/// </summary>
public class TrustFuzzTests
{
    private const int Peers = 6;

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void No_sequence_of_messages_gives_trust_without_local_consent(int block)
    {
        for (int seed = block * 1000; seed < block * 1000 + 50; seed++)
        {
            Run(seed);
        }
    }

    private static void Run(int seed)
    {
        var random = new Random(seed);
        var self = new TrustDriver(1002, TrustVectors.B);
        var others = new TrustDriver[Peers];
        for (int i = 0; i < Peers; i++)
        {
            byte[] key = new byte[32];
            random.NextBytes(key);
            others[i] = new TrustDriver((uint)(2000 + i), new Identity(key));
        }

        var consent = new HashSet<uint>();
        for (int step = 0; step < 150; step++)
        {
            TrustDriver peer = others[random.Next(Peers)];
            uint id = peer.NodeId;
            switch (random.Next(16))
            {
                case 0 or 1 or 2:
                    self.Receive(peer, RandomType(random), $"{step}");
                    break;
                case 3:
                    // Somebody else's message, or a key that the registry does not name.
                    TrustDriver liar = others[random.Next(Peers)];
                    self.Book.ReceiveDirect(self.Clock, self.Message(peer, RandomType(random)), liar.NodeId, liar.Identity.PublicKeySpan);
                    break;
                case 4:
                    self.Book.ReceiveDirect(self.Clock, self.Message(peer, RandomType(random)), id, []);
                    break;
                case 5:
                    self.Relayed(id, $"{step}", random.Next(2) == 0 ? $"agent-{id}" : "");
                    break;
                case 6 or 7:
                    self.RelayedResponse(id, random.Next(3) != 0, random.Next(2) == 0 ? $"agent-{id}" : "");
                    break;
                case 8:
                    self.Lookup(peer, random.Next(2) == 0 ? $"agent-{id}" : "", 7);
                    break;
                case 9:
                    self.Book.CompleteLookup(self.Clock, id, TrustLookup.Unavailable);
                    break;
                case 10:
                    if (random.Next(2) == 0)
                    {
                        self.Book.Request(self.Clock, id, "");
                        consent.Add(id);
                    }
                    else if (random.Next(3) == 0)
                    {
                        self.Book.RequestByHostname(self.Clock, $"agent-{id}", "");
                        consent.Add(id);
                    }

                    break;
                case 11:
                    if (self.Book.Pending.Any(request => request.NodeId == id))
                    {
                        consent.Add(id);
                    }

                    self.Book.Approve(self.Clock, id);
                    break;
                case 12:
                    self.Book.Remove(self.Clock, id);
                    if (!self.Book.Requested.Any(mark => mark.Hostname == $"agent-{id}"))
                    {
                        consent.Remove(id);
                    }

                    break;
                case 13:
                    foreach (TrustEffect effect in self.Take())
                    {
                        Answer(self, random, effect);
                    }

                    break;
                case 14:
                    self.Wait(TimeSpan.FromSeconds(random.Next(90)));
                    break;
                default:
                    self = self.Restart();
                    break;
            }

            foreach (TrustedPeer trusted in self.Book.Trusted)
            {
                Assert.True(consent.Contains(trusted.NodeId), $"seed {seed}, step {step}: node {trusted.NodeId} is trusted without consent");
                string key = others[trusted.NodeId - 2000].Identity.PublicKeyText;
                Assert.True(trusted.PublicKey.Length == 0 || trusted.PublicKey == key, $"seed {seed}, step {step}: wrong key pinned");
            }

            Assert.True(self.Book.Pending.All(request => !self.Book.Snapshot.IsKnown(request.NodeId)), $"seed {seed}, step {step}: pending and trusted");
            Assert.True(
                self.Book.Former.All(former => !self.Book.Snapshot.IsKnown(former.NodeId) && !self.Book.Snapshot.HasOutgoingMark(former.NodeId)),
                $"seed {seed}, step {step}: former and trusted or asked");
        }
    }

    private static void Answer(TrustDriver self, Random random, TrustEffect effect)
    {
        long token = effect switch
        {
            TrustEffect.RequestHandshake request => request.Token,
            TrustEffect.RespondHandshake respond => respond.Token,
            TrustEffect.ReportTrust report => report.Token,
            TrustEffect.RevokeTrust revoke => revoke.Token,
            _ => 0,
        };
        if (token != 0)
        {
            self.Book.CompleteRegistry(self.Clock, token, random.Next(4) != 0, random.Next(4) == 0 ? "request failed" : null);
        }
        else if (effect is TrustEffect.SendDirect direct)
        {
            self.Book.CompleteDirect(self.Clock, direct.Token, random.Next(2) == 0);
        }
    }

    private static TrustMessageType RandomType(Random random) => (TrustMessageType)random.Next(1, 5);
}
