using Pilot.Engine.Streams;
using Pilot.Protocol;

namespace Pilot.Engine.Tests.Streams;

/// <summary>One connection of ours with a scripted peer: packets are fed in, what comes out is collected with its time.</summary>
internal sealed class Single
{
    /// <summary>Ours as a reference would look: window 512, no option list.</summary>
    public static readonly ConnectionOptions Plain = new() { ReceiveBufferLimit = 512 * StreamConstants.ReferenceSegmentSize, OfferExtensions = false };

    private readonly byte[] _buffer = new byte[70000];
    private readonly Instant _start = new(5000 * TimeSpan.TicksPerSecond);
    private readonly ChunkPool _pool = new();
    private readonly List<WirePacket> _out = [];

    private Single() => Now = _start;

    public Connection Connection { get; private set; } = null!;

    public Instant Now { get; private set; }

    public double Milliseconds => (Now - _start).TotalMilliseconds;

    /// <summary>Node 2 port 49152 dials node 1, as in the scripts.</summary>
    public static Single Dialer(ushort remotePort, uint isn = 0, ConnectionOptions? options = null)
    {
        Single single = new();
        single.Connection = Connection.Dial(
            1, PilotAddress.OfNode(2), 49152, PilotAddress.OfNode(1), remotePort, isn, options ?? Plain, single._pool, single.Now, default);
        return single;
    }

    /// <summary>Accepts the SYN of a scripted dialer.</summary>
    public static Single Acceptor(in PacketHeader syn, uint isn = 0, ConnectionOptions? options = null, ReadOnlySpan<byte> payload = default)
    {
        Single single = new();
        single.Connection = Connection.Accept(1, syn, payload, isn, options ?? Plain, single._pool, single.Now);
        return single;
    }

    /// <summary>Accepts a plain SYN of a reference, whose data will start at 1, and sends the SYN-ACK.</summary>
    public static Single AcceptedFromReference(ConnectionOptions? options = null, uint isn = 1000, ushort window = 512, uint remoteIsn = 0)
    {
        PacketHeader syn = new()
        {
            Protocol = PacketProtocol.Stream,
            Flags = PacketFlags.Syn,
            Source = PilotAddress.OfNode(1),
            Destination = PilotAddress.OfNode(2),
            SourcePort = 49152,
            DestinationPort = 1000,
            Sequence = remoteIsn,
            Window = window,
        };
        Single single = Acceptor(syn, isn, options ?? ConnectionOptions.Default);
        Assert.Equal(PacketFlags.Syn | PacketFlags.Ack, Assert.Single(single.Pump()).Flags);
        single.Feed(PacketFlags.Ack, remoteIsn + 1, isn + 1, window);
        Assert.Empty(single.Pump());
        return single;
    }

    public void Feed(ScriptStep? step) => Feed(step!.Header, step.Payload);

    public void Feed(in PacketHeader header, ReadOnlySpan<byte> payload) => Connection.Receive(Now, header, payload);

    public void Feed(PacketFlags flags, uint sequence, uint acknowledgement, ushort window, ReadOnlySpan<byte> payload = default) =>
        Feed(
            new PacketHeader
            {
                Protocol = PacketProtocol.Stream,
                Flags = flags,
                Source = Connection.RemoteAddress,
                Destination = Connection.LocalAddress,
                SourcePort = Connection.RemotePort,
                DestinationPort = Connection.LocalPort,
                Sequence = sequence,
                Acknowledgement = acknowledgement,
                Window = window,
            },
            payload);

    /// <summary>What leaves now.</summary>
    public List<WirePacket> Pump()
    {
        _out.Clear();
        Drain();
        return [.. _out];
    }

    /// <summary>What leaves in a span of time, from now on and including its end.</summary>
    public List<WirePacket> Advance(double milliseconds)
    {
        _out.Clear();
        Instant end = Now + TimeSpan.FromMilliseconds(milliseconds);
        Drain();
        while (Connection.Deadline <= end)
        {
            Now = Instant.Max(Now, Connection.Deadline);
            Connection.HandleDeadline(Now);
            Assert.True(Connection.Deadline > Now, "a deadline does not go away when it is handled");
            Drain();
        }
        Now = end;
        Drain();
        return [.. _out];
    }

    public string ReadAll()
    {
        List<byte> all = [];
        while (Connection.ReadableBytes > 0)
        {
            ReadOnlySpan<byte> run = Connection.PeekRead();
            all.AddRange(run);
            Connection.Consume(Now, run.Length);
        }
        return System.Text.Encoding.ASCII.GetString([.. all]);
    }

    public static string Hex(WirePacket packet)
    {
        byte[] bytes = new byte[Packet.HeaderSize + packet.Payload.Length];
        Packet.Write(bytes, packet.Header, packet.Payload);
        return Convert.ToHexString(bytes).ToLowerInvariant();
    }

    private void Drain()
    {
        while (Connection.TryTransmit(Now, _buffer, out int length))
        {
            Assert.True(_out.Count < 10_000, "transmits without end");
            Span<byte> packet = _buffer.AsSpan(0, length);
            Assert.True(Connection.PeerIsExtended
                ? Packet.TryParseAuthenticated(packet, out PacketHeader header, out ReadOnlySpan<byte> payload)
                : Packet.TryParse(packet, out header, out payload)); // a reference drops what has no checksum
            _out.Add(new WirePacket(Now, true, header, payload.ToArray()));
        }
    }
}
