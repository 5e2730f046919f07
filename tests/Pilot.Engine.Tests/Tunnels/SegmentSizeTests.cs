using Pilot.Engine.Streams;
using Pilot.Protocol;

namespace Pilot.Engine.Tests.Tunnels;

public sealed class SegmentSizeTests
{
    private const int EthernetPayload = 1500 - 28; // IPv4 and UDP headers

    [Fact]
    public void Nothing_above_the_base_leaves_before_the_path_proved_it()
    {
        var (wire, a, b) = Wire.Pair();
        wire.Filter = (_, _, datagram) => datagram.Length <= EthernetPayload;
        Transfer(wire, a, b, 200_000);
        int largestData = wire.Log.Where(l => l.From == a.Endpoint && l.Datagram.Length <= EthernetPayload).Max(l => l.Datagram.Length);
        Assert.Equal(1402 + Packet.HeaderSize + TunnelFrame.EncryptedOverhead, largestData);
    }

    [Fact]
    public void A_wide_path_gets_large_segments()
    {
        var (wire, a, b) = Wire.Pair();
        Connection connection = Transfer(wire, a, b, 3_000_000);
        Assert.Equal(60_000, connection.MaxSegmentPayload);
        Assert.Contains(wire.Log, l => l.Datagram.Length > 60_000);
    }

    [Fact]
    public void A_path_that_stops_carrying_large_segments_goes_on_with_small_ones()
    {
        var (wire, a, b) = Wire.Pair();
        Transfer(wire, a, b, 1_000_000);
        wire.Filter = (_, _, datagram) => datagram.Length <= EthernetPayload;
        Connection connection = Transfer(wire, a, b, 1_000_000);
        Assert.InRange(connection.MaxSegmentPayload, 1, 1402);
    }

    /// <summary>Small segments go on arriving, so no timeout ever comes: the large one before them is repeated as lost again and again.</summary>
    [Fact]
    public void A_narrower_path_is_noticed_although_small_writes_pass_and_its_new_size_is_found()
    {
        var (wire, a, b) = Wire.Pair();
        Transfer(wire, a, b, 1_000_000);
        Listener listener = b.Node.Listen(1000)!;
        Connection writer = a.Node.Dial(wire.Now, b.NodeId, 1000, TimeSpan.FromSeconds(10), out _)!;
        Connection? reader = null;
        Assert.True(wire.RunUntil(() => (reader ??= b.Node.Accept(listener)) is not null && writer.State == ConnectionState.Established, TimeSpan.FromSeconds(5)));
        wire.Filter = (_, _, datagram) => datagram.Length <= EthernetPayload;
        writer.Write(wire.Now, new byte[3000]);
        a.Node.Touch(wire.Now, writer);
        for (int i = 0; i < 100; i++)
        {
            wire.RunFor(TimeSpan.FromMilliseconds(20));
            writer.Write(wire.Now, new byte[10]);
            a.Node.Touch(wire.Now, writer);
        }

        wire.RunFor(TimeSpan.FromMilliseconds(100));
        Assert.Equal(4000, reader!.ReadableBytes);
        Assert.Equal(1402, writer.MaxSegmentPayload);
    }

    private static Connection Transfer(Wire wire, WireNode a, WireNode b, int size)
    {
        var port = (ushort)(2000 + wire.Log.Count % 1000);
        Listener listener = b.Node.Listen(port)!;
        Connection dialed = a.Node.Dial(wire.Now, b.NodeId, port, TimeSpan.FromSeconds(10), out _)!;
        Connection? accepted = null;
        byte[] data = new byte[size];
        int written = 0;
        int read = 0;
        Assert.True(
            wire.RunUntil(
                () =>
                {
                    accepted ??= b.Node.Accept(listener);
                    if (dialed.State == ConnectionState.Established && written < size)
                    {
                        written += dialed.Write(wire.Now, data.AsSpan(written));
                        a.Node.Touch(wire.Now, dialed);
                    }

                    while (accepted is { ReadableBytes: > 0 })
                    {
                        int count = accepted.PeekRead().Length;
                        read += count;
                        accepted.Consume(wire.Now, count);
                        b.Node.Touch(wire.Now, accepted);
                    }

                    return read == size;
                },
                TimeSpan.FromSeconds(120)),
            $"read {read} of {size}, {dialed.State} {dialed.Error}");
        return dialed;
    }
}
