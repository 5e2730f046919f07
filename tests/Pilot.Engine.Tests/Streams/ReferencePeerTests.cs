using Pilot.Protocol;

namespace Pilot.Engine.Tests.Streams;

/// <summary>The double is held against the captures of the real reference, so that the tests with it mean something.</summary>
public sealed class ReferencePeerTests
{
    [Theory]
    [InlineData("responder-echo", 7)]
    [InlineData("reorder-sack", 3000)]
    [InlineData("dup-syn-after-data", 3000)]
    [InlineData("stale-tuple", 7)]
    [InlineData("finack-storm", 7)]
    [InlineData("sack-lookalike", 3000)]
    [InlineData("probes-and-extensions", 7)]
    public void Responds_as_captured(string name, ushort port)
    {
        ScriptStep?[] script = ScriptVectors.Script(name);
        port = script.First(step => step is not null)!.Header.DestinationPort;
        ReferencePeer peer = new(PilotAddress.OfNode(1), port);
        Replay(peer, script, (now, segment) =>
        {
            if (port == 7)
            {
                peer.Write(now, segment);
            }
        }, name == "dup-syn-after-data" ? new byte[100].Select(_ => (byte)'x').ToArray() : null);
    }

    [Theory]
    [InlineData("retransmit-abandon", new[] { 10, 10 })]
    [InlineData("receiver-driven-fast-retransmit", new[] { 20480 })]
    public void Dials_and_sends_as_captured(string name, int[] writes)
    {
        ScriptStep?[] script = ScriptVectors.Script(name);
        ReferencePeer peer = new(PilotAddress.OfNode(1), 49152);
        Instant start = new(TimeSpan.TicksPerDay);
        peer.Dial(start, PilotAddress.OfNode(2), 1000);
        int write = 0;
        Replay(peer, script, null, null, start, now =>
        {
            if (write < writes.Length && peer.IsEstablished && !peer.HasUnsent)
            {
                byte[] data = new byte[writes[write]];
                data.AsSpan().Fill(write == 0 ? (byte)0x7a : (byte)0x79);
                write++;
                peer.Write(now, data);
            }
        });
    }

    // Feeds the peer's packets in order and expects the reference's packets in order; windows depend on when the
    // application of the capture read, and are compared only where nothing was queued.
    private static void Replay(
        ReferencePeer peer, ScriptStep?[] script, Action<Instant, byte[]>? onRead, byte[]? afterOpen,
        Instant? start = null, Action<Instant>? before = null)
    {
        Instant now = start ?? new Instant(TimeSpan.TicksPerDay);
        Instant current = now;
        peer.OnRead = segment => onRead?.Invoke(current, segment);
        byte[] buffer = new byte[70000];
        foreach (ScriptStep? step in script)
        {
            if (step is null)
            {
                continue;
            }
            if (!step.FromReference)
            {
                now += TimeSpan.FromMilliseconds(3);
                current = now;
                peer.Receive(now, step.Header, step.Payload);
                continue;
            }
            before?.Invoke(now);
            if (afterOpen is not null && peer.IsEstablished && step.Payload.Length > 0)
            {
                peer.Write(now, afterOpen);
                afterOpen = null;
            }
            int length;
            for (int i = 0; !peer.TryTransmit(now, buffer, out length); i++)
            {
                Assert.True(i < 100 && peer.Deadline != Instant.Never, $"nothing comes where {step.Header.Flags} was captured");
                now = Instant.Max(now, peer.Deadline);
                current = now;
                peer.HandleDeadline(now);
            }
            Assert.True(Packet.TryParse(buffer.AsSpan(0, length), out PacketHeader header, out ReadOnlySpan<byte> payload));
            Assert.Equal(step.Header with { Window = 0 }, header with { Window = 0 });
            Assert.Equal(step.Payload, payload.ToArray());
        }
    }
}
