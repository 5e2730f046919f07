using System.Buffers.Binary;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Pilot.Cli.Output;
using Pilot.Ipc;

namespace Pilot.Cli.Registry;

/// <summary>One unauthenticated <c>lookup</c> straight at the registry (03 §2, §6.1), so that it works without a daemon.</summary>
internal static class RegistryLookup
{
    private const int DefaultPort = 9000;
    private const int LengthPrefix = 4; // bytes, big-endian
    private const int LargestAnswer = 1 << 20; // bytes
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(5);

    public static JsonElement Run(string registry, uint node)
    {
        CliException unreachable = new(
            ErrorCodes.ConnectionFailed,
            $"cannot reach registry at {registry}",
            $"check that the registry is running at {registry}, or set PILOT_REGISTRY");
        byte[] answer;
        try
        {
            using TcpClient client = new() { NoDelay = true, ReceiveTimeout = (int)Limit.TotalMilliseconds, SendTimeout = (int)Limit.TotalMilliseconds };
            (string host, int port) = Split(registry);
            using CancellationTokenSource limit = new(Limit);
            client.ConnectAsync(host, port, limit.Token).AsTask().GetAwaiter().GetResult();
            NetworkStream stream = client.GetStream();
            byte[] body = Encoding.UTF8.GetBytes($"{{\"node_id\":{node},\"type\":\"lookup\"}}");
            byte[] frame = new byte[LengthPrefix + body.Length];
            BinaryPrimitives.WriteInt32BigEndian(frame, body.Length);
            body.CopyTo(frame, LengthPrefix);
            stream.Write(frame);
            Span<byte> prefix = stackalloc byte[LengthPrefix];
            stream.ReadExactly(prefix);
            uint length = BinaryPrimitives.ReadUInt32BigEndian(prefix);
            if (length > LargestAnswer)
            {
                throw new CliException(ErrorCodes.ConnectionFailed, $"lookup: registry at {registry} sent an oversized answer");
            }

            answer = new byte[length];
            stream.ReadExactly(answer);
        }
        catch (Exception e) when (e is SocketException or IOException or OperationCanceledException or ArgumentException)
        {
            throw unreachable;
        }

        try
        {
            using JsonDocument document = JsonDocument.Parse(answer);
            JsonElement root = document.RootElement;
            if (root.ValueKind != JsonValueKind.Object)
            {
                throw new JsonException();
            }

            string error = root.Text("error");
            return error.Length == 0
                ? root.Clone()
                : throw new CliException(IpcErrorCode.ToCliCode(IpcErrorCode.FromRegistryText(error)), $"lookup: registry: {error}");
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException) // InvalidOperation: a string that is no valid Unicode
        {
            throw new CliException(ErrorCodes.ConnectionFailed, $"lookup: {registry} does not speak the registry protocol");
        }
    }

    private static (string Host, int Port) Split(string registry)
    {
        // The first of a list; host:port, [v6]:port or a bare host.
        string first = registry.Split(',')[0].Trim();
        int colon = first.LastIndexOf(':');
        return colon > 0 && int.TryParse(first.AsSpan(colon + 1), out int port)
            ? (first[..colon].Trim('[', ']'), port)
            : (first.Trim('[', ']'), DefaultPort);
    }
}
