using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Pilot.Protocol;
using Pilot.Rendezvous.Server;
using Pilot.Rendezvous.Startup;
using Pilot.Rendezvous.Storage;
using Serilog;

namespace Pilot.Rendezvous.Tests.Server;

/// <summary>A real server on free loopback ports.</summary>
internal sealed class RendezvousServer : IAsyncDisposable
{
    private RendezvousServer(RendezvousHost host) => Host = host;

    public RendezvousHost Host { get; }

    public static async Task<RendezvousServer> StartAsync(Action<Settings>? configure = null)
    {
        var settings = new Settings { RegistryAddress = "127.0.0.1:0", BeaconAddress = "127.0.0.1:0", Store = StoreChoice.Memory };
        configure?.Invoke(settings);
        return new RendezvousServer(await RendezvousHost.StartAsync(settings, Serilog.Core.Logger.None));
    }

    public async Task<RawClient> ConnectAsync(int receiveBuffer = 0)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        if (receiveBuffer > 0)
        {
            socket.ReceiveBufferSize = receiveBuffer;
        }

        await socket.ConnectAsync(Host.RegistryEndPoint);
        return new RawClient(new NetworkStream(socket, ownsSocket: true), socket);
    }

    public ValueTask DisposeAsync() => Host.DisposeAsync();
}

/// <summary>A client that speaks bytes.</summary>
internal sealed class RawClient(Stream stream, Socket socket) : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    public Socket Socket { get; } = socket;

    public Stream Stream { get; } = stream;

    public static byte[] Frame(string body) => Frame(Encoding.UTF8.GetBytes(body));

    public static byte[] Frame(byte[] body)
    {
        byte[] frame = new byte[4 + body.Length];
        BinaryPrimitives.WriteUInt32BigEndian(frame, (uint)body.Length);
        body.CopyTo(frame, 4);
        return frame;
    }

    public async Task<string> CallAsync(string body)
    {
        await Stream.WriteAsync(Frame(body));
        return await ReadAsync() ?? throw new InvalidOperationException("connection closed");
    }

    /// <summary>The same; null when the connection is closed before.</summary>
    public async Task<string?> TryCallAsync(string body)
    {
        try
        {
            await Stream.WriteAsync(Frame(body));
        }
        catch (IOException)
        {
            return null;
        }

        return await ReadAsync();
    }

    /// <summary>Registers a public key without a signature, of a new node when none is given.</summary>
    public Task<string> RegisterAsync(Identity? identity = null) =>
        CallAsync($"{{\"type\":\"register\",\"public_key\":\"{(identity ?? Identity.Create()).PublicKeyText}\"}}");

    /// <summary>Body of the next frame; null at the end of the connection.</summary>
    public async Task<string?> ReadAsync()
    {
        using var limit = new CancellationTokenSource(Patience);
        byte[] prefix = new byte[4];
        try
        {
            if (await Stream.ReadAtLeastAsync(prefix, 4, throwOnEndOfStream: false, limit.Token) < 4)
            {
                return null;
            }

            byte[] body = new byte[BinaryPrimitives.ReadUInt32BigEndian(prefix)];
            await Stream.ReadExactlyAsync(body, limit.Token);
            return Encoding.UTF8.GetString(body);
        }
        catch (IOException)
        {
            return null;
        }
    }

    public void Dispose() => Stream.Dispose();
}
