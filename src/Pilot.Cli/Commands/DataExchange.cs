using System.Buffers.Binary;
using System.Text;
using Pilot.Cli.Output;
using Pilot.Client;

namespace Pilot.Cli.Commands;

/// <summary>A text frame to the data-exchange port and its acknowledgement (06 §5).</summary>
internal static class DataExchange
{
    private const ushort Port = 1001;
    private const int HeaderSize = 8; // u32 type, u32 length, big-endian
    private const uint TypeText = 1;
    private const int LargestReply = 64 << 10; // bytes; an acknowledgement is one short line

    public static async Task<int> SendTextAsync(CommandContext context, string address, string message, TimeSpan timeout, PilotException refused)
    {
        byte[] payload = Encoding.UTF8.GetBytes(message);
        byte[] frame = new byte[HeaderSize + payload.Length];
        BinaryPrimitives.WriteUInt32BigEndian(frame, TypeText);
        BinaryPrimitives.WriteUInt32BigEndian(frame.AsSpan(4), (uint)payload.Length);
        payload.CopyTo(frame, HeaderSize);

        PilotStream stream;
        try
        {
            stream = await context.Client.DialAsync(address, Port, timeout).ConfigureAwait(false);
        }
        catch (PilotException)
        {
            // No inbox there either: the tunnel stands, and the refusal of the port that was asked for is the news.
            await NoteTunnelAsync(context, address).ConfigureAwait(false);
            throw PeerDial.Failed(address, "port 1000", refused);
        }

        await using (stream.ConfigureAwait(false))
        {
            (string path, double? rtt) = await PeerDial.PathOfAsync(context, stream, address).ConfigureAwait(false);
            PeerDial.Note(context, path, rtt);
            string ack;
            using CancellationTokenSource limit = new();
            limit.CancelAfter(timeout > TimeSpan.Zero ? timeout : TimeSpan.Zero);
            try
            {
                await stream.WriteAsync(frame, limit.Token).ConfigureAwait(false);
                context.Out.Note($"→ Sent 1 message ({payload.Length} bytes)");
                ack = await ReadReplyAsync(stream, limit.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                throw PeerDial.NoResponse(timeout, "increase with --timeout, or check if the target is listening on that port");
            }
            catch (IOException e)
            {
                throw new CliException(ErrorCodes.ConnectionFailed, "send failed: " + e.Message);
            }

            if (!ack.StartsWith("ACK", StringComparison.Ordinal))
            {
                throw new CliException(ErrorCodes.ConnectionFailed, "peer refused the message: " + HumanFormat.OneLine(ack));
            }

            context.Out.Note("← ACK received");
            JsonMap data = new()
            {
                ["target"] = address, ["port"] = Port, ["sent"] = message, ["sent_bytes"] = payload.Length, ["response"] = ack, ["path"] = path,
            };
            if (rtt is { } ms)
            {
                data["rtt_ms"] = Math.Round(ms, 3);
            }

            if (context.Out.Json)
            {
                context.Out.Success(data);
            }
        }

        return 0;
    }

    private static async Task NoteTunnelAsync(CommandContext context, string address)
    {
        try
        {
            Ipc.PingData ping = await context.Client.PingAsync(address, TimeSpan.FromSeconds(2)).ConfigureAwait(false);
            PeerDial.Note(context, ping.Path, ping.RttMs);
        }
        catch (PilotException)
        {
            // Then there is nothing to say about the tunnel; the error follows.
        }
    }

    private static async Task<string> ReadReplyAsync(PilotStream stream, CancellationToken cancellationToken)
    {
        byte[] header = new byte[HeaderSize];
        await stream.ReadExactlyAsync(header, cancellationToken).ConfigureAwait(false);
        uint length = BinaryPrimitives.ReadUInt32BigEndian(header.AsSpan(4));
        if (BinaryPrimitives.ReadUInt32BigEndian(header) != TypeText || length > LargestReply)
        {
            throw new IOException("the peer's answer is not an acknowledgement");
        }

        byte[] text = new byte[length];
        await stream.ReadExactlyAsync(text, cancellationToken).ConfigureAwait(false);
        return Encoding.UTF8.GetString(text);
    }
}
