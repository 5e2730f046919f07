using System.Buffers;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Pilot.Ipc;

namespace Pilot.Client.Tests;

/// <summary>A daemon in this process that speaks the line protocol and does what the test tells it.</summary>
internal sealed class FakeDaemon : IAsyncDisposable
{
    private readonly Socket _listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private readonly string _directory = Directory.CreateTempSubdirectory("pilot").FullName;
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _accepting;

    public FakeDaemon()
    {
        SocketPath = Path.Combine(_directory, "s");
        _listener.Bind(new UnixDomainSocketEndPoint(SocketPath));
        _listener.Listen(64);
        _accepting = AcceptAsync();
    }

    public string SocketPath { get; }

    public string Home => _directory;

    public List<IpcRequest> Requests { get; } = [];

    /// <summary>Command → JSON text of the reply without id (<c>"ok":true,"data":{…}</c>).</summary>
    public Dictionary<string, Func<IpcRequest, string>> Replies { get; } = [];

    /// <summary>Takes over a connection after the reply of its command was sent.</summary>
    public Dictionary<string, Func<Socket, IpcRequest, Task>> Streams { get; } = [];

    public PilotClient NewClient() => new(new PilotClientOptions { SocketPath = SocketPath, RequestTimeout = TimeSpan.FromSeconds(10) });

    public static string Data(string json) => $"\"ok\":true,\"data\":{json}";

    public static string Fail(string code, string error) =>
        $"\"ok\":false,\"code\":\"{code}\",\"error\":\"{JsonEncodedText.Encode(error)}\"";

    public static string Raw(uint conn, bool halfClose = true) =>
        $"\"ok\":true,\"raw\":true,\"conn\":{conn},\"local\":\"0:0000.0000.0001:49152\",\"remote\":\"0:0000.0000.0002:7\",\"path\":\"direct\",\"rtt_ms\":0.4,\"half_close\":{(halfClose ? "true" : "false")}";

    public static string Result(string reason, bool open = false) =>
        Data($"{{\"conn_id\":1,\"open\":{(open ? "true" : "false")},\"reason\":\"{reason}\",\"error\":\"{(reason == "closed" ? "" : "stream " + reason)}\",\"bytes_sent\":0,\"bytes_recv\":0}}");

    public static async Task EchoAsync(Socket socket, IpcRequest request)
    {
        byte[] buffer = new byte[65536];
        while (await socket.ReceiveAsync(buffer) is > 0 and var count)
        {
            await SendAllAsync(socket, buffer.AsMemory(0, count));
        }

        socket.Shutdown(SocketShutdown.Send);
    }

    public static async Task SendAllAsync(Socket socket, ReadOnlyMemory<byte> data)
    {
        while (!data.IsEmpty)
        {
            data = data[await socket.SendAsync(data)..];
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        _listener.Dispose();
        await _accepting;
        Directory.Delete(_directory, recursive: true);
        _stop.Dispose();
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
            {
                Socket socket = await _listener.AcceptAsync(_stop.Token);
                _ = ServeAsync(socket);
            }
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
        }
    }

    private async Task ServeAsync(Socket socket)
    {
        using LineBuffer lines = new();
        try
        {
            while (true)
            {
                if (!TryTake(lines, out IpcRequest? request))
                {
                    int count = await socket.ReceiveAsync(lines.GetMemory(), _stop.Token);
                    if (count == 0)
                    {
                        break;
                    }

                    lines.Advance(count);
                    continue;
                }

                lock (Requests)
                {
                    Requests.Add(request!);
                }

                string reply = Replies.TryGetValue(request!.Cmd!, out Func<IpcRequest, string>? make)
                    ? make(request)
                    : Fail(IpcErrorCode.UnknownCommand, "unknown command");
                string id = request.Id is { } given ? $"\"id\":{given.GetRawText()}," : string.Empty;
                await SendAllAsync(socket, Encoding.UTF8.GetBytes($"{{{id}{reply}}}\n"));
                if (reply.Contains("\"raw\":true", StringComparison.Ordinal) || request.Cmd == IpcCommand.Subscribe)
                {
                    if (Streams.TryGetValue(request.Cmd!, out Func<Socket, IpcRequest, Task>? stream))
                    {
                        await stream(socket, request);
                    }

                    break;
                }
            }
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
        }

        socket.Dispose();
    }

    private static bool TryTake(LineBuffer lines, out IpcRequest? request)
    {
        request = null;
        if (!lines.TryReadLine(out ReadOnlySpan<byte> line))
        {
            return false;
        }

        Assert.True(IpcLine.TryParseRequest(line, out request, out string? error), error);
        return true;
    }
}
