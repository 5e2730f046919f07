using System.Buffers;
using System.IO.Pipelines;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Logging;
using Pilot.Protocol.Registry;
using Pilot.Rendezvous.Registry;

namespace Pilot.Rendezvous.Server;

/// <summary>Reads request frames from one connection and answers them in order (spec 03 section 2). Answers to pipelined requests leave together.</summary>
internal sealed class RegistryConnectionHandler(
    RegistryService registry, OpenConnections connections, ReplicationFeed replication, ILogger<RegistryConnectionHandler> logger) : ConnectionHandler
{
    private const int FlushThreshold = 64 * 1024; // bytes of answers held back while more requests are at hand

    public override async Task OnConnectedAsync(ConnectionContext connection)
    {
        OpenConnection open = connection.Features.GetRequiredFeature<OpenConnection>();
        var peer = new RegistryConnection(open.Source);
        try
        {
            await ServeAsync(connection, open, peer);
        }
        catch (Exception e) when (e is ConnectionResetException or ConnectionAbortedException or IOException or OperationCanceledException)
        {
            logger.LogDebug("connection of {Address} ended: {Reason}", open.Source.IpText(), e.Message);
        }
        finally
        {
            registry.Disconnect(peer);
        }
    }

    private async Task ServeAsync(ConnectionContext connection, OpenConnection open, RegistryConnection peer)
    {
        PipeReader input = connection.Transport.Input;
        PipeWriter output = connection.Transport.Output;
        bool midFrame = false;
        while (true)
        {
            if (!midFrame)
            {
                open.Arm(connections.Limits.IdleTimeout);
            }

            ReadResult read = await input.ReadAsync();
            ReadOnlySequence<byte> buffer = read.Buffer;
            bool any = false;
            RegistryFrameStatus status;
            while ((status = RegistryFrame.TryReadFrame(ref buffer, RegistryFrame.MaxRequestBody, out ReadOnlySequence<byte> body)) == RegistryFrameStatus.Complete)
            {
                open.Disarm(); // how long the answer takes is up to us, as when the store is away for a while
                byte[]? answer = await registry.HandleAsync(peer, body.ToArray());
                if (answer is null)
                {
                    await FlushAsync(output, open);
                    return;
                }

                if (peer.Replication != ReplicationForm.None)
                {
                    input.AdvanceTo(read.Buffer.End);
                    await replication.ServeAsync(connection, open, peer.Replication);
                    return;
                }

                RegistryFrame.Write(output, answer);
                any = true;
                if (peer.CloseRequested || output.UnflushedBytes >= FlushThreshold)
                {
                    await FlushAsync(output, open);
                }

                if (peer.CloseRequested)
                {
                    return;
                }
            }

            if (any && !await FlushAsync(output, open))
            {
                return;
            }

            if (status == RegistryFrameStatus.TooLarge || read.IsCompleted || read.IsCanceled)
            {
                return;
            }

            // The deadline of a frame runs from its first byte; further bytes do not extend it.
            bool partial = !buffer.IsEmpty;
            if (partial && (any || !midFrame))
            {
                open.Arm(connections.Limits.FrameTimeout);
            }

            midFrame = partial;
            input.AdvanceTo(buffer.Start, buffer.End);
        }
    }

    private async ValueTask<bool> FlushAsync(PipeWriter output, OpenConnection open)
    {
        open.Arm(connections.Limits.WriteTimeout);
        FlushResult flushed = await output.FlushAsync();
        open.Disarm();
        return !flushed.IsCompleted && !flushed.IsCanceled;
    }
}
