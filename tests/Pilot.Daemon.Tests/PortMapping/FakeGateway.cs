using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Pilot.Protocol;

namespace Pilot.Daemon.Tests.PortMapping;

/// <summary>A home router on loopback sockets: NAT-PMP, PCP and UPnP, each if wanted.</summary>
internal sealed class FakeGateway : IAsyncDisposable
{
    private readonly Socket _control = Bind();
    private readonly Socket _ssdp = Bind();
    private readonly Socket _web = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _work;
    private byte[] _nonce = [];

    public FakeGateway()
    {
        _web.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _web.Listen(8);
        _work = Task.WhenAll(ControlAsync(), SsdpAsync(), WebAsync());
    }

    public bool SpeaksPcp { get; init; }

    public bool SpeaksNatPmp { get; init; }

    public bool SpeaksUpnp { get; init; }

    public ushort ControlPort => Port(_control);

    public ushort SsdpPort => Port(_ssdp);

    /// <summary>What was mapped and deleted, in order: protocol and seconds.</summary>
    public List<string> Log { get; } = [];

    public static UdpEndpoint Address => UdpEndpoint.FromIPv4(0x7F00_0001, 0);

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        _control.Dispose();
        _ssdp.Dispose();
        _web.Dispose();
        await _work.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _stop.Dispose();
    }

    private static Socket Bind()
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return socket;
    }

    private static ushort Port(Socket socket) => (ushort)((IPEndPoint)socket.LocalEndPoint!).Port;

    private void Note(string text)
    {
        lock (Log)
        {
            Log.Add(text);
        }
    }

    private async Task ControlAsync()
    {
        var buffer = new byte[1500];
        while (true)
        {
            var received = await _control.ReceiveFromAsync(buffer, SocketFlags.None, new IPEndPoint(IPAddress.Any, 0), _stop.Token);
            if (Answer(buffer.AsSpan(0, received.ReceivedBytes)) is { } answer)
            {
                await _control.SendToAsync(answer, SocketFlags.None, received.RemoteEndPoint, _stop.Token);
            }
        }
    }

    private byte[]? Answer(ReadOnlySpan<byte> request)
    {
        switch (request[0], request[1])
        {
            case (0, 0) when SpeaksNatPmp:
                return MapperTests.Address(1);
            case (0, 1) when SpeaksNatPmp:
                var seconds = BinaryPrimitives.ReadUInt32BigEndian(request[8..]);
                var port = BinaryPrimitives.ReadUInt16BigEndian(request[4..]);
                Note($"nat-pmp {seconds}");
                return MapperTests.Mapping(1, port, seconds == 0 ? 0 : port, seconds);
            case (2, 0) when SpeaksPcp:
                return MapperTests.Pcp(0x80, 0, 0, 1);
            case (2, 1) when SpeaksPcp:
                _nonce = request[24..36].ToArray();
                Note($"pcp {BinaryPrimitives.ReadUInt32BigEndian(request[4..])}");
                return MapperTests.PcpMap(_nonce, 0, BinaryPrimitives.ReadUInt32BigEndian(request[4..]), 1);
            default:
                return null;
        }
    }

    private async Task SsdpAsync()
    {
        var buffer = new byte[1500];
        while (true)
        {
            var received = await _ssdp.ReceiveFromAsync(buffer, SocketFlags.None, new IPEndPoint(IPAddress.Any, 0), _stop.Token);
            if (SpeaksUpnp)
            {
                var answer = Encoding.ASCII.GetBytes($"HTTP/1.1 200 OK\r\nEXT:\r\nLOCATION: http://127.0.0.1:{Port(_web)}/d.xml\r\n\r\n");
                await _ssdp.SendToAsync(answer, SocketFlags.None, received.RemoteEndPoint, _stop.Token);
            }
        }
    }

    private async Task WebAsync()
    {
        while (true)
        {
            using var client = await _web.AcceptAsync(_stop.Token);
            await using var stream = new NetworkStream(client, ownsSocket: false);
            var request = new StringBuilder();
            var buffer = new byte[8192];
            while (!IsWhole(request.ToString()) && await stream.ReadAsync(buffer, _stop.Token) is > 0 and var count)
            {
                request.Append(Encoding.UTF8.GetString(buffer, 0, count));
            }

            var body = Body(request.ToString());
            await stream.WriteAsync(
                Encoding.UTF8.GetBytes($"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {Encoding.UTF8.GetByteCount(body)}\r\nConnection: close\r\n\r\n{body}"), _stop.Token);
        }
    }

    private static bool IsWhole(string request) =>
        request.Contains("\r\n\r\n", StringComparison.Ordinal)
        && (request.StartsWith("GET ", StringComparison.Ordinal) || request.Contains("</s:Envelope>", StringComparison.Ordinal));

    private string Body(string request)
    {
        if (request.Contains("#GetExternalIPAddress", StringComparison.Ordinal))
        {
            return MapperTests.ExternalAddress("203.0.113.5");
        }

        if (request.Contains("#AddPortMapping", StringComparison.Ordinal))
        {
            Note("upnp 7200");
        }
        else if (request.Contains("#DeletePortMapping", StringComparison.Ordinal))
        {
            Note("upnp 0");
        }

        return request.StartsWith("GET ", StringComparison.Ordinal) ? MapperTests.Description("urn:schemas-upnp-org:service:WANIPConnection:1", "/ctl") : "<ok/>";
    }
}
