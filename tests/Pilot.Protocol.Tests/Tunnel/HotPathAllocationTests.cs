namespace Pilot.Protocol.Tests.Tunnel;

public sealed class HotPathAllocationTests
{
    [Fact]
    public void A_packet_is_written_sealed_checked_opened_and_read_without_allocation()
    {
        using var cipher = new TunnelCipher(new byte[TunnelKey.Size]);
        var window = new ReplayWindow();
        byte[] datagram = new byte[TunnelFrame.EncryptedOverhead + Packet.HeaderSize + 1152];
        SackBlock[] blocks = [new(1, 2), new(3, 4)];
        var read = new SackBlock[Sack.MaxBlocks];
        Round(1);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (ulong counter = 2; counter < 2_000; counter++)
        {
            Round(counter);
        }

        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());

        void Round(ulong counter)
        {
            Span<byte> packet = datagram.AsSpan(TunnelFrame.EncryptedHeaderSize);
            var header = new PacketHeader { Protocol = PacketProtocol.Stream, Flags = PacketFlags.Ack, Source = PilotAddress.OfNode(1), Destination = PilotAddress.OfNode(2) };
            Sack.Write(packet[Packet.HeaderSize..], blocks);
            int length = Packet.WriteHeader(packet, header, 1152);
            cipher.SealInPlace(datagram, length, 1, 2, counter);

            bool ok = TunnelFrame.Classify(datagram) == DatagramKind.Encrypted
                && EncryptedFrame.TryParse(datagram, out EncryptedFrame frame)
                && window.IsNew(frame.Counter)
                && cipher.TryOpenInPlace(datagram, out packet);
            window.Record(counter);
            ok = ok && Packet.TryParse(packet, out _, out ReadOnlySpan<byte> payload) && Sack.TryParse(payload, read, out _);

            // A forged frame costs no garbage either.
            datagram[25] ^= 1;
            ok = ok && !cipher.TryOpenInPlace(datagram, out _);
            if (!ok)
            {
                throw new InvalidOperationException("the round failed");
            }
        }
    }
}
