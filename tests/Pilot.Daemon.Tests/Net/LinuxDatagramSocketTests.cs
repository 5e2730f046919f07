using System.Net;
using System.Net.Sockets;
using Pilot.Net;
using Pilot.Protocol;

namespace Pilot.Daemon.Tests.Net;

public sealed class LinuxDatagramSocketTests
{
    private const int SkipChecksumOption = 11; // SO_NO_CHECK: with it the kernel refuses GSO (EINVAL) but sends single datagrams

    public static TheoryData<string, bool> Paths => new()
    {
        { "linux", false }, { "linux", true },
        { "mmsg", false }, { "mmsg", true },
        { "portable", false }, { "portable", true },
    };

    [Theory]
    [MemberData(nameof(Paths))]
    public void EqualSizeBatch(string path, bool overIPv6) => SendAndCompare(path, overIPv6, 1200, [40 * 1200]);

    [Theory]
    [MemberData(nameof(Paths))]
    public void LastSegmentIsShorter(string path, bool overIPv6) => SendAndCompare(path, overIPv6, 1188, [(9 * 1188) + 1]);

    [Theory]
    [MemberData(nameof(Paths))]
    public void MoreThanSixtyFourSegments(string path, bool overIPv6) => SendAndCompare(path, overIPv6, 100, [(200 * 100) + 7]);

    [Theory]
    [MemberData(nameof(Paths))]
    public void MoreThanOneCallHolds(string path, bool overIPv6) => SendAndCompare(path, overIPv6, 16_000, [130_000]);

    [Theory]
    [MemberData(nameof(Paths))]
    public void MixedSizes(string path, bool overIPv6) => SendAndCompare(path, overIPv6, 1000, [1, 999, 1000, 1001, 36, 5000, 5, 2500]);

    [Theory]
    [MemberData(nameof(Paths))]
    public void LargestDatagram(string path, bool overIPv6)
    {
        // What fits one packet: the socket never fragments, and loopback carries 65,536 bytes.
        var largest = overIPv6 ? 65_488 : 65_507;
        SendAndCompare(path, overIPv6, largest, [largest, 3]);
    }

    [Theory]
    [MemberData(nameof(Paths))]
    public void TwoLargeSegmentsThatDoNotFitOneCall(string path, bool overIPv6) => SendAndCompare(path, overIPv6, 40_000, [80_000]);

    [Fact]
    public void KernelJoinsSegmentsOnLoopback()
    {
        using var pair = Open("linux");
        Assert.SkipUnless(((LinuxDatagramSocket)pair.Sender).UsesSegmentation, "this kernel has no UDP_SEGMENT");
        pair.Sender.Send(pair.Target(), new byte[40 * 1200], 1200);
        pair.ReceiveAll(40);
        Assert.True(pair.Coalesced > 0);
    }

    [Fact]
    public void SourceIsHeldAsIPv4WhenItIsIPv4()
    {
        using var pair = Open("linux");
        pair.Sender.Send(pair.Target(), new byte[10], 10);
        pair.ReceiveAll(1);
        Assert.Equal(UdpEndpoint.FromIPv4(0x7F00_0001, pair.Sender.LocalEndpoint.Port), pair.Received[0].Source);
    }

    /// <summary>The link of the benchmarks goes by these times; they must not cost the size of joined segments.</summary>
    [Fact]
    public void KernelTellsTheTimeOfArrivalWhenAsked()
    {
        using var sender = DatagramSocket.Open("127.0.0.1", 0);
        using var receiver = DatagramSocket.Open("127.0.0.1", 0);
        Assert.SkipUnless(receiver is LinuxDatagramSocket, "Linux only");
        var batch = new ReceiveBatch(4, 65536);
        sender.Send(receiver.LocalEndpoint, new byte[10], 10);
        Assert.True(receiver.Receive(batch));
        Assert.Equal(0, batch.Messages[0].ArrivedAt);

        Assert.True(LinuxSocketCalls.TrySetOption(receiver.Descriptor, LinuxSocketCalls.SocketLevel, LinuxSocketCalls.OptionTimestamp, 1));
        sender.Send(receiver.LocalEndpoint, new byte[2500], 1000);
        Assert.True(receiver.Receive(batch));
        Assert.InRange(batch.Messages[0].SegmentSize, 1000, 1000);
        var age = DateTime.UtcNow - DateTime.UnixEpoch - TimeSpan.FromTicks(batch.Messages[0].ArrivedAt / 100);
        Assert.InRange(age, TimeSpan.Zero, TimeSpan.FromMinutes(1));
    }

    [Fact]
    public void IPv4OnlySocketSendsAndReceives()
    {
        using var pair = new DatagramSocketPair(DatagramSocket.Open("127.0.0.1", 0), DatagramSocket.Open("127.0.0.1", 0));
        Assert.Equal(0x7F00_0001u, pair.Receiver.LocalEndpoint.IPv4);
        pair.Sender.Send(pair.Receiver.LocalEndpoint, new byte[2500], 1000);
        pair.ReceiveAll(3);
        Assert.Equal(pair.Sender.LocalEndpoint, pair.Received[0].Source);
        Assert.Equal(500, pair.Received[2].Data.Length);
    }

    [Fact]
    public void IPv6DestinationOfAnIPv4SocketIsCountedAsLost()
    {
        using var socket = DatagramSocket.Open("127.0.0.1", 0);
        socket.Send(new UdpEndpoint(UInt128.One, 9), new byte[2500], 1000);
        Assert.Equal(3, socket.SendErrors);
    }

    [Fact]
    public void RefusedSegmentationIsSwitchedOffAndNothingIsLost()
    {
        using var pair = Open("linux");
        var sender = (LinuxDatagramSocket)pair.Sender;
        Assert.SkipUnless(sender.UsesSegmentation, "this kernel has no UDP_SEGMENT");
        Assert.True(LinuxSocketCalls.TrySetOption(sender.Descriptor, LinuxSocketCalls.SocketLevel, SkipChecksumOption, 1));

        var data = Bytes(20 * 1200, 1);
        sender.Send(pair.Target(), data, 1200);
        Assert.False(sender.UsesSegmentation);
        Assert.True(LinuxSocketCalls.TrySetOption(sender.Descriptor, LinuxSocketCalls.SocketLevel, SkipChecksumOption, 0));
        sender.Send(pair.Target(), data, 1200);

        pair.ReceiveAll(40);
        Assert.False(sender.UsesSegmentation);
        Assert.Equal(0, sender.SendErrors);
        Assert.Equal([.. data, .. data], pair.Received.SelectMany(d => d.Data));
    }

    [Fact]
    public void SegmentsLargerThanThePathMayTakeDoNotSwitchSegmentationOff()
    {
        using var pair = Open("linux");
        var sender = (LinuxDatagramSocket)pair.Sender;
        Assert.SkipUnless(sender.UsesSegmentation, "this kernel has no UDP_SEGMENT");
        Assert.True(LinuxSocketCalls.TrySetOption(sender.Descriptor, LinuxSocketCalls.SocketLevel, SkipChecksumOption, 1));
        sender.Send(pair.Target(), new byte[8000], 4000);
        pair.ReceiveAll(2);
        Assert.True(sender.UsesSegmentation);
    }

    [Fact]
    public void UnusableDestinationDoesNotSwitchSegmentationOff()
    {
        using var socket = DatagramSocket.Open("", 0);
        var sender = (LinuxDatagramSocket)socket;
        Assert.SkipUnless(sender.UsesSegmentation, "this kernel has no UDP_SEGMENT");
        sender.Send(UdpEndpoint.FromIPv4(0x7F00_0001, 0), new byte[2400], 1200); // port 0: EINVAL whatever the way
        Assert.True(sender.UsesSegmentation);
        Assert.Equal(2, sender.SendErrors);
    }

    [Theory]
    [InlineData(1000)]
    [InlineData(65_508)]
    public void DatagramsAboveTheLimitAreLostAndOthersArrive(int segmentSize)
    {
        using var pair = Open("linux");
        pair.Sender.Send(pair.Target(), new byte[70_000], segmentSize == 1000 ? 70_000 : segmentSize);
        Assert.True(pair.Sender.SendErrors > 0);
        pair.Sender.Send(pair.Target(), new byte[10], 1000);
        pair.ReceiveAll(segmentSize == 1000 ? 1 : 2);
        Assert.Equal(10, pair.Received[^1].Data.Length);
    }

    [Theory]
    [InlineData("linux")]
    [InlineData("mmsg")]
    [InlineData("portable")]
    public void PortThatNobodyListensOnDoesNotStopTheSocket(string path)
    {
        using var pair = Open(path);
        UdpEndpoint closed;
        using (var other = DatagramSocket.Open("", 0))
        {
            closed = UdpEndpoint.FromIPv4(0x7F00_0001, other.LocalEndpoint.Port);
        }

        for (var i = 0; i < 20; i++)
        {
            pair.Sender.Send(closed, new byte[3600], 1200); // each is answered by ICMP port unreachable
        }

        pair.Sender.Send(pair.Target(), new byte[3600], 1200);
        pair.ReceiveAll(3);
        Assert.False(pair.Sender.Receive(new ReceiveBatch(2, 65536)));
    }

    [Fact]
    public void ProbeThatFindsNothingLeadsToSingleDatagrams()
    {
        using var pair = Open("mmsg");
        Assert.False(((LinuxDatagramSocket)pair.Sender).UsesSegmentation);
        pair.Sender.Send(pair.Target(), new byte[40 * 1200], 1200);
        pair.ReceiveAll(40);
        Assert.Equal(0, pair.Coalesced);
    }

    [Fact]
    public void OneBatchHoldsDatagramsOfSeveralSenders()
    {
        using var receiver = DatagramSocket.Open("", 0);
        using var first = DatagramSocket.Open("", 0);
        using var second = DatagramSocket.Open("", 0);
        var target = UdpEndpoint.FromIPv4(0x7F00_0001, receiver.LocalEndpoint.Port);
        first.Send(target, new byte[3000], 1000);
        second.Send(target, new byte[2200], 1100);
        var batch = new ReceiveBatch(16, 65536);
        var bytes = new Dictionary<ushort, int>();
        while (bytes.Values.Sum() < 5200)
        {
            Assert.True(SpinWait.SpinUntil(() => receiver.Receive(batch), TimeSpan.FromSeconds(5)));
            for (var i = 0; i < batch.Count; i++)
            {
                var message = batch.Messages[i];
                bytes[message.Source.Port] = bytes.GetValueOrDefault(message.Source.Port) + message.Length;
            }
        }

        Assert.Equal(3000, bytes[first.LocalEndpoint.Port]);
        Assert.Equal(2200, bytes[second.LocalEndpoint.Port]);
    }

    [Fact]
    public void SteadyStateAllocatesNothing()
    {
        using var pair = Open("linux");
        var batch = new ReceiveBatch(8, 65536);
        var data = new byte[40 * 1200];
        var target = pair.Target();
        var least = long.MaxValue;
        for (var round = 0; round < 10; round++)
        {
            var before = GC.GetAllocatedBytesForCurrentThread();
            for (var i = 0; i < 100; i++)
            {
                pair.Sender.Send(target, data, 1200);
                while (pair.Receiver.Receive(batch))
                {
                }
            }

            // A collection that tests on other threads cause counts the rest of this thread's buffer as allocated: the least of the rounds is ours.
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }

        Assert.Equal(0, least);
    }

    [Fact]
    public void AddressInUseIsReported()
    {
        using var first = DatagramSocket.Open("127.0.0.1", 0);
        var exception = Assert.Throws<SocketException>(() => DatagramSocket.Open("127.0.0.1", first.LocalEndpoint.Port));
        Assert.Equal(SocketError.AddressAlreadyInUse, exception.SocketErrorCode);
    }

    [Fact]
    public void BuffersAreLarge()
    {
        using var socket = DatagramSocketBinding.Bind("127.0.0.1", 0);
        using var plain = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        plain.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        Assert.True(socket.ReceiveBufferSize >= plain.ReceiveBufferSize);
        Assert.True(socket.SendBufferSize >= plain.SendBufferSize);
    }

    private static void SendAndCompare(string path, bool overIPv6, int segmentSize, int[] lengths)
    {
        Assert.SkipUnless(!overIPv6 || Socket.OSSupportsIPv6, "this host has no IPv6");
        using var pair = Open(path);
        var expected = new List<byte[]>();
        for (var i = 0; i < lengths.Length; i++)
        {
            var data = Bytes(lengths[i], i);
            pair.Sender.Send(pair.Target(overIPv6), data, segmentSize);
            expected.AddRange(data.Chunk(segmentSize));
        }

        pair.ReceiveAll(expected.Count);
        Assert.Equal(0, pair.Sender.SendErrors);
        Assert.Equal(expected, pair.Received.Select(d => d.Data));
        var source = overIPv6 ? new UdpEndpoint(UInt128.One, pair.Sender.LocalEndpoint.Port) : UdpEndpoint.FromIPv4(0x7F00_0001, pair.Sender.LocalEndpoint.Port);
        Assert.All(pair.Received, d => Assert.Equal(source, d.Source));
    }

    private static byte[] Bytes(int length, int seed)
    {
        var data = new byte[length];
        new Random(seed).NextBytes(data);
        return data;
    }

    private static DatagramSocketPair Open(string path)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux() || path == "portable", "batch calls are Linux's");
        return new DatagramSocketPair(OpenOne(path), OpenOne(path));
    }

    private static IDatagramSocket OpenOne(string path) => path switch
    {
        "linux" => DatagramSocket.Open("", 0),
        "mmsg" => DatagramSocket.Open("", 0, _ => LinuxOffload.None),
        _ => DatagramSocket.Open("", 0, probe: null),
    };
}
