using Pilot.Protocol;

namespace Pilot.Net;

/// <summary>One received message: one datagram, or several equal-size ones that the kernel joined.</summary>
/// <param name="Source">Sender.</param>
/// <param name="Offset">Place in <see cref="ReceiveBatch.Buffer"/>.</param>
/// <param name="Length">Bytes.</param>
/// <param name="SegmentSize">Size of each datagram in it; the last may be shorter.</param>
internal readonly record struct ReceivedMessage(UdpEndpoint Source, int Offset, int Length, int SegmentSize)
{
    /// <summary>When the kernel took it from the network, in nanoseconds since 1970 by the system's clock; 0 where it was not asked to tell (SO_TIMESTAMPNS).</summary>
    public long ArrivedAt { get; init; }
}

/// <summary>Room for the messages of one receive call; made once and reused.</summary>
internal sealed class ReceiveBatch
{
    public ReceiveBatch(int messages, int messageSize)
    {
        MessageSize = messageSize;
        Buffer = GC.AllocateUninitializedArray<byte>(messages * messageSize, pinned: true);
        Messages = new ReceivedMessage[messages];
    }

    /// <summary>Room per message in bytes.</summary>
    public int MessageSize { get; }

    public byte[] Buffer { get; }

    public ReceivedMessage[] Messages { get; }

    public int Count { get; set; }
}

/// <summary>
/// The tunnel's UDP socket. Shapes are batches, so that recvmmsg, GRO and GSO fit behind it. Owned by the loop thread. No network error
/// escapes: a datagram that cannot be sent is lost, as on the wire.
/// </summary>
internal interface IDatagramSocket : IDisposable
{
    int Descriptor { get; }

    /// <summary>The address it is bound to; unspecified IP when bound to all.</summary>
    UdpEndpoint LocalEndpoint { get; }

    /// <summary>Datagrams that could not be sent.</summary>
    long SendErrors { get; }

    /// <summary>Fills the batch with what is waiting; false when nothing was.</summary>
    bool Receive(ReceiveBatch batch);

    /// <summary>Sends one or more datagrams of <paramref name="segmentSize"/> bytes (the last may be shorter) to one destination.</summary>
    void Send(UdpEndpoint destination, ReadOnlySpan<byte> data, int segmentSize);

    /// <summary>Sends one datagram that the system may cut into IP fragments where the link is smaller.</summary>
    void SendWhole(UdpEndpoint destination, ReadOnlySpan<byte> datagram);
}
