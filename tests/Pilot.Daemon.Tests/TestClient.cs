using System.Net.Sockets;
using System.Text;
using Pilot.Ipc;

namespace Pilot.Daemon.Tests;

/// <summary>A bare client of the command socket, so that tests see lines and bytes as they are.</summary>
internal sealed class TestClient : IDisposable
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);
    private readonly LineBuffer _lines = new();

    private TestClient(Socket socket) => Socket = socket;

    public Socket Socket { get; }

    public static async Task<TestClient> ConnectAsync(string path)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await socket.ConnectAsync(new UnixDomainSocketEndPoint(path)).WaitAsync(Limit);
        return new TestClient(socket);
    }

    public Task SendAsync(string text) => SendAsync(Encoding.UTF8.GetBytes(text));

    public async Task SendAsync(ReadOnlyMemory<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            bytes = bytes[await Socket.SendAsync(bytes).AsTask().WaitAsync(Limit)..];
        }
    }

    /// <summary>The next line, or null at the end.</summary>
    public async Task<string?> ReadLineAsync()
    {
        while (true)
        {
            if (_lines.TryReadLine(out var line))
            {
                return Encoding.UTF8.GetString(line);
            }

            var count = await Socket.ReceiveAsync(_lines.GetMemory()).AsTask().WaitAsync(Limit);
            if (count == 0)
            {
                return null;
            }

            _lines.Advance(count);
        }
    }

    public async Task<IpcReply> ReadReplyAsync()
    {
        var line = await ReadLineAsync() ?? throw new EndOfStreamException("the daemon closed the connection");
        return IpcReply.TryParse(Encoding.UTF8.GetBytes(line), out var reply) ? reply : throw new FormatException($"no reply: {line}");
    }

    public async Task<IpcReply> CallAsync(string request)
    {
        await SendAsync(request + "\n");
        return await ReadReplyAsync();
    }

    /// <summary>Reads exactly this many stream bytes.</summary>
    public async Task<byte[]> ReadAsync(int length)
    {
        var buffer = new byte[length];
        var filled = _lines.TakeRemaining(buffer);
        while (filled < length)
        {
            var count = await Socket.ReceiveAsync(buffer.AsMemory(filled)).AsTask().WaitAsync(Limit);
            if (count == 0)
            {
                throw new EndOfStreamException($"end after {filled} of {length} bytes");
            }

            filled += count;
        }

        return buffer;
    }

    /// <summary>Reads until the end of the stream.</summary>
    public async Task<byte[]> ReadToEndAsync()
    {
        using var all = new MemoryStream();
        var buffer = new byte[65536];
        int count;
        while ((count = _lines.TakeRemaining(buffer)) > 0)
        {
            all.Write(buffer, 0, count);
        }

        while ((count = await Socket.ReceiveAsync(buffer.AsMemory()).AsTask().WaitAsync(Limit)) > 0)
        {
            all.Write(buffer, 0, count);
        }

        return all.ToArray();
    }

    public void Dispose()
    {
        Socket.Dispose();
        _lines.Dispose();
    }
}
