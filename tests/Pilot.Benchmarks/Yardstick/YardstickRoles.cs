using System.Buffers.Binary;
using System.Net.Sockets;
using Pilot.Benchmarks.Processes;
using Pilot.Net;
using Pilot.Protocol;

namespace Pilot.Benchmarks.Yardstick;

/// <summary>
/// The four processes of the bare pipeline: application, sender, receiver, application. Only the work that no daemon can avoid: Unix
/// socket in, seal, UDP with segmentation offload, coalesced receive, open, Unix socket out. No packets, acknowledgements or retransmission;
/// a credit message now and then keeps the sender from overrunning the receiver.
/// </summary>
internal static class YardstickRoles
{
    private const int CreditSize = 8;

    /// <summary>Writes <paramref name="total"/> bytes into the sender's Unix socket.</summary>
    public static void Source(string path, long total)
    {
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Connect(new UnixDomainSocketEndPoint(path));
        var chunk = new byte[YardstickSettings.ChunkSize];
        for (var rest = total; rest > 0;)
        {
            rest -= socket.Send(chunk.AsSpan(0, (int)Math.Min(rest, chunk.Length)));
        }

        socket.Shutdown(SocketShutdown.Send);
        _ = socket.Receive(chunk); // until the sender is done with it
    }

    /// <summary>Unix socket to UDP. Prints <c>ready</c>, then its reading.</summary>
    public static void Sender(string path, ushort port, int segmentSize, long total)
    {
        using var listener = Listen(path);
        using var udp = DatagramSocket.Open("127.0.0.1", 0);
        using var cipher = new TunnelCipher(YardstickSettings.Key);
        Console.WriteLine("ready");
        using var application = listener.Accept();

        var target = UdpEndpoint.FromIPv4(0x7F00_0001, port);
        var frameSize = YardstickSettings.FrameSize(segmentSize);
        var segments = Math.Min(LinuxSender.MaxSegments, LinuxSender.MaxBytes / frameSize);
        var plain = GC.AllocateUninitializedArray<byte>(segments * segmentSize, pinned: true);
        var frames = GC.AllocateUninitializedArray<byte>(segments * frameSize, pinned: true);
        var credits = new ReceiveBatch(8, 2048);
        var meter = new Meter((long)(total * YardstickSettings.WarmShare));
        long sent = 0;
        long credited = 0;
        ulong counter = 0;
        int read;
        while ((read = application.Receive(plain)) > 0)
        {
            var length = 0;
            for (var at = 0; at < read; at += segmentSize)
            {
                var size = Math.Min(segmentSize, read - at);
                var frame = frames.AsSpan(length, YardstickSettings.FrameSize(size));
                plain.AsSpan(at, size).CopyTo(frame[TunnelFrame.EncryptedHeaderSize..]);
                cipher.SealInPlace(frame, size, YardstickSettings.SenderNode, YardstickSettings.NoncePrefix, ++counter);
                length += frame.Length;
            }

            while (sent + read - credited > YardstickSettings.Window)
            {
                credited = Math.Max(credited, ReadCredit(udp, credits));
            }

            udp.Send(target, frames.AsSpan(0, length), frameSize);
            sent += read;
            meter.Add(read);
        }

        if (udp.SendErrors != 0)
        {
            throw new BenchmarkException($"{udp.SendErrors} datagrams could not be sent");
        }

        Span<byte> end = stackalloc byte[TunnelFrame.EncryptedOverhead];
        cipher.SealInPlace(end, 0, YardstickSettings.SenderNode, YardstickSettings.NoncePrefix, ++counter);
        udp.Send(target, end, end.Length);
        Console.WriteLine(meter.Read());
    }

    /// <summary>UDP to Unix socket. Prints its port, then its reading.</summary>
    public static void Receiver(string sinkPath, long total)
    {
        using var udp = DatagramSocket.Open("127.0.0.1", 0);
        using var cipher = new TunnelCipher(YardstickSettings.Key);
        using var application = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        application.Connect(new UnixDomainSocketEndPoint(sinkPath));
        Console.WriteLine(udp.LocalEndpoint.Port);

        var batch = new ReceiveBatch(8, 65536);
        var plain = GC.AllocateUninitializedArray<byte>(batch.Buffer.Length, pinned: true);
        var meter = new Meter((long)(total * YardstickSettings.WarmShare));
        Span<byte> credit = stackalloc byte[CreditSize];
        long delivered = 0;
        long reported = 0;
        ulong expected = 1;
        while (true)
        {
            Wait(udp, YardstickSettings.StepPatience);
            if (!udp.Receive(batch))
            {
                continue;
            }

            var length = 0;
            var isEnd = false;
            for (var i = 0; i < batch.Count; i++)
            {
                var message = batch.Messages[i];
                var rest = batch.Buffer.AsSpan(message.Offset, message.Length);
                while (!rest.IsEmpty)
                {
                    var frame = rest[..Math.Min(message.SegmentSize, rest.Length)];
                    rest = rest[frame.Length..];
                    if (!EncryptedFrame.TryParse(frame, out var header) || header.Counter != expected++ || !cipher.TryOpenInPlace(frame, out var packet))
                    {
                        throw new BenchmarkException("a datagram of the bare pipeline was lost: its window is too large for this machine's buffers");
                    }

                    isEnd |= packet.IsEmpty;
                    packet.CopyTo(plain.AsSpan(length));
                    length += packet.Length;
                }
            }

            SendAll(application, plain.AsSpan(0, length));
            delivered += length;
            meter.Add(length);
            if (delivered - reported >= YardstickSettings.CreditStep)
            {
                reported = delivered;
                BinaryPrimitives.WriteInt64LittleEndian(credit, delivered);
                udp.Send(batch.Messages[0].Source, credit, credit.Length);
            }

            if (isEnd)
            {
                break;
            }
        }

        application.Shutdown(SocketShutdown.Send);
        Console.WriteLine(meter.Read());
    }

    /// <summary>Reads everything. Prints <c>ready</c>, then its reading: the result of the pipeline.</summary>
    public static void Sink(string path, long total)
    {
        using var listener = Listen(path);
        Console.WriteLine("ready");
        using var socket = listener.Accept();
        var chunk = new byte[YardstickSettings.ChunkSize];
        var meter = new Meter((long)(total * YardstickSettings.WarmShare));
        long sum = 0;
        int read;
        while ((read = socket.Receive(chunk)) > 0)
        {
            sum += read;
            meter.Add(read);
        }

        if (sum != total)
        {
            throw new BenchmarkException($"{sum} of {total} bytes came through the bare pipeline");
        }

        Console.WriteLine(meter.Read());
    }

    private static Socket Listen(string path)
    {
        var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(path));
        listener.Listen(1);
        return listener;
    }

    private static void SendAll(Socket socket, ReadOnlySpan<byte> data)
    {
        while (!data.IsEmpty)
        {
            data = data[socket.Send(data)..];
        }
    }

    private static long ReadCredit(IDatagramSocket udp, ReceiveBatch batch)
    {
        Wait(udp, YardstickSettings.CreditPatience);
        long credited = 0;
        while (udp.Receive(batch))
        {
            for (var i = 0; i < batch.Count; i++)
            {
                credited = Math.Max(credited, BinaryPrimitives.ReadInt64LittleEndian(batch.Buffer.AsSpan(batch.Messages[i].Offset, CreditSize)));
            }
        }

        return credited;
    }

    private static unsafe void Wait(IDatagramSocket udp, TimeSpan patience)
    {
        var entry = new Libc.PollEntry { Descriptor = udp.Descriptor, Events = 1 }; // POLLIN
        if (Libc.Poll(&entry, 1, (int)patience.TotalMilliseconds) == 0)
        {
            throw new BenchmarkException("the bare pipeline stands still");
        }
    }
}
