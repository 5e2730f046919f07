using Pilot.Engine.Streams;
using Pilot.Protocol;

namespace Pilot.Engine.Tests.Streams;

/// <summary>Does for one connection what the node does: creates it on SYN, hands it packets, collects its signals.</summary>
internal sealed class ConnectionHost(ConnectionOptions options, uint initialSequence, int segment = StreamConstants.InitialSegmentPayload) : IStreamPeer
{
    private uint _nextSequence = initialSequence;

    public ChunkPool Pool { get; init; } = new();

    public Connection? Connection { get; private set; }

    public ConnectionSignals Signals { get; private set; }

    public bool IsListening { get; init; } = true;

    public Instant Deadline => Connection?.Deadline ?? Instant.Never;

    public Connection Dial(Instant now, PilotAddress local, ushort localPort, PilotAddress remote, ushort remotePort, TimeSpan timeout = default)
    {
        Connection = Connection.Dial(1, local, localPort, remote, remotePort, _nextSequence, options, Pool, now, timeout);
        Connection.MaxSegmentPayload = segment;
        return Connection;
    }

    public void HandleDeadline(Instant now)
    {
        Connection!.HandleDeadline(now);
        Collect();
    }

    public void Receive(Instant now, in PacketHeader header, ReadOnlySpan<byte> payload)
    {
        bool isSyn = (header.Flags & (PacketFlags.Syn | PacketFlags.Ack)) == PacketFlags.Syn;
        if (isSyn && Connection is not null && (Connection.State == ConnectionState.Closed || Connection.IsNewIncarnation(header)))
        {
            Connection.Replace(now);
            Connection = null;
        }
        if (Connection is null && isSyn && IsListening)
        {
            Connection = Connection.Accept(2, header, payload, _nextSequence++, options, Pool, now);
            Connection.MaxSegmentPayload = segment;
        }
        else
        {
            Connection?.Receive(now, header, payload);
        }
        Collect();
    }

    public bool TryTransmit(Instant now, Span<byte> packet, out int length)
    {
        length = 0;
        if (Connection is null)
        {
            return false;
        }
        bool something = Connection.HasSomethingToSend(now);
        bool sent = Connection.TryTransmit(now, packet, out length);
        Assert.Equal(something, sent);
        Collect();
        return sent;
    }

    private void Collect()
    {
        if (Connection is not null)
        {
            Signals |= Connection.TakeSignals();
        }
    }
}
