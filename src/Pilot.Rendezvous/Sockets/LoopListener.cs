using System.IO.Pipelines;
using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace Pilot.Rendezvous.Sockets;

/// <summary>Takes connections and spreads them over the loops.</summary>
internal sealed class LoopListener : IConnectionListener
{
    private const int Backlog = 4096; // the kernel's own limit by default: after a restart all daemons come at once
    private const int MaxLoops = 8; // the decision itself is made by one at a time

    private static readonly TimeSpan ErrorPause = TimeSpan.FromMilliseconds(10); // when no more descriptors are to be had, say

    private readonly Socket _socket;
    private readonly SocketLoop[] _loops;
    private readonly PipeOptions _options;
    private readonly int _most;
    private readonly ILogger _logger;
    private long _accepted;
    private bool _isFull;

    /// <exception cref="AddressInUseException">Somebody else listens there.</exception>
    /// <exception cref="SocketException">The address cannot be had.</exception>
    public LoopListener(IPEndPoint address, PipeOptions options, int most, ILogger logger)
    {
        _most = most;
        _logger = logger;
        _options = options;
        _socket = Bind(address);
        EndPoint = _socket.LocalEndPoint!;
        _loops = [.. Enumerable.Range(0, Math.Clamp(Environment.ProcessorCount / 2, 1, MaxLoops)).Select(i => new SocketLoop(i, logger))];
    }

    public EndPoint EndPoint { get; }

    public async ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default)
    {
        while (true)
        {
            Socket accepted;
            try
            {
                accepted = await _socket.AcceptAsync(cancellationToken).ConfigureAwait(false);
            }
            catch (Exception e) when (e is ObjectDisposedException or OperationCanceledException or SocketException { SocketErrorCode: SocketError.OperationAborted })
            {
                return null;
            }
            catch (SocketException e)
            {
                _logger.LogDebug(e, "no connection could be taken");
                if (e.SocketErrorCode is not (SocketError.ConnectionAborted or SocketError.ConnectionReset)) // those concern one only
                {
                    await Task.Delay(ErrorPause, CancellationToken.None).ConfigureAwait(false);
                }

                continue;
            }

            if (TryServe(accepted) is { } connection)
            {
                return connection;
            }

            accepted.Dispose();
        }
    }

    public ValueTask UnbindAsync(CancellationToken cancellationToken = default)
    {
        _socket.Dispose();
        return default;
    }

    public ValueTask DisposeAsync()
    {
        _socket.Dispose();
        Array.ForEach(_loops, l => l.Dispose());
        return default;
    }

    private LoopConnection? TryServe(Socket accepted)
    {
        if (!HasRoom())
        {
            return null;
        }

        try
        {
            accepted.NoDelay = true;
            long number = _accepted++;
            return new LoopConnection(accepted, _loops[number % _loops.Length], number, _options);
        }
        catch (SocketException e)
        {
            _logger.LogDebug(e, "a connection was gone before it was taken");
            return null;
        }
    }

    // Handlers run behind the listener, so what is open is counted here: a burst may not take more descriptors than it should.
    private bool HasRoom()
    {
        int open = _loops.Sum(l => l.Open);
        if (open >= _most)
        {
            if (!_isFull)
            {
                _logger.LogWarning("as many connections as may be are open, further ones are closed: {Open}", open);
            }

            return !(_isFull = true);
        }

        _isFull &= open > _most / 10 * 9; // told again only after there was some room
        return true;
    }

    private static Socket Bind(IPEndPoint address)
    {
        // Where this machine has no IPv6, "any address" is any of IPv4.
        bool any = address.Address.Equals(IPAddress.IPv6Any);
        IPEndPoint wanted = any && !Socket.OSSupportsIPv6 ? new IPEndPoint(IPAddress.Any, address.Port) : address;
        var socket = new Socket(wanted.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            if (wanted.AddressFamily == AddressFamily.InterNetworkV6)
            {
                socket.DualMode = any;
            }

            socket.Bind(wanted);
            socket.Listen(Backlog);
            return socket;
        }
        catch (SocketException e)
        {
            socket.Dispose();
            throw e.SocketErrorCode == SocketError.AddressAlreadyInUse ? new AddressInUseException(e.Message, e) : e;
        }
    }
}
