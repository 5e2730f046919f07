using System.Buffers;
using Microsoft.Extensions.Logging;
using Pilot.Daemon.Host;
using Pilot.Daemon.Loop;
using Pilot.Engine;
using Pilot.Ipc;
using Pilot.Net;
using Pilot.Net.Polling;

namespace Pilot.Daemon.Ipc;

/// <summary>One client in command mode. All members belong to the loop thread, except where stated.</summary>
internal sealed class IpcSession : IReadinessHandler, IDisposable
{
    private const int MaxConcurrent = 64; // commands with an id; then the client waits
    private const int MaxReplyBytes = 16 * 1024 * 1024; // unread replies; then the client is cut
    private const int MaxEventBytes = 1024 * 1024; // unread replies above which events are dropped
    private const int PauseBytes = 1024 * 1024; // unread replies above which no further command is started
    private const int MaxReadsPerTurn = 8; // of a line buffer's piece, so that other clients and the node get their turn
    internal const int MaxLinesInRow = 64; // then the rest of the loop's turn comes first

    private readonly IpcServer _server;
    private readonly LocalSocket _socket;
    private readonly int _token;
    private readonly LineBuffer _lines = new();
    private readonly Queue<ReadOnlyMemory<byte>> _output = new();
    private readonly CancellationTokenSource _gone = new();
    private ReadOnlyMemory<byte> _writing;
    private long _outputBytes;
    private Interest _interest = Interest.Read | Interest.HangUp;
    private CommandOutcome.HandOver? _handOver;
    private int _running;
    private bool _isBlocked; // an in-order command runs: the next line waits
    private bool _inputEnded;
    private bool _failed; // the client broke the protocol: it gets the reason and is closed
    private bool _isClosed;
    private int _linesInRow;
    private bool _shedsRead; // bytes came while none were wanted: they would wake the loop again and again

    /// <exception cref="IOException">The system refuses to watch one more descriptor.</exception>
    public IpcSession(IpcServer server, LocalSocket socket)
    {
        _server = server;
        _socket = socket;
        _token = server.Loop.Watch(socket.Descriptor, this, _interest);
    }

    /// <summary>When the client began to leave output unread; null when all is written.</summary>
    public Instant? UnreadSince { get; private set; }

    /// <summary>Queues an event line; dropped when the client does not keep up. From any thread.</summary>
    public void SendEvent(ReadOnlyMemory<byte> line)
    {
        if (_server.Loop.IsOnLoop)
        {
            Write();
        }
        else
        {
            _server.Loop.Post(Write);
        }

        void Write()
        {
            if (!_isClosed && _handOver is null && _outputBytes < MaxEventBytes)
            {
                Enqueue(line);
                Settle();
            }
        }
    }

    public void OnReady(in Readiness readiness)
    {
        if (readiness.IsReadable)
        {
            _shedsRead = !WantsBytes;
            Read();
        }

        if (readiness.IsHangUp)
        {
            // Both directions are closed over there: nobody will read a reply. What it sent last has been started.
            Dispose();
            return;
        }

        if (readiness.IsWritable)
        {
            Flush();
            Continue(); // with lines and bytes that waited for room in the output
        }

        Settle();
    }

    /// <summary>Ends the session: cancels its commands and closes its socket.</summary>
    public void Dispose()
    {
        if (_isClosed)
        {
            return;
        }

        _isClosed = true;
        _server.Remove(this);
        _server.Loop.UnwatchClosing(_token);
        _gone.Cancel();
        _gone.Dispose();
        _handOver?.Abandon();
        _socket.Dispose();
        _lines.Dispose();
        _server.Commands.SessionClosed(this);
    }

    private void Continue()
    {
        if (!_isClosed)
        {
            ProcessLines();
            Settle(); // what the socket holds is reported again, now that it is wanted
        }
    }

    private void Read()
    {
        for (var reads = 0; reads < MaxReadsPerTurn && !_isClosed && WantsBytes; reads++)
        {
            var room = _lines.GetMemory().Span;
            var count = _socket.Read(room, out var error);
            if (count < 0)
            {
                if (error != Libc.ErrorAgain && error != Libc.ErrorInterrupted)
                {
                    Dispose();
                }

                return;
            }

            if (count == 0)
            {
                _inputEnded = true;
                return;
            }

            var isEmptied = count < room.Length;
            _lines.Advance(count);
            ProcessLines();
            if (isEmptied)
            {
                return;
            }
        }
    }

    private bool WantsBytes => _handOver is null && !_inputEnded && CanStart;

    private bool CanStart => !_isBlocked && _running < MaxConcurrent && _outputBytes < PauseBytes && _linesInRow < MaxLinesInRow;

    private void ProcessLines()
    {
        while (!_isClosed && CanStart && _handOver is null)
        {
            // The first byte tells the protocols apart (08 §9); the binary one is not served yet.
            if (_lines.Remaining is { IsEmpty: false } waiting && waiting.Span[0] is not ((byte)'{' or (byte)' ' or (byte)'\t' or (byte)'\r' or (byte)'\n'))
            {
                FailAndClose(IpcErrorCode.InvalidArgument, waiting.Span[0] == 0 ? "the binary protocol is not supported by this daemon" : "a request is a JSON object on one line");
                return;
            }

            if (!_lines.TryReadLine(out var line))
            {
                if (_lines.LineTooLong)
                {
                    FailAndClose(IpcErrorCode.TooLarge, $"a request line may have at most {IpcProtocol.MaxLineLength} bytes");
                }

                return;
            }

            if (++_linesInRow == MaxLinesInRow)
            {
                _server.Loop.Post(() =>
                {
                    _linesInRow = 0;
                    Continue();
                });
            }

            if (line.IsEmpty)
            {
                continue;
            }

            if (IpcLine.TryParseRequest(line, out var request, out var error))
            {
                Start(request);
            }
            else
            {
                var reply = new ArrayBufferWriter<byte>();
                IpcLine.WriteFailure(reply, null, IpcErrorCode.InvalidArgument, error);
                Enqueue(reply.WrittenMemory);
            }
        }
    }

    private void Start(IpcRequest request)
    {
        // A stream command decides what the connection becomes, so nothing may run beside it.
        var inOrder = request.Id is null || request.Cmd is IpcCommand.Dial or IpcCommand.Accept;
        _isBlocked |= inOrder;
        _running++;
        var task = _server.Commands.ExecuteAsync(request, this, _gone.Token);
        if (task.IsCompleted)
        {
            Complete(request, task, inOrder);
        }
        else
        {
            task.ContinueWith(
                finished =>
                {
                    if (_server.Loop.IsOnLoop)
                    {
                        Finish(finished);
                    }
                    else
                    {
                        _server.Loop.Post(() => Finish(finished));
                    }
                },
                CancellationToken.None,
                TaskContinuationOptions.ExecuteSynchronously,
                TaskScheduler.Default);
        }

        void Finish(Task<CommandOutcome> finished)
        {
            Complete(request, finished, inOrder);
            Continue();
        }
    }

    private void Complete(IpcRequest request, Task<CommandOutcome> task, bool inOrder)
    {
        _running--;
        if (inOrder)
        {
            _isBlocked = false;
        }

        var outcome = task.IsCompletedSuccessfully ? task.Result : Failure(request, task);
        if (_isClosed)
        {
            (outcome as CommandOutcome.HandOver)?.Abandon();
            return;
        }

        switch (outcome)
        {
            case CommandOutcome.Line line:
                Enqueue(line.Bytes);
                break;
            case CommandOutcome.HandOver handOver:
                var reply = new ArrayBufferWriter<byte>();
                IpcLine.WriteRaw(reply, handOver.Reply with { Id = request.Id });
                _handOver = handOver;
                Enqueue(reply.WrittenMemory);
                Settle();
                break;
        }
    }

    private CommandOutcome Failure(IpcRequest request, Task task)
    {
        var reply = new ArrayBufferWriter<byte>();
        switch (task.Exception?.InnerException)
        {
            case CommandException command:
                IpcLine.WriteFailure(reply, request.Id, command.Code, command.Message, command.Hint);
                break;
            case null: // cancelled
            case OperationCanceledException:
                IpcLine.WriteFailure(reply, request.Id, IpcErrorCode.Cancelled, "cancelled");
                break;
            case var exception:
                _server.Logger.LogError(exception, "command {Command} failed", request.Cmd);
                IpcLine.WriteFailure(reply, request.Id, IpcErrorCode.Internal, $"internal error: {exception.Message}", "see the daemon's log");
                break;
        }

        return new CommandOutcome.Line(reply.WrittenMemory);
    }

    private void FailAndClose(string code, string error)
    {
        var reply = new ArrayBufferWriter<byte>();
        IpcLine.WriteFailure(reply, null, code, error);
        Enqueue(reply.WrittenMemory);
        _inputEnded = true;
        _isBlocked = true; // no further line is looked at
        _failed = true;
    }

    private void Enqueue(ReadOnlyMemory<byte> bytes)
    {
        if (_isClosed)
        {
            return;
        }

        _outputBytes += bytes.Length;
        if (_outputBytes > MaxReplyBytes)
        {
            _server.Logger.LogWarning("ipc client cut: {Bytes} bytes of replies unread", _outputBytes);
            Dispose();
            return;
        }

        _output.Enqueue(bytes);
        Flush();
    }

    private void Flush()
    {
        while (!_isClosed)
        {
            if (_writing.IsEmpty && !_output.TryDequeue(out _writing))
            {
                UnreadSince = null;
                break;
            }

            var count = _socket.Write(_writing.Span, out var error);
            if (count < 0 && error == Libc.ErrorInterrupted)
            {
                continue;
            }

            if (count < 0 && error == Libc.ErrorAgain)
            {
                UnreadSince ??= MonotonicClock.Now;
                _server.WantSweep();
                break;
            }

            if (count < 0)
            {
                Dispose();
                return;
            }

            _writing = _writing[count..];
            _outputBytes -= count;
            UnreadSince = null; // it made progress
        }
    }

    private void Settle()
    {
        if (_isClosed)
        {
            return;
        }

        var isFlushed = _writing.IsEmpty && _output.Count == 0;
        if (isFlushed && _handOver is { } handOver)
        {
            _isClosed = true; // for this server; the socket lives on as a stream's
            _server.Remove(this);
            _gone.Dispose();
            var early = _lines.Remaining.ToArray();
            _lines.Dispose();
            _server.Commands.SessionClosed(this);
            handOver.Take(new HandedOver(_socket, _token, _interest, early));
            return;
        }

        if (isFlushed && (_failed || (_inputEnded && _running == 0 && !_server.Commands.IsSubscribed(this))))
        {
            Dispose();
            return;
        }

        var wanted = Interest.HangUp;
        if (WantsBytes)
        {
            wanted |= Interest.Read;
            _shedsRead = false;
        }
        else if (!_shedsRead)
        {
            wanted |= _interest & Interest.Read; // mostly the next command comes when it is wanted again: two system calls saved
        }

        if (!isFlushed)
        {
            wanted |= Interest.Write;
        }

        if (wanted != _interest)
        {
            _interest = wanted;
            _server.Loop.ChangeInterest(_token, wanted);
        }
    }
}
