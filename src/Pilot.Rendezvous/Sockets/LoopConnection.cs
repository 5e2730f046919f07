using System.Buffers;
using System.Globalization;
using System.IO.Pipelines;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http.Features;
using Pilot.Net;
using Pilot.Net.Polling;

namespace Pilot.Rendezvous.Sockets;

/// <summary>
/// One TCP connection of a <see cref="SocketLoop"/> as Kestrel sees it. The loop's thread reads into a pipe, and whoever waits for the pipe runs on that thread
/// (unless the scheduler says otherwise) until it has to wait again: a request that needs nothing but the registry's state is read, decided and
/// answered without a change of threads. Where it goes on elsewhere, what it writes is sent from there.
/// </summary>
internal sealed class LoopConnection : ConnectionContext, IDuplexPipe
{
    private readonly Socket _socket;
    private readonly SocketLoop _loop;
    private readonly Pipe _input;
    private readonly SocketWriter _output;
    private readonly CancellationTokenSource _closed = new();
    private readonly Lock _receiving = new(); // held while the pipe is written to, also by the reader that runs within
    private IDictionary<object, object?>? _items;
    private string _id;
    private ConnectionAbortedException? _abortReason;
    private volatile bool _ended;
    private volatile bool _paused;
    private volatile bool _isClosing;
    private int _isCounted = 1;

    /// <param name="socket">Connected; it belongs to the connection from now on.</param>
    /// <param name="loop">Waits for it.</param>
    /// <param name="number">Of this connection, for logs.</param>
    /// <param name="options">Of the pipe from the socket to the reader.</param>
    public LoopConnection(Socket socket, SocketLoop loop, long number, PipeOptions options)
    {
        _socket = socket;
        _loop = loop;
        _id = number.ToString(CultureInfo.InvariantCulture);
        _input = new Pipe(options);
        _output = new SocketWriter(this);
        Transport = this;
        LocalEndPoint = socket.LocalEndPoint;
        RemoteEndPoint = socket.RemoteEndPoint;
        ConnectionClosed = _closed.Token;
        Descriptor = (int)socket.Handle;
        loop.Opened();
        loop.Changed(this);
    }

    /// <summary>Waits for it.</summary>
    public SocketLoop Loop => _loop;

    /// <summary>For the poller; closed by the loop's thread alone, so that it names no other connection meanwhile.</summary>
    public int Descriptor { get; }

    /// <summary>Name in the poller, null while it does not know the connection. Of the loop's thread.</summary>
    public int? Token { get; set; }

    /// <summary>What the poller watches for. Of the loop's thread.</summary>
    public Interest Watched { get; set; }

    /// <summary>What the socket is to be watched for now.</summary>
    public Interest Wanted => (_ended || _paused ? Interest.None : Interest.Read) | (_output.IsWaiting ? Interest.Write : Interest.None);

    /// <summary>Nothing is left to do but to close.</summary>
    public bool IsClosing => _isClosing;

    public override string ConnectionId
    {
        get => _id;
        set => _id = value;
    }

    public override IFeatureCollection Features { get; } = new FeatureCollection();

    public override IDictionary<object, object?> Items
    {
        get => _items ??= new ConnectionItems();
        set => _items = value;
    }

    public override IDuplexPipe Transport { get; set; }

    PipeReader IDuplexPipe.Input => _input.Reader;

    PipeWriter IDuplexPipe.Output => _output;

    /// <summary>Ends the connection, whatever is under way on it. Its reader gets the reason.</summary>
    public override void Abort(ConnectionAbortedException abortReason)
    {
        if (Interlocked.CompareExchange(ref _abortReason, abortReason, null) is null)
        {
            Shutdown();
            _loop.Changed(this); // the poller may not be watching
        }
    }

    /// <summary>Tells an abort to the reader and to a flush that waits; what was received and not read is dropped. Of the loop's thread.</summary>
    public void EndIfAborted()
    {
        if (_abortReason is { } reason)
        {
            lock (_receiving)
            {
                End(reason);
            }

            _output.OnWritable();
        }
    }

    public override async ValueTask DisposeAsync()
    {
        lock (_receiving)
        {
            End(null);
        }

        _output.Complete();
        _input.Reader.Complete();
        Shutdown();
        _isClosing = true;
        _loop.Changed(this);
        await base.DisposeAsync().ConfigureAwait(false);
    }

    /// <summary>Closes the descriptor. Of the loop's thread, once the poller has forgotten it.</summary>
    public void Close()
    {
        _socket.Dispose();
        if (Interlocked.Exchange(ref _isCounted, 0) == 1)
        {
            _loop.Closed();
        }
    }

    /// <summary>What the loop's thread found. <paramref name="received"/> is its space to read to.</summary>
    public void OnReady(Readiness ready, byte[] received)
    {
        if (ready.IsWritable)
        {
            _output.OnWritable();
        }

        if (ready.IsReadable)
        {
            Receive(received);
        }
    }

    /// <summary>What the socket is to be watched for has changed. From any thread.</summary>
    public void Watch() => _loop.Changed(this);

    /// <summary>Hands bytes to the kernel.</summary>
    public TransferStatus Send(ReadOnlySpan<byte> bytes, out int count)
    {
        try
        {
            return StreamCalls.Send(_socket.SafeHandle, bytes, out count);
        }
        catch (ObjectDisposedException)
        {
            count = 0;
            return TransferStatus.Broken; // the loop has ended before its connection
        }
    }

    private void Receive(byte[] received)
    {
        lock (_receiving)
        {
            if (_ended || _paused || _abortReason is not null)
            {
                return;
            }

            switch (StreamCalls.Receive(_socket.SafeHandle, received, out int count))
            {
                case TransferStatus.Done:
                    _input.Writer.Write(received.AsSpan(0, count));
                    ValueTask<FlushResult> flush = _input.Writer.FlushAsync(); // the reader runs in here
                    if (!flush.IsCompletedSuccessfully)
                    {
                        _paused = true;
                        Watch();
                        _ = ResumeAsync(flush);
                    }
                    else if (flush.Result.IsCompleted)
                    {
                        End(null);
                    }

                    break;
                case TransferStatus.End:
                    End(_abortReason);
                    break;
                case TransferStatus.Broken:
                    End(_abortReason as Exception ?? new ConnectionResetException("the peer reset the connection"));
                    break;
                case TransferStatus.WouldBlock:
                    break;
            }
        }
    }

    // The reader is behind: nothing is read from the socket until it has caught up.
    private async Task ResumeAsync(ValueTask<FlushResult> flush)
    {
        FlushResult result = await flush.ConfigureAwait(false);
        lock (_receiving)
        {
            _paused = false;
            if (result.IsCompleted)
            {
                End(null);
            }
        }

        Watch();
    }

    // Nothing is read any more. The receive lock is held.
    private void End(Exception? reason)
    {
        if (_ended)
        {
            return;
        }

        _ended = true;
        Watch();
        ThreadPool.UnsafeQueueUserWorkItem(static closed => closed.Cancel(), _closed, preferLocal: false);
        _input.Writer.Complete(reason);
    }

    private void Shutdown()
    {
        try
        {
            _socket.Shutdown(SocketShutdown.Both);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            System.Diagnostics.Debug.WriteLine(e.Message); // the peer was faster
        }
    }
}
