using System.Net.Sockets;
using Pilot.Ipc;

namespace Pilot.Client;

/// <summary>
/// A reliable byte stream to a port of a peer, over the raw Unix connection to the daemon (08 §10.3). Reading returns 0 only at
/// the peer's orderly end (FIN, everything delivered); every other end throws <see cref="PilotStreamException"/>.
/// One reader and one writer may work at the same time.
/// </summary>
public sealed class PilotStream : Stream
{
    private readonly Socket _socket;
    private readonly Func<uint, CancellationToken, Task<ConnResultData>> _askResult;
    private ReadOnlyMemory<byte> _first;
    private bool _readEnded;
    private bool _writesCompleted;
    private int _disposed;

    internal PilotStream(Socket socket, ReadOnlyMemory<byte> first, IpcReply handover, Func<uint, CancellationToken, Task<ConnResultData>> askResult)
    {
        _socket = socket;
        _first = first;
        _askResult = askResult;
        ConnectionId = handover.Conn;
        Local = handover.Local ?? string.Empty;
        Remote = handover.Remote ?? string.Empty;
        RemoteHostname = handover.Hostname;
        Path = handover.Path ?? PathName.None;
        RoundTrip = handover.RttMs is { } rtt ? TimeSpan.FromMilliseconds(rtt) : null;
        SetupTime = handover.SetupMs is { } setup ? TimeSpan.FromMilliseconds(setup) : null;
        UdpEndpoint = handover.Endpoint;
        PeerHalfCloses = handover.HalfClose ?? false;
    }

    /// <summary>The daemon's id of this stream, as <c>connections</c> lists it.</summary>
    public uint ConnectionId { get; }

    /// <summary>Own end, <c>address:port</c>.</summary>
    public string Local { get; }

    /// <summary>Peer's end, <c>address:port</c>.</summary>
    public string Remote { get; }

    /// <summary>Peer's hostname, when known.</summary>
    public string? RemoteHostname { get; }

    /// <summary>Peer's address without the port.</summary>
    public string RemoteAddress => Remote.LastIndexOf(':') is var colon and > 0 ? Remote[..colon] : Remote;

    /// <summary>Path in use when the stream was handed over, see <see cref="PathName"/>.</summary>
    public string Path { get; }

    /// <summary>Smoothed round trip of that path; null before the first measurement.</summary>
    public TimeSpan? RoundTrip { get; }

    /// <summary>Time from the request to the established stream.</summary>
    public TimeSpan? SetupTime { get; }

    /// <summary>UDP endpoint in use, <c>ip:port</c>; the beacon's when relayed.</summary>
    public string? UdpEndpoint { get; }

    /// <summary>
    /// True: <see cref="CompleteWrites"/> reaches the peer at once. False: the peer knows no half-close (reference
    /// software), so it sees the end of our data only when this stream is closed (08 §10.3 item 5).
    /// </summary>
    public bool PeerHalfCloses { get; }

    /// <inheritdoc/>
    public override bool CanRead => true;

    /// <inheritdoc/>
    public override bool CanWrite => true;

    /// <inheritdoc/>
    public override bool CanSeek => false;

    /// <inheritdoc/>
    public override long Length => throw new NotSupportedException();

    /// <inheritdoc/>
    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    /// <inheritdoc/>
    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (buffer.IsEmpty || _readEnded)
        {
            return 0;
        }

        if (!_first.IsEmpty)
        {
            return TakeFirst(buffer.Span);
        }

        int received;
        try
        {
            received = await _socket.ReceiveAsync(buffer, SocketFlags.None, cancellationToken).ConfigureAwait(false);
        }
        catch (SocketException e)
        {
            throw await EndAsync(e, cancellationToken).ConfigureAwait(false);
        }

        if (received == 0)
        {
            if (await AbnormalEndAsync(cancellationToken).ConfigureAwait(false) is { } failure)
            {
                throw failure;
            }

            _readEnded = true;
        }

        return received;
    }

    /// <inheritdoc/>
    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    /// <inheritdoc/>
    public override int Read(Span<byte> buffer)
    {
        if (buffer.IsEmpty || _readEnded)
        {
            return 0;
        }

        if (!_first.IsEmpty)
        {
            return TakeFirst(buffer);
        }

        int received;
        try
        {
            received = _socket.Receive(buffer, SocketFlags.None);
        }
        catch (SocketException e)
        {
            throw EndAsync(e, CancellationToken.None).AsTask().GetAwaiter().GetResult();
        }

        if (received == 0)
        {
            if (AbnormalEndAsync(CancellationToken.None).AsTask().GetAwaiter().GetResult() is { } failure)
            {
                throw failure;
            }

            _readEnded = true;
        }

        return received;
    }

    /// <inheritdoc/>
    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    /// <inheritdoc/>
    public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        ThrowIfWritesCompleted();
        try
        {
            while (!buffer.IsEmpty)
            {
                int sent = await _socket.SendAsync(buffer, SocketFlags.None, cancellationToken).ConfigureAwait(false);
                buffer = buffer[sent..];
            }
        }
        catch (SocketException e)
        {
            throw await EndAsync(e, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <inheritdoc/>
    public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        WriteAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    /// <inheritdoc/>
    public override void Write(ReadOnlySpan<byte> buffer)
    {
        ThrowIfWritesCompleted();
        try
        {
            while (!buffer.IsEmpty)
            {
                buffer = buffer[_socket.Send(buffer, SocketFlags.None)..];
            }
        }
        catch (SocketException e)
        {
            throw EndAsync(e, CancellationToken.None).AsTask().GetAwaiter().GetResult();
        }
    }

    /// <inheritdoc/>
    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    /// <summary>
    /// Says that no more data will be written; reading goes on. Data written before is delivered first. See
    /// <see cref="PeerHalfCloses"/> for when the peer notices. Calling it again does nothing.
    /// </summary>
    public void CompleteWrites()
    {
        if (_writesCompleted)
        {
            return;
        }

        _writesCompleted = true;
        try
        {
            _socket.Shutdown(SocketShutdown.Send);
        }
        catch (SocketException)
        {
            // The stream has already ended; the reading side reports how.
        }
    }

    /// <summary><see cref="CompleteWrites"/> for callers that await every step.</summary>
    public ValueTask CompleteWritesAsync()
    {
        CompleteWrites();
        return ValueTask.CompletedTask;
    }

    /// <summary>How the stream stands or ended, with the byte counts of the daemon.</summary>
    /// <exception cref="PilotException">The daemon is gone or has forgotten the stream (after 60 s).</exception>
    public Task<ConnResultData> GetResultAsync(CancellationToken cancellationToken = default) => _askResult(ConnectionId, cancellationToken);

    /// <summary>Does nothing: every write goes out at once.</summary>
    public override void Flush()
    {
    }

    /// <summary>Does nothing: every write goes out at once.</summary>
    public override Task FlushAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc/>
    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    /// <inheritdoc/>
    public override void SetLength(long value) => throw new NotSupportedException();

    /// <summary>Closes the stream. Data written before is still delivered; data not yet read is lost.</summary>
    protected override void Dispose(bool disposing)
    {
        if (disposing && Interlocked.Exchange(ref _disposed, 1) == 0)
        {
            _socket.Dispose();
        }

        base.Dispose(disposing);
    }

    private int TakeFirst(Span<byte> buffer)
    {
        int count = Math.Min(buffer.Length, _first.Length);
        _first.Span[..count].CopyTo(buffer);
        _first = _first[count..];
        return count;
    }

    private void ThrowIfWritesCompleted()
    {
        if (_writesCompleted)
        {
            throw new InvalidOperationException("writes were completed");
        }
    }

    private async ValueTask<PilotStreamException> EndAsync(SocketException cause, CancellationToken cancellationToken) =>
        await AbnormalEndAsync(cancellationToken).ConfigureAwait(false)
            ?? new PilotStreamException(PilotErrorCode.Reset, "stream was reset", cause);

    /// <summary>Null for an orderly end. The kernel shows a reset and a FIN alike once nothing is left to read, so the daemon is asked.</summary>
    private async ValueTask<PilotStreamException?> AbnormalEndAsync(CancellationToken cancellationToken)
    {
        ConnResultData result;
        try
        {
            result = await _askResult(ConnectionId, cancellationToken).ConfigureAwait(false);
        }
        catch (PilotException e) when (e.Code == IpcErrorCode.NotFound)
        {
            return new PilotStreamException(PilotErrorCode.ConnectionLost, "the daemon does not know this stream any more", e);
        }
        catch (PilotException e)
        {
            return new PilotStreamException(PilotErrorCode.ConnectionLost, "connection to the daemon lost", e);
        }

        return result.Open || result.Reason is "open" or "closed"
            ? null
            : new PilotStreamException(result.Reason, result.Error.Length > 0 ? result.Error : $"stream ended: {result.Reason}");
    }
}
