using System.Runtime.InteropServices;
using Pilot.Daemon.Ipc;
using Pilot.Daemon.Loop;
using Pilot.Engine.Streams;
using Pilot.Net;
using Pilot.Net.Polling;

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
    private readonly LocalSocket _socket;
    private readonly Action<Connection> _onEnd;
    private readonly int _descriptor;
    private readonly int _token;
    private int _nextRead = ChunkPool.ChunkSize; // grows with what comes
    private Interest _interest;
    private bool _clientEnded; // the client ended its direction, everything it wrote was read
    private bool _clientGone; // the client closed both directions, or its socket failed
    private bool _clientTold; // the client was told that the peer's direction is over
    private bool _waitsForRoom; // the stream's send buffer is full
    private bool _waitsForClient; // the client's socket is full
    private bool _isReleased;
    private bool _isEndTold; // _onEnd was called

    /// <summary>Takes over a client's connection. Loop thread.</summary>
    /// <param name="onEnd">Called when the stream is over, also after the client went away.</param>
    public StreamBridge(EngineLoop loop, Connection connection, in HandedOver client, Action<Connection> onEnd)
    {
        _loop = loop;
        _connection = connection;
        _socket = client.Socket;
        _onEnd = onEnd;
        connection.Owner = this;
        _descriptor = client.Socket.Descriptor;
        _token = client.Token;
        _interest = client.Interest;
        loop.ChangeHandler(_token, this);
        if (client.Early.Length > 0)
        {
            connection.Write(loop.Now, client.Early); // at most one line buffer: always smaller than an empty send buffer
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
            _clientGone |= !_socket.EndWriting(); // it closed at the same moment
        }
    }

    /// <summary>Nothing can be written to the peer any more: the client's writes are to fail instead of filling a buffer that nobody reads.</summary>
    private void RefuseClient()
    {
        _clientEnded = true;
        _clientGone |= !_socket.EndReading();
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

        if (_clientEnded || wanted != Interest.None)
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
        _loop.UnwatchClosing(_token);
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
}
