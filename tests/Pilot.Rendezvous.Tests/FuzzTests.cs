using System.Buffers.Binary;
using System.Text;
using System.Text.Json;
using Pilot.Protocol;
using Pilot.Rendezvous.Beacon;
using Pilot.Rendezvous.Registry;
using Pilot.Rendezvous.Tests.Beacon;
using Pilot.Rendezvous.Tests.Registry;

namespace Pilot.Rendezvous.Tests;

/// <summary>Seeded mutation of real inputs. A failure names the seed and the round.</summary>
public sealed class FuzzTests
{
    private const int Seed = 20261121;
    private const int Rounds = 250_000;

    [Fact]
    public void Registry_survives_mutated_requests()
    {
        var random = new Random(Seed);
        byte[][] real = [.. VectorFile.Load("registry.json", "core/").Select(v => Encoding.UTF8.GetBytes(v.GetProperty("inputs").Text("request")))];
        // Most with a signature that costs no verification: it is the decoder and the rules that are to be reached.
        byte[][] cheap = [.. real.Select(r => Encoding.UTF8.GetBytes(System.Text.RegularExpressions.Regex.Replace(Encoding.UTF8.GetString(r), "[^\"]{86}==", "AAAA")))];
        byte[][] corpus = [.. real, .. cheap, .. cheap, .. cheap];
        var session = new RegistrySession(RegistryPolicy.Strict & ~RegistryPolicy.LimitPerNode, new RegistryLimits
        {
            RegistrationsPerMinute = 0, QueriesPerMinute = 0, ResolvesPerMinute = 0, HeartbeatsPerMinute = 0, NamedHandshakesPerMinute = 0, MaxNodes = 50,
        });
        int closed = 0;
        int refused = 0;
        for (int round = 0; round < Rounds; round++)
        {
            byte[] request = Mutate(random, corpus);
            try
            {
                byte[]? answer = session.Machine.Handle(session.Now, session.Connection($"192.0.2.{random.Next(4)}"), request);
                closed += answer is null ? 1 : 0;
                refused += answer is not null && answer.AsSpan().IndexOf("\"error\""u8) >= 0 ? 1 : 0;
                Assert.True(answer is null || (answer.Length is > 2 and <= 65536 && answer[0] == '{' && answer[^1] == '}'));
            }
            catch (Exception e) when (e is not Xunit.Sdk.XunitException)
            {
                Assert.Fail($"seed {Seed} round {round}: {Convert.ToBase64String(request)}: {e}");
            }

            if (round % 1000 == 0)
            {
                session.Advance(TimeSpan.FromSeconds(random.Next(90)));
            }
        }

        // The mutations must reach all three outcomes, else they test nothing.
        Assert.InRange(closed, Rounds / 20, Rounds * 19 / 20);
        Assert.InRange(refused, Rounds / 20, Rounds * 19 / 20);
        Assert.InRange(session.State.Nodes.Count, 5, 50);
    }

    [Fact]
    public void Unsigned_bytes_change_no_durable_state_of_a_live_node()
    {
        var random = new Random(Seed);
        var session = new RegistrySession(RegistryPolicy.Strict & ~RegistryPolicy.LimitPerNode, new RegistryLimits { RegistrationsPerMinute = 0, QueriesPerMinute = 0 });
        TestNode victim = session.Register("192.0.2.1", "victim");
        victim.Heartbeat();
        byte[][] corpus =
        [
            .. VectorFile.Load("registry.json", "core/")
                .Select(v => v.GetProperty("inputs").Text("request"))
                .Where(r => !r.Contains("test-admin-secret", StringComparison.Ordinal))
                // Real signatures of the session's keys, spoilt: nothing here may pass as signed.
                .Select(r => Encoding.UTF8.GetBytes(r.Replace("\"signature\":\"", "\"signature\":\"AAAA", StringComparison.Ordinal))),
        ];
        int before = session.Events.Count;
        for (int round = 0; round < 50_000; round++)
        {
            session.Machine.Handle(session.Now, session.Connection("203.0.113.1"), Mutate(random, corpus));
        }

        Assert.All(session.Events.Skip(before), e => Assert.True(e is NodeRegistered or NodeMoved or HostnameChanged or NodeTakenOver or NodeReclaimed, e.ToString()));
        NodeRecord record = session.State.Nodes[victim.Id];
        Assert.Equal("victim", record.Hostname);
        Assert.Equal("192.0.2.1:4000", record.Endpoint);
        Assert.False(record.Public);
        Assert.Empty(session.State.Trust.Consents);
    }

    [Fact]
    public void Beacon_survives_mutated_datagrams_within_its_caps()
    {
        var random = new Random(Seed);
        byte[][] corpus = [.. VectorFile.Load("beacon.json").Select(v => v.Text("hex")).Where(h => h.Length > 0).Select(Convert.FromHexString)];
        var session = new BeaconSession(options: new BeaconOptions { MaxNodes = 500, MaxGossipNodes = 500 });
        UdpEndpoint peer = BeaconSession.At("192.0.2.10:9001");
        session.Machine.SetPeers([peer]);
        var sink = new CountingSink();
        for (int round = 0; round < Rounds; round++)
        {
            byte[] datagram = Mutate(random, corpus);
            UdpEndpoint source = random.Next(4) == 0 ? peer : UdpEndpoint.FromIPv4((uint)random.Next(1 << 16), (ushort)random.Next(1 << 16));
            try
            {
                session.Machine.Handle(session.Now, source, datagram, sink);
            }
            catch (Exception e)
            {
                Assert.Fail($"seed {Seed} round {round}: {Convert.ToHexString(datagram)}: {e}");
            }

            if (round % 500 == 0)
            {
                session.Advance(random.Next(20));
            }
        }

        Assert.InRange(session.Machine.NodeCount, 1, 500);
        Assert.InRange(session.Machine.GossipCount, 0, 500);
        Assert.True(sink.Count > 1000);
    }

    private static byte[] Mutate(Random random, byte[][] corpus)
    {
        var bytes = new List<byte>(corpus[random.Next(corpus.Length)]);
        for (int n = random.Next(4); n > 0; n--)
        {
            int at = random.Next(bytes.Count + 1);
            switch (random.Next(7))
            {
                case 0 when at < bytes.Count: bytes[at] = (byte)random.Next(256); break;
                case 1 when at < bytes.Count: bytes[at] ^= (byte)(1 << random.Next(8)); break;
                case 2: bytes.Insert(at, (byte)random.Next(256)); break;
                case 3 when at < bytes.Count: bytes.RemoveAt(at); break;
                case 4: bytes.RemoveRange(at, random.Next(bytes.Count - at + 1)); break;
                case 5:
                    byte[] other = corpus[random.Next(corpus.Length)];
                    int from = random.Next(other.Length);
                    bytes.InsertRange(at, other.AsSpan(from, random.Next(other.Length - from)).ToArray());
                    break;
                case 6 when at + 4 <= bytes.Count:
                    byte[] number = new byte[4];
                    BinaryPrimitives.WriteUInt32BigEndian(number, (uint)random.Next(12));
                    bytes.RemoveRange(at, 4);
                    bytes.InsertRange(at, number);
                    break;
            }
        }

        return [.. bytes];
    }

    private sealed class CountingSink : IBeaconSink
    {
        public int Count { get; private set; }

        public void Send(UdpEndpoint destination, ReadOnlySpan<byte> datagram)
        {
            Count++;
            Assert.InRange(datagram.Length, 5, 65535);
        }
    }
}
