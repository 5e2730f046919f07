using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using Pilot.Daemon.Net;
using Pilot.Protocol;

namespace Pilot.Daemon.PortMapping;

/// <summary>What came in from the network.</summary>
internal readonly record struct GatewayDatagram(bool IsSsdp, UdpEndpoint Source, ReadOnlyMemory<byte> Data);

/// <summary>
/// The sockets toward one gateway: one for NAT-PMP and PCP, one for SSDP, where possible one for announcements, and an HTTP client that
/// connects to the gateway only.
/// </summary>
internal sealed class GatewaySockets : IDisposable
{
    private const int MulticastTtl = 2; // UPnP Device Architecture 1.1 section 1.3.2
    private static readonly TimeSpan ConnectLimit = TimeSpan.FromSeconds(2);

    private readonly Socket _control;
    private readonly Socket _ssdp;
    private readonly Socket? _announcements;
    private readonly HttpClient _http;
    private readonly Action<GatewayDatagram> _received;
    private readonly ILogger _logger;
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _receiving;

    /// <exception cref="SocketException">Our address is gone.</exception>
    public GatewaySockets(GatewayRoute route, ushort announcementPort, Action<GatewayDatagram> received, ILogger logger)
    {
        _received = received;
        _logger = logger;
        var own = new IPAddress(Bytes(route.Own));
        var gateway = new IPAddress(Bytes(route.Gateway));
        _control = Bind(new IPEndPoint(own, 0), isShared: false);
        try
        {
            _ssdp = Bind(new IPEndPoint(own, 0), isShared: false);
            _ssdp.SetSocketOption(SocketOptionLevel.IP, SocketOptionName.MulticastInterface, own.GetAddressBytes());
            _ssdp.SetSocketOption(SocketOptionLevel.IP, SocketOptionName.MulticastTimeToLive, MulticastTtl);
            _announcements = OpenAnnouncements(announcementPort);
        }
        catch
        {
            _control.Dispose();
            _ssdp?.Dispose();
            throw;
        }

        _http = new HttpClient(new SocketsHttpHandler
        {
            UseProxy = false,
            UseCookies = false,
            AllowAutoRedirect = false,
            ConnectTimeout = ConnectLimit,
            MaxResponseHeadersLength = 16, // KiB
            PooledConnectionIdleTimeout = TimeSpan.FromSeconds(5),
            ConnectCallback = async (context, cancellation) =>
            {
                var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
                try
                {
                    await socket.ConnectAsync(new IPEndPoint(gateway, context.DnsEndPoint.Port), cancellation).ConfigureAwait(false);
                    return new NetworkStream(socket, ownsSocket: true);
                }
                catch
                {
                    socket.Dispose();
                    throw;
                }
            },
        })
        {
            Timeout = PortMappingConstants.HttpLimit,
            MaxResponseContentBufferSize = PortMappingConstants.MaxHttpBody,
        };
        _receiving = Task.WhenAll(
            ReceiveAsync(_control, isSsdp: false), ReceiveAsync(_ssdp, isSsdp: true), _announcements is null ? Task.CompletedTask : ReceiveAsync(_announcements, isSsdp: false));
    }

    public void Send(bool isSsdp, UdpEndpoint destination, byte[] data)
    {
        try
        {
            (isSsdp ? _ssdp : _control).SendTo(data, new IPEndPoint(new IPAddress(Bytes(destination)), destination.Port));
        }
        catch (SocketException exception)
        {
            _logger.LogDebug("port mapping: nothing can be sent to {Destination}: {Error}", destination, exception.Message);
        }
    }

    /// <summary>One HTTP exchange; status 0 when there was no answer, or one that is too large.</summary>
    public async Task<HttpAnswer> AskAsync(MapperOutput.Http request)
    {
        try
        {
            using var message = new HttpRequestMessage(request.Body is null ? HttpMethod.Get : HttpMethod.Post, request.Address);
            if (request.Body is { } body)
            {
                message.Content = new StringContent(body, System.Text.Encoding.UTF8, "text/xml");
                message.Headers.TryAddWithoutValidation("SOAPAction", request.SoapAction);
            }

            using var answer = await _http.SendAsync(message, _stop.Token).ConfigureAwait(false);
            return new HttpAnswer((int)answer.StatusCode, await answer.Content.ReadAsByteArrayAsync(_stop.Token).ConfigureAwait(false));
        }
        catch (Exception exception) when (exception is HttpRequestException or OperationCanceledException or IOException or InvalidOperationException)
        {
            _logger.LogDebug("port mapping: {Address}: {Error}", request.Address, exception.Message);
            return default;
        }
    }

    public void Dispose()
    {
        _stop.Cancel();
        _control.Dispose();
        _ssdp.Dispose();
        _announcements?.Dispose();
        _http.Dispose();
        _ = _receiving.ContinueWith(_ => _stop.Dispose(), TaskScheduler.Default);
    }

    private static byte[] Bytes(UdpEndpoint endpoint)
    {
        var bytes = new byte[UdpEndpoint.MaxIpSize];
        return bytes[..endpoint.WriteIp(bytes)];
    }

    private static Socket Bind(IPEndPoint endpoint, bool isShared)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        try
        {
            if (isShared)
            {
                socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.ReuseAddress, true);
            }

            socket.Bind(endpoint);
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>Announcements go to 224.0.0.1, which every host hears. Without this socket a restarted gateway is noticed at the next renewal.</summary>
    private Socket? OpenAnnouncements(ushort port)
    {
        try
        {
            return Bind(new IPEndPoint(IPAddress.Any, port), isShared: true);
        }
        catch (SocketException exception)
        {
            _logger.LogDebug("port mapping: announcements are not heard: {Error}", exception.Message);
            return null;
        }
    }

    private async Task ReceiveAsync(Socket socket, bool isSsdp)
    {
        var buffer = new byte[PortMappingConstants.MaxDatagram];
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                var result = await socket.ReceiveFromAsync(buffer, SocketFlags.None, new IPEndPoint(IPAddress.Any, 0), _stop.Token).ConfigureAwait(false);
                var source = (IPEndPoint)result.RemoteEndPoint;
                _received(new GatewayDatagram(isSsdp, UdpEndpoint.FromBytes(source.Address.GetAddressBytes(), (ushort)source.Port), buffer.AsMemory(0, result.ReceivedBytes).ToArray()));
            }
            catch (SocketException exception) when (exception.SocketErrorCode is SocketError.ConnectionReset or SocketError.ConnectionRefused or SocketError.MessageSize)
            {
                // The network's word about an earlier datagram, or one that is longer than all that we ask for.
            }
            catch (Exception exception) when (exception is SocketException or OperationCanceledException or ObjectDisposedException)
            {
                return; // closed
            }
        }
    }
}
