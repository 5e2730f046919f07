using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using Pilot.Net;
using Pilot.Protocol;
using Pilot.Rendezvous.Beacon;

namespace Pilot.Rendezvous.Server;

/// <summary>
/// The beacon's UDP socket and the one thread that owns the beacon machine: batches in and out (recvmmsg, GRO, GSO where the system has them). Datagrams of
/// a flow keep their order. When more comes than can be sent, pairs of nodes take turns (<see cref="RelayQueue"/>).
/// </summary>
internal sealed class BeaconSocket : IBeaconSink, IDisposable
{
    private const int BufferSize = 4 * 1024 * 1024; // spec 04 section 4.2
    private const int MaxDatagram = 65535;
    private const int BatchSize = 32;
    private const int WakeUpMilliseconds = 200; // for timers and the stop
    private const int QueueBytes = 16 * 1024 * 1024; // what waits under overload
    private const int BusyBatches = 8; // full ones in a row: more comes than goes

    private readonly Socket _socket;
    private readonly IDatagramSocket _datagrams;
    private readonly BeaconMachine _machine;
    private readonly SteadyClock _clock;
    private readonly ILogger _logger;
    private readonly BeaconPorts _ports;
    private readonly RelayQueue _queue = new(QueueBytes);
    private readonly byte[] _outgoing = GC.AllocateUninitializedArray<byte>(MaxDatagram + BeaconRelayDeliver.HeaderSize, pinned: true);
    private readonly Action<uint, int> _dropped;
    private Thread? _thread;
    private volatile bool _stopping;
    private volatile bool _leaving;
    private UdpEndpoint[]? _newPeers;
    private DateTimeOffset _now;
    private long _turns;

    /// <summary>Binds the sockets.</summary>
    /// <exception cref="SocketException">An address cannot be bound.</exception>
    public BeaconSocket(IPEndPoint local, IPEndPoint? other, BeaconMachine machine, SteadyClock clock, ILogger logger)
    {
        _machine = machine;
        _clock = clock;
        _logger = logger;
        _dropped = (sender, datagrams) => _machine.OnOverload(_now, sender, datagrams, this);
        _socket = Bind(local);
        try
        {
            _socket.ReceiveBufferSize = BufferSize;
            _socket.SendBufferSize = BufferSize;
            _datagrams = OperatingSystem.IsLinux()
                ? new LinuxDatagramSocket(_socket, LinuxOffloadProbe.Run((int)_socket.Handle))
                : new SocketDatagramSocket(_socket);
            _ports = new BeaconPorts(LocalEndPoint, other, machine.NewEcho(), clock, logger);
            machine.SetPlaces(_ports.Places);
        }
        catch
        {
            _datagrams?.Dispose();
            _socket.Dispose();
            throw;
        }
    }

    public IPEndPoint LocalEndPoint => (IPEndPoint)_socket.LocalEndPoint!;

    /// <summary>Grows with every turn of the loop, at least five times a second: a health check sees that it lives.</summary>
    public long Turns => Interlocked.Read(ref _turns);

    public void Start()
    {
        _ports.Start();
        _thread = new Thread(Run) { IsBackground = true, Name = "beacon" };
        _thread.Start();
    }

    /// <summary>Replaces the beacons that this one shares its nodes with. Any thread.</summary>
    public void SetPeers(UdpEndpoint[] peers) => Volatile.Write(ref _newPeers, peers);

    /// <summary>Tells the peers that no node is here any more; relaying goes on. Any thread.</summary>
    public void Leave() => _leaving = true;

    public void Dispose()
    {
        _stopping = true;
        _thread?.Join();
        _ports.Dispose();
        _datagrams.Dispose();
    }

    public void Send(UdpEndpoint destination, ReadOnlySpan<byte> datagram) => _datagrams.Send(destination, datagram, datagram.Length);

    public void Send(BeaconOrigin origin, UdpEndpoint destination, ReadOnlySpan<byte> datagram)
    {
        if (origin == BeaconOrigin.Main)
        {
            Send(destination, datagram);
        }
        else
        {
            _ports.Send(origin, destination, datagram);
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
        var batch = new ReceiveBatch(BatchSize, MaxDatagram);
        int full = 0;
        while (!_stopping)
        {
            Interlocked.Increment(ref _turns);
            if (Interlocked.Exchange(ref _newPeers, null) is { } peers)
            {
                _machine.SetPeers(peers);
            }

            bool any = _datagrams.Receive(batch);
            _now = _clock.Now;
            if (_leaving)
            {
                _leaving = false;
                _machine.SayGoodbye(_now, this);
            }

            _machine.Tick(_now, this);
            full = any && batch.Count == BatchSize ? full + 1 : 0;
            if (any)
            {
                bool waits = full >= BusyBatches || !_queue.IsEmpty;
                Handle(batch, waits);
                // Two batches in for one out, while more comes than goes: what has to be lost is lost here, fairly, and not in the kernel.
                if (waits && (full & 1) == 0)
                {
                    Drain(batch.Count);
                }
            }
            else if (!_queue.IsEmpty)
            {
                Drain(BatchSize);
            }
            else
            {
                Wait();
            }
        }
    }

    private void Wait()
    {
        try
        {
            _socket.Poll(WakeUpMilliseconds * 1000, SelectMode.SelectRead);
        }
        catch (SocketException e)
        {
            _logger.LogDebug("beacon socket: {Reason}", e.Message);
        }
    }

    private void Handle(ReceiveBatch batch, bool waits)
    {
        for (int i = 0; i < batch.Count; i++)
        {
            ref readonly ReceivedMessage message = ref batch.Messages[i];
            ReadOnlySpan<byte> data = batch.Buffer.AsSpan(message.Offset, message.Length);
            int size = Math.Max(1, message.SegmentSize);
            while (!data.IsEmpty)
            {
                int run = Run(data, size);
                if (run == 0)
                {
                    int length = Math.Min(size, data.Length);
                    _machine.Handle(_now, message.Source, data[..length], this);
                    data = data[length..];
                    continue;
                }

                Relay(message.Source, data[..run], Math.Min(size, run), waits);
                data = data[run..];
            }
        }
    }

    /// <summary>Bytes at the start that are RELAYs of one sender to one destination; 0 when the first datagram is none.</summary>
    private static int Run(ReadOnlySpan<byte> data, int size)
    {
        if (!BeaconRelay.TryParse(data[..Math.Min(size, data.Length)], out _))
        {
            return 0;
        }

        ReadOnlySpan<byte> header = data[..BeaconRelay.HeaderSize];
        int end = Math.Min(size, data.Length);
        while (end < data.Length && data[end..].StartsWith(header))
        {
            end = Math.Min(end + size, data.Length);
        }

        return end;
    }

    private void Relay(UdpEndpoint source, ReadOnlySpan<byte> run, int size, bool waits)
    {
        if (!BeaconRelay.TryParse(run, out BeaconRelay relay)
            || !_machine.TryRoute(_now, source, relay.Sender, relay.Destination, (run.Length + size - 1) / size, run.Length, out RelayRoute route))
        {
            return;
        }

        ReadOnlySpan<byte> data = run;
        if (route.IsDelivered)
        {
            int length = 0;
            for (int at = 0; at < run.Length; at += size)
            {
                ReadOnlySpan<byte> frame = run[(at + BeaconRelay.HeaderSize)..Math.Min(at + size, run.Length)];
                length += BeaconRelayDeliver.WriteHeader(_outgoing.AsSpan(length), relay.Sender);
                frame.CopyTo(_outgoing.AsSpan(length));
                length += frame.Length;
            }

            data = _outgoing.AsSpan(0, length);
            size -= BeaconRelay.HeaderSize - BeaconRelayDeliver.HeaderSize;
        }

        if (waits)
        {
            _queue.Enqueue(((ulong)relay.Sender << 32) | relay.Destination, route.Destination, relay.Sender, data, size, _dropped);
        }
        else
        {
            _datagrams.Send(route.Destination, data, size);
        }
    }

    private void Drain(int items)
    {
        while (items-- > 0 && _queue.TryDequeue(out RelayItem item))
        {
            _datagrams.Send(item.Destination, item.Buffer.AsSpan(0, item.Length), item.SegmentSize);
            RelayQueue.Return(item);
        }
    }
}
