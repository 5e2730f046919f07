using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Text.Json;

namespace Pilot.Rendezvous.Cluster;

/// <summary>One short connection to the registry (spec 04 section 4.3): a few requests, then it is closed. Plain TCP, as the reference's beacon.</summary>
internal sealed class RegistryLink : IDisposable
{
    private const int MaxAnswer = 1024 * 1024;
    private static readonly TimeSpan ConnectTimeout = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan ExchangeTimeout = TimeSpan.FromSeconds(10);

    private readonly TcpClient _client;
    private readonly CancellationTokenSource _limit;

    private RegistryLink(TcpClient client, CancellationTokenSource limit)
    {
        _client = client;
        _limit = limit;
    }

    /// <summary>Our side of the connection: an address at which others can reach this host.</summary>
    public IPAddress LocalAddress => ((IPEndPoint)_client.Client.LocalEndPoint!).Address is { IsIPv4MappedToIPv6: true } mapped ? mapped.MapToIPv4() : ((IPEndPoint)_client.Client.LocalEndPoint!).Address;

    /// <exception cref="IOException">The registry cannot be reached.</exception>
    public static async Task<RegistryLink> OpenAsync(string host, int port, CancellationToken cancellation)
    {
        var client = new TcpClient { NoDelay = true };
        using var connect = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        connect.CancelAfter(ConnectTimeout);
        try
        {
            await client.ConnectAsync(host, port, connect.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException)
        {
            client.Dispose();
            throw new IOException($"registry {host}:{port} cannot be reached: {e.Message}", e);
        }

        var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        limit.CancelAfter(ExchangeTimeout);
        return new RegistryLink(client, limit);
    }

    /// <summary>Sends a request and returns the answer, an error or not.</summary>
    /// <exception cref="IOException">No answer, or none that can be read.</exception>
    public async Task<JsonElement> AskAsync(object request)
    {
        byte[] body = JsonSerializer.SerializeToUtf8Bytes(request);
        byte[] frame = new byte[4 + body.Length];
        BinaryPrimitives.WriteInt32BigEndian(frame, body.Length);
        body.CopyTo(frame, 4);
        try
        {
            NetworkStream stream = _client.GetStream();
            await stream.WriteAsync(frame, _limit.Token).ConfigureAwait(false);
            byte[] header = new byte[4];
            await stream.ReadExactlyAsync(header, _limit.Token).ConfigureAwait(false);
            int length = BinaryPrimitives.ReadInt32BigEndian(header);
            if (length is <= 0 or > MaxAnswer)
            {
                throw new IOException($"the registry's answer has {length} bytes");
            }

            byte[] answer = new byte[length];
            await stream.ReadExactlyAsync(answer, _limit.Token).ConfigureAwait(false);
            using JsonDocument document = JsonDocument.Parse(answer);
            return document.RootElement.ValueKind == JsonValueKind.Object ? document.RootElement.Clone() : throw new IOException("the registry's answer is no object");
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException or JsonException)
        {
            throw new IOException($"the registry does not answer: {e.Message}", e);
        }
    }

    /// <summary>The text of a member; empty when it is missing or none.</summary>
    public static string Text(JsonElement element, string name) =>
        element.ValueKind == JsonValueKind.Object && element.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.String ? value.GetString()! : "";

    public void Dispose()
    {
        _client.Dispose();
        _limit.Dispose();
    }
}
