using System.Diagnostics;
using System.IO.Pipelines;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Connections;
using Pilot.Protocol.Registry;
using Pilot.Rendezvous.Registry;
using Pilot.Rendezvous.Storage;

namespace Pilot.Rendezvous.Server;

/// <summary>Sends a standby the whole state, again after each change, and a sign of life between (spec 03 section 10).</summary>
internal sealed class ReplicationFeed(RegistryService registry)
{
    private const int MaxSubscribers = 8;
    private const int ChunkBytes = 64 * 1024;
    private const int PauseFactor = 20; // taking the state holds the registry up: at most a twentieth of the time
    private static readonly TimeSpan LeastPause = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan HeartbeatInterval = TimeSpan.FromSeconds(15);
    private static readonly TimeSpan WriteTimeout = TimeSpan.FromSeconds(10);
    private static readonly byte[] Heartbeat = Encoding.ASCII.GetBytes("{\"type\":\"heartbeat\"}");
    private int _subscribers;

    /// <summary>Standbys connected now.</summary>
    public int Subscribers => Volatile.Read(ref _subscribers);

    /// <summary>Serves one standby until it goes, the server drains, or it takes nothing any more.</summary>
    public async Task ServeAsync(ConnectionContext connection, OpenConnection open, ReplicationForm form)
    {
        if (Interlocked.Increment(ref _subscribers) > MaxSubscribers)
        {
            Interlocked.Decrement(ref _subscribers);
            return;
        }

        open.Disarm(); // it may stay for ever; only its writes have deadlines
        using var ended = new CancellationTokenSource();
        Task reading = DiscardAsync(connection.Transport.Input, ended);
        try
        {
            await SendAllAsync(connection.Transport.Output, open, form, ended.Token);
        }
        catch (OperationCanceledException)
        {
            // The standby went, or the server stops: nothing is left to be said.
        }
        finally
        {
            Interlocked.Decrement(ref _subscribers);
            connection.Transport.Input.CancelPendingRead();
            await reading;
        }
    }

    private async Task SendAllAsync(PipeWriter output, OpenConnection open, ReplicationForm form, CancellationToken ended)
    {
        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding); // the whole state is long work: not on a thread that reads for others
        bool isPush = false;
        long sent = -1;
        long lastWrite = Stopwatch.GetTimestamp();
        while (true)
        {
            long start = Stopwatch.GetTimestamp();
            TimeSpan taken = TimeSpan.Zero;
            long changes = registry.Look(core => core.State.Changes);
            if (changes != sent)
            {
                Replica replica = registry.Look(Replica.Take);
                taken = Stopwatch.GetElapsedTime(start);
                await WriteAsync(output, open, Message(replica, form, isPush), ended);
                (sent, isPush, lastWrite) = (changes, true, Stopwatch.GetTimestamp());
            }
            else if (Stopwatch.GetElapsedTime(lastWrite) >= HeartbeatInterval)
            {
                await WriteAsync(output, open, Heartbeat, ended);
                lastWrite = Stopwatch.GetTimestamp();
            }

            TimeSpan pause = taken * PauseFactor;
            await Task.Delay(pause > LeastPause ? pause : LeastPause, ended);
        }
    }

    private static byte[] Message(Replica replica, ReplicationForm form, bool isPush)
    {
        (string member, byte[] state) = form == ReplicationForm.Events ? ("events", EventCodec.Encode(replica.Records)) : ("snapshot", ReferenceExport.Write(replica, isPush));
        return [.. Encoding.ASCII.GetBytes($"{{\"{member}\":"), .. state, .. ",\"type\":\"replication_snapshot\"}"u8];
    }

    private static async Task WriteAsync(PipeWriter output, OpenConnection open, byte[] body, CancellationToken ended)
    {
        var frame = new byte[sizeof(uint) + body.Length];
        System.Buffers.Binary.BinaryPrimitives.WriteUInt32BigEndian(frame, (uint)body.Length);
        body.CopyTo(frame, sizeof(uint));
        for (int at = 0; at < frame.Length; at += ChunkBytes)
        {
            open.Arm(WriteTimeout);
            FlushResult flushed = await output.WriteAsync(frame.AsMemory(at, Math.Min(ChunkBytes, frame.Length - at)), ended);
            if (flushed.IsCompleted || flushed.IsCanceled)
            {
                throw new OperationCanceledException();
            }
        }

        open.Disarm();
    }

    // A standby says nothing, or sends bytes so that a reference primary keeps it; the end of the connection is what matters.
    private static async Task DiscardAsync(PipeReader input, CancellationTokenSource ended)
    {
        try
        {
            while (true)
            {
                ReadResult read = await input.ReadAsync();
                input.AdvanceTo(read.Buffer.End);
                if (read.IsCompleted || read.IsCanceled)
                {
                    break;
                }
            }
        }
        catch (Exception e) when (e is IOException or ConnectionResetException or ConnectionAbortedException or OperationCanceledException or InvalidOperationException)
        {
            Debug.WriteLine(e.Message); // the same as an end
        }

        await ended.CancelAsync();
    }
}
