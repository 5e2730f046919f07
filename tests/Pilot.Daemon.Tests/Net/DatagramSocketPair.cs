using System.Net.Sockets;
using Pilot.Net;
using Pilot.Protocol;

namespace Pilot.Daemon.Tests.Net;

/// <summary>Two real sockets on loopback and what one received from the other, taken apart into single datagrams.</summary>
internal sealed class DatagramSocketPair : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    private readonly ReceiveBatch _batch = new(8, 65536);

    public DatagramSocketPair(IDatagramSocket sender, IDatagramSocket receiver)
    {
        Sender = sender;
        Receiver = receiver;
    }

    public IDatagramSocket Sender { get; }

    public IDatagramSocket Receiver { get; }

    /// <summary>Messages that carried more than one datagram.</summary>
    public int Coalesced { get; private set; }

    public List<(UdpEndpoint Source, byte[] Data)> Received { get; } = [];

    /// <summary>The receiver's address on loopback.</summary>
    public UdpEndpoint Target(bool overIPv6 = false) => overIPv6
        ? new UdpEndpoint(UInt128.One, Receiver.LocalEndpoint.Port)
        : UdpEndpoint.FromIPv4(0x7F00_0001, Receiver.LocalEndpoint.Port);

    /// <summary>Receives until that many datagrams are there.</summary>
    public void ReceiveAll(int count)
    {
        var deadline = DateTime.UtcNow + Patience;
        while (Received.Count < count)
        {
            Assert.True(DateTime.UtcNow < deadline, $"{Received.Count} of {count} datagrams came");
            if (!Receiver.Receive(_batch))
            {
                Wait(Receiver.Descriptor);
                continue;
            }

            for (var i = 0; i < _batch.Count; i++)
            {
                var message = _batch.Messages[i];
                var rest = _batch.Buffer.AsSpan(message.Offset, message.Length);
                Coalesced += message.Length > message.SegmentSize ? 1 : 0;
                do
                {
                    var length = Math.Min(message.SegmentSize, rest.Length);
                    Received.Add((message.Source, rest[..length].ToArray()));
                    rest = rest[length..];
                }
                while (!rest.IsEmpty);
            }
        }

        Assert.Equal(count, Received.Count);
        Assert.False(Receiver.Receive(_batch));
    }

    public void Dispose()
    {
        Sender.Dispose();
        Receiver.Dispose();
    }

    private static unsafe void Wait(int descriptor)
    {
        var entry = new Libc.PollEntry { Descriptor = descriptor, Events = 1 }; // POLLIN
        _ = Libc.Poll(&entry, 1, 100);
    }
}
