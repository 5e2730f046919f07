using System.Buffers;
using System.IO.Pipelines;
using System.Threading.Tasks.Sources;
using Pilot.Net;

namespace Pilot.Rendezvous.Sockets;

/// <summary>
/// The way out of a connection: a flush hands the bytes to the kernel at once, and waits only when the kernel takes no more. It ends when all are
/// taken, so that a deadline on it is a deadline on the peer. Holds no memory between flushes. Used by one writer; the loop's thread sends what is left.
/// </summary>
internal sealed class SocketWriter(LoopConnection connection) : PipeWriter, IValueTaskSource<FlushResult>
{
    private const int LeastBuffer = 1024; // bytes

    private readonly Lock _gate = new();
    private byte[]? _buffer;
    private int _sent;
    private int _filled;
    private volatile bool _broken;
    private volatile bool _isWaiting;
    private CancellationToken _waitingFor; // may cancel the flush that waits
    private CancellationTokenRegistration _cancellation;

    // What follows runs on the pool: a slow reader's next answer may be long to make, and the loop's thread belongs to all.
    private ManualResetValueTaskSourceCore<FlushResult> _flush = new() { RunContinuationsAsynchronously = true };

    /// <summary>A flush waits for the kernel.</summary>
    public bool IsWaiting => _isWaiting;

    public override bool CanGetUnflushedBytes => true;

    public override long UnflushedBytes => _filled - _sent;

    public override Memory<byte> GetMemory(int sizeHint = 0)
    {
        Reserve(Math.Max(sizeHint, 1));
        return _buffer.AsMemory(_filled);
    }

    public override Span<byte> GetSpan(int sizeHint = 0)
    {
        Reserve(Math.Max(sizeHint, 1));
        return _buffer.AsSpan(_filled);
    }

    public override void Advance(int bytes)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)bytes, (uint)((_buffer?.Length ?? 0) - _filled));
        _filled += bytes;
    }

    public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
    {
        if (cancellationToken.IsCancellationRequested)
        {
            return ValueTask.FromCanceled<FlushResult>(cancellationToken);
        }

        ValueTask<FlushResult> waiting;
        lock (_gate)
        {
            if (TrySend())
            {
                return ValueTask.FromResult(new FlushResult(isCanceled: false, isCompleted: _broken));
            }

            _flush.Reset();
            waiting = new ValueTask<FlushResult>(this, _flush.Version);
            _isWaiting = true;
            _waitingFor = cancellationToken;
        }

        CancellationTokenRegistration cancellation = cancellationToken.UnsafeRegister(static (writer, token) => ((SocketWriter)writer!).Cancel(token), this);
        lock (_gate)
        {
            if (_isWaiting)
            {
                _cancellation = cancellation;
            }
            else
            {
                cancellation.Unregister(); // it has ended meanwhile
            }
        }

        connection.Watch();
        return waiting;
    }

    public override void CancelPendingFlush()
    {
        lock (_gate)
        {
            if (!TryEndWaiting())
            {
                return;
            }
        }

        connection.Watch();
        _flush.SetResult(new FlushResult(isCanceled: true, isCompleted: false));
    }

    /// <summary>Nothing is written any more; what was not flushed is dropped.</summary>
    public override void Complete(Exception? exception = null)
    {
        bool ended;
        lock (_gate)
        {
            _broken = true;
            ended = TryEndWaiting();
            Drop();
        }

        if (ended)
        {
            connection.Watch();
            _flush.SetResult(new FlushResult(isCanceled: false, isCompleted: true));
        }
    }

    /// <summary>The kernel may take more. Called by the loop's thread.</summary>
    public void OnWritable()
    {
        lock (_gate)
        {
            if (!_isWaiting || !TrySend() || !TryEndWaiting())
            {
                return;
            }
        }

        connection.Watch();
        _flush.SetResult(new FlushResult(isCanceled: false, isCompleted: _broken));
    }

    FlushResult IValueTaskSource<FlushResult>.GetResult(short token) => _flush.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource<FlushResult>.GetStatus(short token) => _flush.GetStatus(token);

    void IValueTaskSource<FlushResult>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _flush.OnCompleted(continuation, state, token, flags);

    private void Cancel(CancellationToken token)
    {
        lock (_gate)
        {
            if (_waitingFor != token || !TryEndWaiting())
            {
                return; // that flush has ended meanwhile, and perhaps another one waits
            }
        }

        connection.Watch();
        _flush.SetException(new OperationCanceledException(token));
    }

    // The gate is held. Whoever gets true lets go of it, tells the loop (the kernel would report room to write without end), and ends the flush.
    private bool TryEndWaiting()
    {
        if (!_isWaiting)
        {
            return false;
        }

        _isWaiting = false;
        _waitingFor = default;
        _cancellation.Unregister();
        _cancellation = default;
        return true;
    }

    // True when nothing is left to send, which is so for a broken connection, too.
    private bool TrySend()
    {
        while (!_broken && _sent < _filled)
        {
            switch (connection.Send(_buffer.AsSpan(_sent, _filled - _sent), out int count))
            {
                case TransferStatus.Done:
                    _sent += count;
                    break;
                case TransferStatus.WouldBlock:
                    return false;
                default:
                    _broken = true;
                    break;
            }
        }

        Drop();
        return true;
    }

    private void Drop()
    {
        _sent = _filled = 0;
        if (_buffer is { } buffer)
        {
            _buffer = null;
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private void Reserve(int size)
    {
        if (_buffer is null)
        {
            _buffer = ArrayPool<byte>.Shared.Rent(Math.Max(size, LeastBuffer));
        }
        else if (_buffer.Length - _filled < size)
        {
            int left = _filled - _sent;
            byte[] larger = ArrayPool<byte>.Shared.Rent(Math.Max(checked(left + size), checked(_buffer.Length * 2)));
            _buffer.AsSpan(_sent, left).CopyTo(larger);
            ArrayPool<byte>.Shared.Return(_buffer);
            _buffer = larger;
            _sent = 0;
            _filled = left;
        }
    }
}
