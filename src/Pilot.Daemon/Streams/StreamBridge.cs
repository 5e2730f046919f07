using System.Net.Sockets;
using System.Runtime.InteropServices;
using Pilot.Daemon.Loop;
using Pilot.Daemon.Polling;
using Pilot.Engine.Streams;

namespace Pilot.Daemon.Streams;

/// <summary>
/// Joins a handed-over Unix connection to an overlay stream (08 §10.3): bytes move on the loop thread between the kernel's socket buffer
/// and the stream's buffers, without tasks or queues in between. Each side's back-pressure holds the other. A shutdown of one direction
/// passes through as one; a failed stream closes the Unix connection at once and leaves its reason for <c>conn_result</c>.
/// </summary>
internal sealed class StreamBridge : IStreamOwner, IReadinessHandler
{
    private const int MaxPieces = 16; // of a chunk each: 256 KiB in one system call
    private const int MaxReadPerTurn = 1024 * 1024; // bytes, so that other streams get their turn

    private readonly EngineLoop _loop;
    private readonly Connection _connection;
    private readonly Socket _socket;
    private readonly Action<Connection> _onEnd;
    private readonly int _descriptor;
    private readonly int _token;
    private int _nextRead = ChunkPool.ChunkSize; // grows with what comes
    private Interest _interest = Interest.Read;
    private bool _clientEnded; // the client ended its direction, everything it wrote was read
    private bool _clientGone; // the client closed both directions, or its socket failed
    private bool _clientTold; // the client was told that the peer's direction is over
    private bool _waitsForRoom; // the stream's send buffer is full
    private bool _waitsForClient; // the client's socket is full
    private bool _isReleased;
    private bool _isEndTold; // _onEnd was called

    /// <summary>Takes over a socket that is in non-blocking mode and free of other users. Loop thread.</summary>
    /// <param name="early">Bytes that the client sent before the hand-over was complete.</param>
    /// <param name="onEnd">Called when the stream is over, also after the client went away.</param>
    public StreamBridge(EngineLoop loop, Connection connection, Socket socket, ReadOnlySpan<byte> early, Action<Connection> onEnd)
    {
        _loop = loop;
        _connection = connection;
        _socket = socket;
        _onEnd = onEnd;
        connection.Owner = this;
        _descriptor = (int)socket.Handle;
        _token = loop.Watch(_descriptor, this, Interest.Read);
        if (!early.IsEmpty)
        {
            connection.Write(loop.Now, early); // at most one line buffer: always smaller than an empty send buffer
            loop.Node.Touch(loop.Now, connection);
        }

        OnSignals(connection, ConnectionSignals.Readable | (IsOver ? ConnectionSignals.Failed : ConnectionSignals.None));
    }

    private bool IsOver => _connection.State is ConnectionState.Closed or ConnectionState.TimeWait;

    public void OnReady(in Readiness readiness)
    {
        if (_isReleased)
        {
            return;
        }

        if (readiness.IsReadable)
        {
            ReadClient();
        }

        if (readiness.IsWritable && _waitsForClient)
        {
            WriteClient();
        }

        if (readiness.IsHangUp && _clientEnded)
        {
            _clientGone = true;
        }

        Settle();
    }

    public void OnSignals(Connection connection, ConnectionSignals signals)
    {
        if (_isReleased)
        {
            TellEnd();
            return;
        }

        if ((signals & ConnectionSignals.Writable) != 0 && _waitsForRoom)
        {
            ReadClient();
        }

        if ((signals & (ConnectionSignals.Readable | ConnectionSignals.ReadEnded | ConnectionSignals.Failed | ConnectionSignals.Finished)) != 0 && !_waitsForClient)
        {
            WriteClient();
        }

        Settle();
    }

    /// <summary>The daemon stops: flushes with FIN what can be, and lets the client see the end.</summary>
    public void CloseForShutdown()
    {
        if (!_isReleased)
        {
            ReadClient();
            _connection.Close(_loop.Now);
            _loop.Node.Touch(_loop.Now, _connection);
            Release();
        }
    }

    private unsafe void ReadClient()
    {
        var pieces = stackalloc BufferPiece[MaxPieces];
        for (var left = MaxReadPerTurn; left > 0 && !_clientEnded;)
        {
            var count = _connection.ReserveWrite(Math.Min(_nextRead, left), new Span<BufferPiece>(pieces, MaxPieces));
            if (count == 0)
            {
                if (_connection.IsWriteClosed)
                {
                    RefuseClient();
                }
                else
                {
                    _waitsForRoom = true;
                    _connection.WantRoom();
                }

                return;
            }

            _waitsForRoom = false;
            var room = Length(pieces, count);
            var received = (int)Libc.ReadVector(_descriptor, pieces, count);
            var error = received < 0 ? Marshal.GetLastPInvokeError() : 0;
            _connection.CommitWrite(_loop.Now, Math.Max(0, received));
            if (received > 0)
            {
                left -= received;
                _nextRead = Math.Clamp(2 * received, ChunkPool.ChunkSize, MaxPieces * ChunkPool.ChunkSize);
                _loop.Node.Touch(_loop.Now, _connection);
                if (received < room)
                {
                    return; // the socket was emptied
                }
            }
            else if (received == 0)
            {
                _clientEnded = true;
                _connection.ShutdownWrite(_loop.Now);
                _loop.Node.Touch(_loop.Now, _connection);
            }
            else if (error == Libc.ErrorAgain)
            {
                return;
            }
            else if (error != Libc.ErrorInterrupted)
            {
                _clientEnded = _clientGone = true;
            }
        }
    }

    private static unsafe int Length(BufferPiece* pieces, int count)
    {
        var length = 0;
        for (var i = 0; i < count; i++)
        {
            length += (int)pieces[i].Length;
        }

        return length;
    }

    private unsafe void WriteClient()
    {
        _waitsForClient = false;
        var pieces = stackalloc BufferPiece[MaxPieces];
        var any = false;
        while (_connection.ReadableBytes > 0)
        {
            if (_clientGone)
            {
                _connection.Consume(_loop.Now, _connection.ReadableBytes);
                any = true;
                break;
            }

            var count = _connection.PeekRead(new Span<BufferPiece>(pieces, MaxPieces));
            var sent = (int)Libc.WriteVector(_descriptor, pieces, count);
            if (sent > 0)
            {
                _connection.Consume(_loop.Now, sent);
                any = true;
                continue;
            }

            var error = Marshal.GetLastPInvokeError();
            if (error == Libc.ErrorAgain)
            {
                _waitsForClient = true;
                break;
            }

            _clientGone |= error != Libc.ErrorInterrupted;
        }

        if (any)
        {
            _loop.Node.Touch(_loop.Now, _connection);
        }

        if (_connection.IsReadEnded && !_clientTold && !_clientGone)
        {
            _clientTold = true;
            Shutdown(SocketShutdown.Send);
        }
    }

    /// <summary>Nothing can be written to the peer any more: the client's writes are to fail instead of filling a buffer that nobody reads.</summary>
    private void RefuseClient()
    {
        _clientEnded = true;
        Shutdown(SocketShutdown.Receive);
    }

    private void Settle()
    {
        if (_isReleased)
        {
            return;
        }

        if (_clientGone && _clientEnded)
        {
            // Nobody is there to read: what was written is still delivered, the rest is not wanted.
            _connection.Close(_loop.Now);
            _loop.Node.Touch(_loop.Now, _connection);
            Release();
            return;
        }

        var failed = _connection.Error != ConnectionError.None;
        if ((IsOver || failed) && _connection.ReadableBytes == 0)
        {
            Release();
            return;
        }

        var wanted = Interest.None;
        if (!_clientEnded && !_waitsForRoom && !_connection.IsWriteClosed)
        {
            wanted |= Interest.Read;
        }

        if (_waitsForClient)
        {
            wanted |= Interest.Write;
        }

        if (_clientEnded)
        {
            wanted |= Interest.HangUp; // it may go away for good
        }

        if (wanted != _interest)
        {
            _interest = wanted;
            _loop.ChangeInterest(_token, wanted);
        }
    }

    private void Release()
    {
        _isReleased = true;
        _loop.Unwatch(_token);
        _socket.Dispose();
        TellEnd();
    }

    private void TellEnd()
    {
        if (!_isEndTold && (IsOver || _connection.Error != ConnectionError.None))
        {
            _isEndTold = true;
            _onEnd(_connection);
        }
    }

    private void Shutdown(SocketShutdown how)
    {
        try
        {
            _socket.Shutdown(how);
        }
        catch (SocketException)
        {
            _clientGone = true; // it closed at the same moment
        }
    }
}
