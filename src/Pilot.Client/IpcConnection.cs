using System.Net.Sockets;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Pilot.Ipc;

namespace Pilot.Client;

/// <summary>
/// One Unix connection to the daemon in command mode: lines out, lines in. Not thread-safe in either direction; the owner
/// serialises writers and has one reader. <see cref="Detach"/> gives the socket away when the connection becomes a stream.
/// </summary>
internal sealed class IpcConnection : IDisposable
{
    private readonly Socket _socket;
    private readonly LineBuffer _lines = new();
    private byte[]? _eventLine;
    private bool _detached;

    private IpcConnection(Socket socket) => _socket = socket;

    public static async ValueTask<IpcConnection> OpenAsync(string socketPath, CancellationToken cancellationToken)
    {
        Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(socketPath), cancellationToken).ConfigureAwait(false);
            return new IpcConnection(socket);
        }
        catch (Exception e)
        {
            socket.Dispose();
            throw Translate(e, socketPath);
        }
    }

    public static IpcConnection Open(string socketPath)
    {
        Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            socket.Connect(new UnixDomainSocketEndPoint(socketPath));
            return new IpcConnection(socket);
        }
        catch (Exception e)
        {
            socket.Dispose();
            throw Translate(e, socketPath);
        }
    }

    public async ValueTask WriteAsync(IpcRequest request, CancellationToken cancellationToken)
    {
        ReadOnlyMemory<byte> rest = Encode(request);
        try
        {
            while (!rest.IsEmpty)
            {
                int sent = await _socket.SendAsync(rest, SocketFlags.None, cancellationToken).ConfigureAwait(false);
                rest = rest[sent..];
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            throw Lost(e);
        }
    }

    /// <summary>Next line; throws <c>connection_lost</c> at the end of the connection.</summary>
    public async ValueTask<IpcReply> ReadAsync(CancellationToken cancellationToken)
    {
        IpcReply? reply;
        while (!TryTakeLine(out reply))
        {
            int received;
            try
            {
                received = await _socket.ReceiveAsync(_lines.GetMemory(), SocketFlags.None, cancellationToken).ConfigureAwait(false);
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                throw Lost(e);
            }

            if (received == 0)
            {
                throw Lost(null);
            }

            _lines.Advance(received);
        }

        return reply!;
    }

    /// <summary>Next line, read as <typeparamref name="TEvent"/> as well when it is the event <paramref name="name"/>.</summary>
    public async ValueTask<(IpcReply Reply, TEvent? Event)> ReadAsync<TEvent>(
        string name, JsonTypeInfo<TEvent> type, CancellationToken cancellationToken)
        where TEvent : class
    {
        IpcReply reply = await ReadAsync(cancellationToken).ConfigureAwait(false);
        if (!string.Equals(reply.Event, name, StringComparison.Ordinal))
        {
            return (reply, null);
        }

        try
        {
            return (reply, JsonSerializer.Deserialize(_eventLine, type));
        }
        catch (JsonException e)
        {
            throw new PilotException(PilotErrorCode.Protocol, $"the daemon sent a {name} event of another shape", null, e);
        }
    }

    /// <summary>Next line; an event of any kind also as it stands.</summary>
    public async ValueTask<(IpcReply Reply, JsonElement? Event)> ReadWithEventAsync(CancellationToken cancellationToken)
    {
        IpcReply reply = await ReadAsync(cancellationToken).ConfigureAwait(false);
        if (reply.Event is null)
        {
            return (reply, null);
        }

        using JsonDocument document = JsonDocument.Parse(_eventLine);
        return (reply, document.RootElement.Clone());
    }

    /// <summary>One request and its reply on the calling thread: the short way for a program that does nothing else.</summary>
    public IpcReply Request(IpcRequest request, TimeSpan timeout)
    {
        try
        {
            IsIdle = false;
            Send(request);
            IpcReply? reply;
            while (!TryTakeLine(out reply, direct: true) || reply!.Event is not null)
            {
                if (!_socket.Poll(timeout, SelectMode.SelectRead))
                {
                    throw new PilotException(IpcErrorCode.Timeout, "the daemon did not answer in time");
                }

                int received = _socket.Receive(_lines.GetMemory().Span);
                if (received == 0)
                {
                    throw Lost(null);
                }

                _lines.Advance(received);
            }

            IsIdle = true;
            return reply;
        }
        catch (SocketException e)
        {
            throw Lost(e);
        }
    }

    /// <summary>The same for a command that the daemon answers when it is done, however long that takes: its own time limits hold.</summary>
    public IpcReply RequestHandOver(IpcRequest request)
    {
        try
        {
            Send(request);
            IpcReply? reply;
            while (!TryTakeLine(out reply) || reply!.Event is not null)
            {
                int received = _socket.Receive(_lines.GetMemory().Span);
                if (received == 0)
                {
                    throw Lost(null);
                }

                _lines.Advance(received);
            }

            return reply;
        }
        catch (SocketException e)
        {
            throw Lost(e);
        }
    }

    /// <summary>True when every request on this connection has had its reply.</summary>
    public bool IsIdle { get; private set; } = true;

    /// <summary>Gives up the socket together with the bytes that already came behind the last line.</summary>
    public (Socket Socket, ReadOnlyMemory<byte> First) Detach()
    {
        _detached = true;
        byte[] first = _lines.Remaining.ToArray();
        _lines.Dispose();
        return (_socket, first);
    }

    public void Dispose()
    {
        if (!_detached)
        {
            _detached = true;
            _socket.Dispose();
            _lines.Dispose();
        }
    }

    /// <summary>The data of a success reply, or the exception of a failure.</summary>
    public static JsonElement DataOf(IpcReply reply) => reply.Ok
        ? reply.Data ?? throw new PilotException(PilotErrorCode.Protocol, "the daemon sent a reply without data")
        : throw Failure(reply);

    public static PilotException Failure(IpcReply reply) =>
        new(reply.Code ?? IpcErrorCode.Internal, reply.Error ?? "the daemon reported an error without text", reply.Hint);

    private static ReadOnlyMemory<byte> Encode(IpcRequest request)
    {
        ReadOnlyMemory<byte> line = DirectJson.Write(request);
        return line.Length - 1 <= IpcProtocol.MaxLineLength ? line : throw new PilotException(IpcErrorCode.TooLarge, "request exceeds 1 MiB");
    }

    private void Send(IpcRequest request)
    {
        ReadOnlySpan<byte> rest = Encode(request).Span;
        while (!rest.IsEmpty)
        {
            rest = rest[_socket.Send(rest)..];
        }
    }

    private bool TryTakeLine(out IpcReply? reply, bool direct = false)
    {
        reply = null;
        if (_lines.TryReadLine(out ReadOnlySpan<byte> line))
        {
            if (!(direct ? DirectJson.TryRead(line, out reply) : IpcReply.TryParse(line, out reply)))
            {
                throw new PilotException(PilotErrorCode.Protocol, "the daemon sent a line that is not a reply");
            }

            _eventLine = reply!.Event is null ? null : line.ToArray();
            return true;
        }

        return _lines.LineTooLong
            ? throw new PilotException(PilotErrorCode.Protocol, "the daemon sent a line above 1 MiB")
            : false;
    }

    private static PilotException Lost(Exception? cause) =>
        new(PilotErrorCode.ConnectionLost, "connection to the daemon lost", null, cause);

    private static Exception Translate(Exception e, string socketPath) => e switch
    {
        SocketException { SocketErrorCode: SocketError.AccessDenied } =>
            new PilotNotRunningException(socketPath, IpcErrorCode.PermissionDenied, $"no permission to use the daemon's socket {socketPath}", e),
        SocketException => new PilotNotRunningException(socketPath, PilotErrorCode.NotRunning, "daemon is not running", e),
        ArgumentException => new PilotException(IpcErrorCode.InvalidArgument, $"not a socket path: {socketPath}", null, e),
        _ => e,
    };
}
