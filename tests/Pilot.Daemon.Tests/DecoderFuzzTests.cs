using System.Text;
using Pilot.Net;
using Pilot.Daemon.Net;
using Pilot.Daemon.PortMapping;
using Pilot.Daemon.Registry;
using Pilot.Ipc;
using Pilot.Protocol;
using Pilot.Protocol.Tests.Fuzzing;

namespace Pilot.Daemon.Tests;

/// <summary>Seeded mutation of what strangers, clients and the registry send to the daemon's own decoders; those of the protocol have their tests there.</summary>
public sealed class DecoderFuzzTests
{
    private const int Seed = 20261121;

    [Fact]
    public void Requests_of_clients() => Run(
        60_000,
        ["""{"cmd":"dial","to":"agent-b","port":7,"timeout_ms":100,"id":1}""", """{"cmd":"send_to","node":2,"port":6000,"data":"AAEC","src_port":1}""", """{"cmd":"set","hostname":"\ud800","tags":["a"],"public":true}""", """{"cmd":"subscribe","datagrams":[6000],"events":["peer"]}"""],
        static line => IpcLine.TryParseRequest(line, out _, out _));

    [Fact]
    public void Replies_of_daemons() => Run(
        30_000,
        ["""{"id":1,"ok":true,"data":{"node_id":2}}""", """{"ok":false,"code":"timeout","error":"\udc00","hint":"h"}""", """{"ok":true,"raw":true,"conn":9,"rtt_ms":0.5,"path":"direct"}"""],
        static line => IpcReply.TryParse(line, out _));

    [Fact]
    public void Answers_of_the_registry() => Run(
        60_000,
        ["""{"type":"error","error":"node 9: node not found","code":"x"}""", """{"type":"resolve_ok","node_id":2,"real_addr":"1.2.3.4:5","lan_addrs":["10.0.0.1:4",7]}""", """{"type":"poll","requests":[{"from_node_id":1e3,"justification":"\ud800\udc00\ud800"}],"public":true,"\ud801":"\u0000"}"""],
        static body =>
        {
            if (RegistryConnection.Parse(body) is not { } answer)
            {
                return false;
            }

            _ = (answer.Error, answer.Code, answer.IsNotFound, answer.Node("node_id"), answer.Text("real_addr"), answer.Bool("public"), RegistryAnswer.NetworksOf(answer), RegistryAnswer.KeyOf(answer));
            foreach (var item in answer.Items("requests").Concat(answer.Items("lan_addrs")))
            {
                _ = (RegistryAnswer.Node(item, "from_node_id"), RegistryAnswer.Text(item, "justification"), RegistryAnswer.Bool(item, "accept"), RegistryAnswer.Long(item, "x"));
            }

            return true;
        });

    [Fact]
    public void Addresses_of_the_kernel() => Run(
        100_000,
        ["\u0002\0\u0001\u0002\u0003\u0004\u0005\u0006\0\0\0\0\0\0\0\0", "\u000a\0\u0001\u0002\0\0\0\0\u0001\u0002\u0003\u0004\u0005\u0006\u0007\u0008\u0001\u0002\u0003\u0004\u0005\u0006\u0007\u0008\0\0\0\0"],
        static address => LinuxSocketAddress.TryRead(address, out _));

    [Fact]
    public void Answers_of_gateways() => RunBytes(
        60_000,
        [PortMapping.MapperTests.Address(9), PortMapping.MapperTests.Mapping(9, 40_000, 40_000, 7200), Convert.FromHexString("0081000400000001")],
        static data => NatPmpMessages.TryParse(data, out _));

    [Fact]
    public void Answers_of_pcp_servers() => RunBytes(
        60_000,
        [PortMapping.MapperTests.Pcp(0x80, 0, 0, 9), PortMapping.MapperTests.PcpMap(new byte[12], 0, 7200, 9)],
        static data => PcpMessages.TryParse(data, out _));

    [Fact]
    public void Answers_to_ssdp_searches() => Run(
        60_000,
        ["HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\nLOCATION: http://127.0.0.1:5000/rootDesc.xml\r\nST: x\r\n\r\n", "HTTP/1.0 200 OK\r\nlocation:http://127.0.0.1/\r\n\r\n"],
        static data => SsdpMessages.TryParse(data, UdpEndpoint.FromIPv4(0x7F00_0001, 0), out _));

    [Fact]
    public void Descriptions_of_gateway_devices() => Run(
        20_000,
        [PortMapping.MapperTests.Description("urn:schemas-upnp-org:service:WANIPConnection:1", "/c"), PortMapping.MapperTests.Description("urn:schemas-upnp-org:service:WANPPPConnection:1", "http://127.0.0.1/c?x=&amp;y")],
        static data => IgdXml.TryParseDescription(data, new Uri("http://127.0.0.1/d"), UdpEndpoint.FromIPv4(0x7F00_0001, 0), out _));

    [Fact]
    public void Soap_answers_of_gateway_devices() => Run(
        20_000,
        [PortMapping.MapperTests.ExternalAddress("203.0.113.5"), "<a><NewExternalIPAddress><![CDATA[1.2.3.4]]></NewExternalIPAddress></a>"],
        static data => IgdXml.TryGetElement(data, "NewExternalIPAddress", out _));

    [Fact]
    public void Tables_of_addresses() => Run(
        60_000,
        ["20010db8000000000000000000000001 02 40 00 80     eth0", "2a010db800000000a1b2c3d4e5f60718 03 40 00 01    wlan0"],
        static data => HostAddresses.TryParseLine(Encoding.Latin1.GetString(data), out _));

    [Fact]
    public void Routing_tables() => Run(
        60_000,
        ["Iface\tDestination\tGateway\nwlan0\t00000000\t0102A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n", "e\t00000000\t0102A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0"],
        static data => DefaultGateway.TryParseTable(Encoding.Latin1.GetString(data), out _));

    [Fact]
    public void Lines_in_any_pieces()
    {
        var random = new Random(Seed);
        Run(
            100_000,
            ["one\ntwo\r\n\nthree", "a line of some length that goes over the limit of this buffer\n", "\n\r\n"],
            pieces =>
            {
                using var buffer = new LineBuffer(40);
                var lines = 0;
                for (var at = 0; at < pieces.Length && !buffer.LineTooLong;)
                {
                    var room = buffer.GetMemory();
                    var count = Math.Min(Math.Min(room.Length, pieces.Length - at), random.Next(1, 20));
                    pieces.AsMemory(at, count).CopyTo(room);
                    buffer.Advance(count);
                    at += count;
                    while (buffer.TryReadLine(out var line))
                    {
                        lines++;
                        Assert.True(line.Length <= 40 && line.IndexOf((byte)'\n') < 0);
                    }
                }

                return lines > 0;
            });
    }

    private static void Run(int inputs, string[] corpus, Func<byte[], bool> decode) => RunBytes(inputs, [.. corpus.Select(Encoding.UTF8.GetBytes)], decode);

    /// <summary>Feeds mutations; both outcomes must be reached, else they test nothing.</summary>
    private static void RunBytes(int inputs, byte[][] corpus, Func<byte[], bool> decode)
    {
        var mutator = new Mutator(Seed, corpus);
        var good = 0;
        for (var i = 0; i < inputs; i++)
        {
            var input = mutator.Next();
            try
            {
                good += decode([.. input]) ? 1 : 0;
            }
            catch (Exception exception)
            {
                Assert.Fail($"seed {Seed} input {i}: {Convert.ToHexString(input)}: {exception}");
            }
        }

        Assert.InRange(good, inputs / 50, inputs * 49 / 50);
    }
}
