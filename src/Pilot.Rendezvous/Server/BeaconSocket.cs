using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using Pilot.Protocol;
using Pilot.Rendezvous.Beacon;

namespace Pilot.Rendezvous.Server;

/// <summary>The beacon's UDP socket and the one thread that owns the beacon machine. Datagrams of a flow keep their order.</summary>
internal sealed class BeaconSocket : IBeaconSink, IDisposable
{
    private const int BufferSize = 4 * 1024 * 1024; // spec 04 section 4.2
    private const int MaxDatagram = 65535;
    private static readonly TimeSpan ErrorPause = TimeSpan.FromMilliseconds(10);

    private readonly Socket _socket;
    private readonly BeaconMachine _machine;
    private readonly SteadyClock _clock;
    private readonly ILogger _logger;
    private readonly SocketAddress _destination;
    private readonly bool _dualStack;
    private Thread? _thread;
    private volatile bool _stopping;
    private bool _sendFailed;
    private UdpEndpoint[]? _newPeers;

    /// <summary>Binds the socket.</summary>
    /// <exception cref="SocketException">The address cannot be bound.</exception>
    public BeaconSocket(IPEndPoint local, BeaconMachine machine, SteadyClock clock, ILogger logger)
    {
        _machine = machine;
        _clock = clock;
        _logger = logger;
        _socket = Bind(local);
        _dualStack = _socket.AddressFamily == AddressFamily.InterNetworkV6;
        _destination = new SocketAddress(_socket.AddressFamily);
        _socket.ReceiveBufferSize = BufferSize;
        _socket.SendBufferSize = BufferSize;
        // Wakes the loop for its timers and for the stop.
        _socket.ReceiveTimeout = 500;
    }

    public IPEndPoint LocalEndPoint => (IPEndPoint)_socket.LocalEndPoint!;

    public void Start()
    {
        _thread = new Thread(Run) { IsBackground = true, Name = "beacon" };
        _thread.Start();
    }

    /// <summary>Replaces the beacons that this one shares its nodes with. Any thread.</summary>
    public void SetPeers(UdpEndpoint[] peers) => Volatile.Write(ref _newPeers, peers);

    public void Dispose()
    {
        _stopping = true;
        _thread?.Join();
        _socket.Dispose();
    }

    public void Send(UdpEndpoint destination, ReadOnlySpan<byte> datagram)
    {
        try
        {
            WriteAddress(destination);
            _socket.SendTo(datagram, SocketFlags.None, _destination);
            _sendFailed = false;
        }
        catch (SocketException e)
        {
            // UDP may lose anything; said once per run of failures, for an unreachable peer must not fill the log.
            if (!_sendFailed)
            {
                _logger.LogDebug("beacon cannot send to {Destination}: {Reason}", destination, e.Message);
            }

            _sendFailed = true;
        }
    }

    private static Socket Bind(IPEndPoint local)
    {
        bool wildcard = local.Address.Equals(IPAddress.IPv6Any);
        if (wildcard && !Socket.OSSupportsIPv6)
        {
            local = new IPEndPoint(IPAddress.Any, local.Port);
            wildcard = false;
        }

        var socket = new Socket(local.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
        try
        {
            if (local.AddressFamily == AddressFamily.InterNetworkV6)
            {
                socket.DualMode = wildcard;
            }

            socket.Bind(local);
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
        byte[] buffer = GC.AllocateUninitializedArray<byte>(MaxDatagram, pinned: true);
        var source = new SocketAddress(_socket.AddressFamily);
        while (!_stopping)
        {
            if (Interlocked.Exchange(ref _newPeers, null) is { } peers)
            {
                _machine.SetPeers(peers);
            }

            try
            {
                int length = _socket.ReceiveFrom(buffer, SocketFlags.None, source);
                DateTimeOffset now = _clock.Now;
                if (TryReadAddress(source, out UdpEndpoint from))
                {
                    _machine.Handle(now, from, buffer.AsSpan(0, length), this);
                }

                _machine.Tick(now, this);
            }
            catch (SocketException e) when (e.SocketErrorCode is SocketError.TimedOut or SocketError.WouldBlock or SocketError.Interrupted)
            {
                _machine.Tick(_clock.Now, this);
            }
            catch (SocketException e)
            {
                // For example a port-unreachable report for an earlier answer. The loop goes on; the pause keeps a lasting error from eating the processor.
                _logger.LogDebug("beacon socket: {Reason}", e.Message);
                Thread.Sleep(ErrorPause);
            }
        }
    }

    private static bool TryReadAddress(SocketAddress address, out UdpEndpoint endpoint)
    {
        // struct sockaddr_in / sockaddr_in6: family (2), port (2, big-endian), then 4 address bytes, or flow label (4) and 16 address bytes.
        ReadOnlySpan<byte> raw = address.Buffer.Span[..address.Size];
        endpoint = default;
        if (address.Family == AddressFamily.InterNetwork && raw.Length >= 8)
        {
            endpoint = UdpEndpoint.FromBytes(raw.Slice(4, 4), (ushort)((raw[2] << 8) | raw[3]));
            return true;
        }

        if (address.Family == AddressFamily.InterNetworkV6 && raw.Length >= 24)
        {
            endpoint = UdpEndpoint.FromBytes(raw.Slice(8, 16), (ushort)((raw[2] << 8) | raw[3]));
            return true;
        }

        return false;
    }

    private void WriteAddress(UdpEndpoint endpoint)
    {
        Span<byte> raw = _destination.Buffer.Span;
        raw[2] = (byte)(endpoint.Port >> 8);
        raw[3] = (byte)endpoint.Port;
        if (_dualStack)
        {
            raw[4..8].Clear();
            System.Buffers.Binary.BinaryPrimitives.WriteUInt128BigEndian(raw[8..], endpoint.Ip);
            raw[24..28].Clear();
            return;
        }

        if (!endpoint.IsIPv4)
        {
            throw new SocketException((int)SocketError.AddressFamilyNotSupported);
        }

        System.Buffers.Binary.BinaryPrimitives.WriteUInt32BigEndian(raw[4..], endpoint.IPv4);
    }
}
