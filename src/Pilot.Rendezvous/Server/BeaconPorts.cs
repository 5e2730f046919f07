using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using Pilot.Protocol;
using Pilot.Rendezvous.Beacon;

namespace Pilot.Rendezvous.Server;

/// <summary>
/// The beacon's further sockets (docs/wire.md, "Measuring a NAT"): three told ports and an endpoint at another address that answer DISCOVER, and
/// the hidden ones that probes come from. One thread of its own, so that none of it stands in the way of relay traffic.
/// </summary>
internal sealed class BeaconPorts : IDisposable
{
    private const int ToldPorts = 3;
    private const int OtherPortDistance = 4; // behind the told ports, which a wildcard socket may hold for all addresses
    private static readonly TimeSpan WakeUp = TimeSpan.FromMilliseconds(200);

    private readonly List<Socket> _answering = [];
    private readonly Socket? _hidden;
    private readonly Socket? _hiddenElsewhere;
    private readonly BeaconEcho _echo;
    private readonly SteadyClock _clock;
    private Thread? _thread;
    private volatile bool _stopping;

    /// <summary>Opens what can be opened; a port that is taken is replaced by any other.</summary>
    /// <param name="main">The bound address of the main socket.</param>
    /// <param name="other">Another address of this host, or null; port 0 = the main port + 4.</param>
    /// <param name="echo">What answers.</param>
    /// <param name="clock">Time.</param>
    /// <param name="logger">Log.</param>
    /// <exception cref="SocketException">The other address is none of this host.</exception>
    public BeaconPorts(IPEndPoint main, IPEndPoint? other, BeaconEcho echo, SteadyClock clock, ILogger logger)
    {
        _echo = echo;
        _clock = clock;
        try
        {
            var ports = new ushort[ToldPorts];
            for (int i = 0; i < ToldPorts; i++)
            {
                Socket socket = Bind(main.Address, main.Port + 1 + i);
                _answering.Add(socket);
                ports[i] = (ushort)((IPEndPoint)socket.LocalEndPoint!).Port;
            }

            _hidden = Bind(main.Address, 0);
            UdpEndpoint elsewhere = default;
            if (other is not null)
            {
                Socket socket = Bind(other.Address, other.Port != 0 ? other.Port : main.Port + OtherPortDistance);
                _answering.Add(socket);
                _hiddenElsewhere = Bind(other.Address, 0);
                elsewhere = UdpEndpoint.FromBytes(other.Address.GetAddressBytes(), (ushort)((IPEndPoint)socket.LocalEndPoint!).Port);
            }

            Places = new BeaconPlaces(ports[0], ports[1], ports[2], elsewhere, HasHidden: true, HasHiddenElsewhere: other is not null);
            logger.LogInformation("beacon also answers at ports {Ports}{Other}", string.Join(", ", ports), other is null ? "" : $" and at {elsewhere}");
        }
        catch
        {
            Close();
            throw;
        }
    }

    public BeaconPlaces Places { get; }

    public void Start()
    {
        _thread = new Thread(Run) { IsBackground = true, Name = "beacon ports" };
        _thread.Start();
    }

    /// <summary>Sends from one of these sockets. Any thread.</summary>
    public void Send(BeaconOrigin origin, UdpEndpoint destination, ReadOnlySpan<byte> datagram)
    {
        Socket? socket = origin switch
        {
            BeaconOrigin.Hidden => _hidden,
            BeaconOrigin.HiddenElsewhere => _hiddenElsewhere,
            BeaconOrigin.Told => _answering[0],
            _ => null,
        };
        if (socket is not null)
        {
            Send(socket, destination, datagram);
        }
    }

    public void Dispose()
    {
        _stopping = true;
        _thread?.Join();
        Close();
    }

    private static void Send(Socket socket, UdpEndpoint destination, ReadOnlySpan<byte> datagram)
    {
        Span<byte> ip = stackalloc byte[UdpEndpoint.MaxIpSize];
        var address = new IPAddress(ip[..destination.WriteIp(ip)]);
        if (socket.AddressFamily == AddressFamily.InterNetworkV6)
        {
            address = address.MapToIPv6();
        }

        try
        {
            socket.SendTo(datagram, SocketFlags.None, new IPEndPoint(address, destination.Port));
        }
        catch (SocketException)
        {
            // A probe may be lost; the node asks three times.
        }
    }

    private static Socket Bind(IPAddress address, int port)
    {
        var socket = new Socket(address.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
        try
        {
            if (address.Equals(IPAddress.IPv6Any))
            {
                socket.DualMode = true;
            }

            try
            {
                socket.Bind(new IPEndPoint(address, port <= ushort.MaxValue ? port : 0));
            }
            catch (SocketException e) when (e.SocketErrorCode is SocketError.AddressAlreadyInUse or SocketError.AccessDenied)
            {
                socket.Bind(new IPEndPoint(address, 0));
            }

            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    private void Run()
    {
        byte[] buffer = new byte[2048];
        byte[] reply = new byte[BeaconReplyExtension.MaxSize];
        var ready = new List<Socket>();
        while (!_stopping)
        {
            ready.Clear();
            ready.AddRange(_answering);
            try
            {
                Socket.Select(ready, null, null, WakeUp);
                foreach (Socket socket in ready)
                {
                    EndPoint from = new IPEndPoint(socket.AddressFamily == AddressFamily.InterNetwork ? IPAddress.Any : IPAddress.IPv6Any, 0);
                    int length = socket.ReceiveFrom(buffer, ref from);
                    var source = (IPEndPoint)from;
                    var endpoint = UdpEndpoint.FromBytes(source.Address.GetAddressBytes(), (ushort)source.Port);
                    if (_echo.Answer(_clock.Now, endpoint, buffer.AsSpan(0, length), reply) is var answer and > 0)
                    {
                        Send(socket, endpoint, reply.AsSpan(0, answer));
                    }
                }
            }
            catch (SocketException)
            {
                // An ICMP error for an earlier answer, or a datagram that is too long: neither is for us.
            }
        }
    }

    private void Close()
    {
        foreach (Socket socket in _answering)
        {
            socket.Dispose();
        }

        _hidden?.Dispose();
        _hiddenElsewhere?.Dispose();
    }
}
