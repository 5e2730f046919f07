using System.Buffers;
using System.IO.Pipelines;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging.Abstractions;
using Pilot.Net.Polling;
using Pilot.Rendezvous.Sockets;

namespace Pilot.Rendezvous.Tests.Sockets;

/// <summary>The transport under the registry's connections, by plain sockets on loopback.</summary>
public sealed class LoopTransportTests : IAsyncDisposable
{
    private const int Threshold = 32 * 1024; // at which a reader that is behind stops the socket
    private const int Most = 1000; // connections
    private const int MuchMore = 8 * 1024 * 1024; // than the kernel holds for a connection

    private static readonly PipeOptions Options = new(
        readerScheduler: PipeScheduler.Inline, writerScheduler: PipeScheduler.Inline, pauseWriterThreshold: Threshold, resumeWriterThreshold: Threshold / 2, useSynchronizationContext: false);

    private readonly LoopListener _listener;
    private readonly List<(Socket Client, ConnectionContext Connection)> _pairs = [];

    public LoopTransportTests()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Kestrel's own transport is used elsewhere");
        _listener = new LoopListener(new IPEndPoint(IPAddress.Loopback, 0), Options, Most, NullLogger.Instance);
    }

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public async ValueTask DisposeAsync()
    {
        foreach ((Socket client, ConnectionContext connection) in _pairs)
        {
            client.Dispose();
            await connection.DisposeAsync();
        }

        await _listener.UnbindAsync(Stop);
        await _listener.DisposeAsync();
    }

    [Fact]
    public async Task BytesGoBothWaysInOrderOnManyConnectionsAtOnce()
    {
        const int connections = 100;
        Task serving = ServeAsync(connections, async (connection, number) =>
        {
            var random = new Random(number);
            PipeReader input = connection.Transport.Input;
            while (true)
            {
                ReadResult read = await input.ReadAsync(Stop);
                if (random.Next(3) == 0)
                {
                    await Task.Yield(); // as a request that waits for a signature does
                }

                foreach (ReadOnlyMemory<byte> piece in read.Buffer)
                {
                    connection.Transport.Output.Write(piece.Span);
                }

                input.AdvanceTo(read.Buffer.End);
                await connection.Transport.Output.FlushAsync(Stop);
                if (read.IsCompleted)
                {
                    return;
                }
            }
        });
        await Task.WhenAll(Enumerable.Range(0, connections).Select(async i =>
        {
            using Socket client = await ConnectAsync();
            var random = new Random(i);
            byte[] sent = new byte[random.Next(1, 300_000)];
            random.NextBytes(sent);
            Task<byte[]> receiving = ReceiveAllAsync(client);
            for (int at = 0; at < sent.Length;)
            {
                int size = Math.Min(random.Next(1, 20_000), sent.Length - at);
                at += await client.SendAsync(sent.AsMemory(at, size), Stop);
            }

            client.Shutdown(SocketShutdown.Send);
            Assert.Equal(sent, await receiving);
        }));
        await serving;
    }

    [Fact]
    public async Task AReaderThatDoesNotWaitForAnythingElseRunsOnTheLoopsThread()
    {
        (Socket client, ConnectionContext connection) = await PairAsync();
        Task<string?> thread = ThreadOfReaderAsync(connection);
        await client.SendAsync(new byte[1], Stop);
        Assert.StartsWith("registry sockets", await thread);
    }

    [Fact]
    public async Task ATurnOfAConnectionIsShortBecauseAllOthersWaitForIt()
    {
        const int longestTurn = 1024; // bytes
        (Socket client, ConnectionContext connection) = await PairAsync();
        using var sent = new ManualResetEventSlim();
        Task<long> turn = TurnAsync();
        await client.SendAsync(new byte[1], Stop);
        await client.SendAsync(new byte[16 * longestTurn], Stop);
        sent.Set();
        Assert.InRange(await turn, 1, longestTurn);

        async Task<long> TurnAsync()
        {
            ReadResult first = await connection.Transport.Input.ReadAsync(Stop).ConfigureAwait(false);
            sent.Wait(Stop); // holds the loop's thread up
            connection.Transport.Input.AdvanceTo(first.Buffer.End);
            return (await connection.Transport.Input.ReadAsync(Stop).ConfigureAwait(false)).Buffer.Length;
        }
    }

    [Fact]
    public async Task AFlushWaitsForASlowPeerAndGoesOnElsewhereThanOnTheLoopsThread()
    {
        (Socket client, ConnectionContext connection) = await PairAsync();
        byte[] sent = Random(MuchMore);
        Task<string?> flushing = WriteAsync(connection, sent);
        Assert.False(flushing.IsCompleted);
        byte[] received = new byte[sent.Length];
        for (int at = 0; at < received.Length;)
        {
            at += await client.ReceiveAsync(received.AsMemory(at), Stop);
        }

        Assert.DoesNotContain("registry sockets", await flushing ?? "");
        Assert.Equal(sent, received);
    }

    [Fact]
    public async Task AReaderThatIsBehindStopsTheSocketAndLosesNothing()
    {
        (Socket client, ConnectionContext connection) = await PairAsync();
        byte[] sent = Random(MuchMore);
        Task sending = SendAllAsync(client, sent);
        PipeReader input = connection.Transport.Input;
        ReadResult read = await input.ReadAtLeastAsync(Threshold, Stop);
        Assert.False(sending.IsCompleted);
        var received = new ArrayBufferWriter<byte>(sent.Length);
        while (received.WrittenCount < sent.Length)
        {
            Assert.InRange(read.Buffer.Length, 1, Threshold + 1024); // one turn of the loop more
            foreach (ReadOnlyMemory<byte> piece in read.Buffer)
            {
                received.Write(piece.Span);
            }

            input.AdvanceTo(read.Buffer.End);
            if (received.WrittenCount < sent.Length)
            {
                read = await input.ReadAsync(Stop);
            }
        }

        await sending;
        Assert.True(sent.AsSpan().SequenceEqual(received.WrittenSpan));
    }

    [Fact]
    public async Task AnAnswerReachesAPeerThatSendsNoMore()
    {
        (Socket client, ConnectionContext connection) = await PairAsync();
        await client.SendAsync("ask"u8.ToArray(), Stop);
        client.Shutdown(SocketShutdown.Send);
        ReadResult read = await connection.Transport.Input.ReadAtLeastAsync(4, Stop);
        Assert.True(read.IsCompleted);
        Assert.Equal(3, read.Buffer.Length);
        await connection.Transport.Output.WriteAsync("answer"u8.ToArray(), Stop);
        await connection.DisposeAsync();
        Assert.Equal("answer"u8.ToArray(), await ReceiveAllAsync(client));
    }

    [Fact]
    public async Task AResetIsToldToTheReader()
    {
        (Socket client, ConnectionContext connection) = await PairAsync();
        ValueTask<ReadResult> read = connection.Transport.Input.ReadAsync(Stop);
        client.Close(0);
        await Assert.ThrowsAsync<ConnectionResetException>(async () => await read);
        await ClosedAsync(connection);
    }

    [Fact]
    public async Task AResetEndsAFlushThatWaits()
    {
        (Socket client, ConnectionContext connection) = await PairAsync();
        ValueTask<FlushResult> flush = connection.Transport.Output.WriteAsync(Random(MuchMore), Stop);
        Assert.False(flush.IsCompleted);
        ValueTask<ReadResult> read = connection.Transport.Input.ReadAsync(Stop);
        client.Close(0);
        Assert.True((await flush).IsCompleted); // this took the socket's error, so that the reader may see no more than an end
        try
        {
            Assert.True((await read).IsCompleted);
        }
        catch (ConnectionResetException e)
        {
            Assert.NotEmpty(e.Message);
        }

        await ClosedAsync(connection);
    }

    [Fact]
    public async Task AnAbortEndsTheReaderAndAFlushThatWaitsAndThePeersConnection()
    {
        (Socket client, ConnectionContext connection) = await PairAsync();
        ValueTask<FlushResult> flush = connection.Transport.Output.WriteAsync(Random(MuchMore), Stop);
        ValueTask<ReadResult> read = connection.Transport.Input.ReadAsync(Stop);
        var reason = new ConnectionAbortedException("deadline passed");
        connection.Abort(reason);
        connection.Abort(new ConnectionAbortedException("again"));
        Assert.True((await flush).IsCompleted);
        Assert.Same(reason, await Assert.ThrowsAsync<ConnectionAbortedException>(async () => await read));
        await ClosedAsync(connection);
        await connection.DisposeAsync();
        Assert.True((await ReceiveAllAsync(client)).Length < MuchMore);
    }

    [Fact]
    public async Task ACancelledFlushKeepsWhatItHasForTheNext()
    {
        (Socket client, ConnectionContext connection) = await PairAsync();
        byte[] sent = Random(MuchMore);
        using var cancel = new CancellationTokenSource();
        ValueTask<FlushResult> first = connection.Transport.Output.WriteAsync(sent, cancel.Token);
        Assert.False(first.IsCompleted);
        await cancel.CancelAsync();
        await Assert.ThrowsAsync<OperationCanceledException>(async () => await first);
        ValueTask<FlushResult> second = connection.Transport.Output.WriteAsync(new byte[] { 1, 2, 3 }, Stop);
        Task<byte[]> receiving = ReceiveAllAsync(client);
        Assert.False((await second).IsCompleted);
        await connection.DisposeAsync();
        Assert.Equal([.. sent, 1, 2, 3], await receiving);
    }

    [Fact]
    public async Task APendingFlushThatIsGivenUpSaysSo()
    {
        (Socket client, ConnectionContext connection) = await PairAsync();
        ValueTask<FlushResult> flush = connection.Transport.Output.WriteAsync(Random(MuchMore), Stop);
        connection.Transport.Output.CancelPendingFlush();
        Assert.True((await flush).IsCanceled);
    }

    [Fact]
    public async Task AFlushThatWasGivenUpIsNotWatchedForAnyLonger()
    {
        (Socket client, ConnectionContext connection) = await PairAsync();
        ValueTask<FlushResult> flush = connection.Transport.Output.WriteAsync(Random(MuchMore), Stop);
        connection.Transport.Output.CancelPendingFlush();
        Assert.True((await flush).IsCanceled);
        await PassTurnAsync(client, connection);
        Assert.Equal(Interest.Read, await WatchedAsync(client, connection)); // else the kernel reports room to write as soon as the peer reads, again and again
    }

    [Fact]
    public async Task ACancellationMeansTheFlushThatItWasGivenToAndNoLaterOne()
    {
        (Socket client, ConnectionContext connection) = await PairAsync();
        using var cancel = new CancellationTokenSource();
        ValueTask<FlushResult> first = connection.Transport.Output.WriteAsync(Random(MuchMore), cancel.Token);
        connection.Transport.Output.CancelPendingFlush();
        Assert.True((await first).IsCanceled);
        ValueTask<FlushResult> second = connection.Transport.Output.FlushAsync(Stop);
        await cancel.CancelAsync();
        Assert.False(second.IsCompleted);
        Task<byte[]> receiving = ReceiveAllAsync(client);
        Assert.False((await second).IsCanceled);
        await connection.DisposeAsync();
        Assert.Equal(MuchMore, (await receiving).Length);
    }

    [Fact]
    public async Task AnAbortEndsAConnectionWhoseSocketRestsBecauseItsReaderIsBehind()
    {
        (Socket client, ConnectionContext connection) = await PairAsync();
        Task sending = SendAllAsync(client, Random(MuchMore));
        ReadResult read = await connection.Transport.Input.ReadAtLeastAsync(Threshold, Stop);
        connection.Transport.Input.AdvanceTo(read.Buffer.Start); // it takes nothing, and is told once more what is there
        await connection.Transport.Input.ReadAsync(Stop);
        var reason = new ConnectionAbortedException("deadline passed");
        connection.Abort(reason);
        await ClosedAsync(connection);
        connection.Transport.Input.AdvanceTo(read.Buffer.Start);
        Assert.Same(reason, await Assert.ThrowsAsync<ConnectionAbortedException>(async () => await connection.Transport.Input.ReadAsync(Stop)));
        await connection.DisposeAsync();
        await Assert.ThrowsAsync<SocketException>(() => sending);
    }

    [Fact]
    public async Task AConnectionThatTheSystemCannotWatchEndsAndItsDescriptorIsClosed()
    {
        (Socket client, ConnectionContext connection) = await PairAsync();
        using Socket socket = await ConnectAsync();
        Assert.Equal(_listener.EndPoint, socket.RemoteEndPoint);
        Assert.NotNull(socket.LocalEndPoint);
        using (Microsoft.Win32.SafeHandles.SafeFileHandle file = File.OpenHandle("/dev/null"))
        {
            Assert.True(Duplicate(file, socket.SafeHandle) >= 0); // the poller refuses files
        }

        SocketLoop loop = ((LoopConnection)connection).Loop;
        var broken = new LoopConnection(socket, loop, 1000, Options);
        await Assert.ThrowsAsync<ConnectionAbortedException>(async () => await broken.Transport.Input.ReadAsync(Stop));
        Assert.True((await broken.Transport.Output.WriteAsync(new byte[1], Stop)).IsCompleted);
        await broken.DisposeAsync();
        await PassTurnAsync(client, connection);
        Assert.True(socket.SafeHandle.IsClosed);
    }

    [Fact]
    public async Task OneConnectionTooManyIsClosedAtOnceAndAPlaceIsFreeAgainWhenOneIsClosed()
    {
        await using var listener = new LoopListener(new IPEndPoint(IPAddress.Loopback, 0), Options, 1, NullLogger.Instance);
        using Socket first = await ConnectAsync(listener);
        ConnectionContext connection = (await listener.AcceptAsync(Stop))!;
        using Socket surplus = await ConnectAsync(listener);
        Task<ConnectionContext?> accepting = listener.AcceptAsync(Stop).AsTask();
        Assert.Empty(await ReceiveAllAsync(surplus));
        await connection.DisposeAsync();
        Assert.Empty(await ReceiveAllAsync(first)); // an end comes before the descriptor is closed
        Socket next;
        while (true)
        {
            next = await ConnectAsync(listener);
            Task<byte[]> end = ReceiveAllAsync(next);
            if (await Task.WhenAny(accepting, end) == accepting)
            {
                break;
            }
        }

        await (await accepting)!.DisposeAsync();
        next.Dispose();
        await listener.UnbindAsync(Stop);
    }

    [Fact]
    public async Task WhoeverWaitsWhenTheListenerEndsIsTold()
    {
        var listener = new LoopListener(new IPEndPoint(IPAddress.Loopback, 0), Options, Most, NullLogger.Instance);
        using Socket client = await ConnectAsync(listener);
        ConnectionContext connection = (await listener.AcceptAsync(Stop))!;
        ValueTask<ReadResult> read = connection.Transport.Input.ReadAsync(Stop);
        ValueTask<FlushResult> flush = connection.Transport.Output.WriteAsync(Random(MuchMore), Stop);
        Assert.False(flush.IsCompleted);
        await listener.DisposeAsync();
        await Assert.ThrowsAsync<ConnectionAbortedException>(async () => await read);
        Assert.True((await flush).IsCompleted);
        Assert.True((await connection.Transport.Output.WriteAsync(new byte[1], Stop)).IsCompleted); // and so is who comes later
        await connection.DisposeAsync();
    }

    [Fact]
    public async Task ConnectionsThatAreLeftAreClosedWithTheListener()
    {
        var listener = new LoopListener(new IPEndPoint(IPAddress.Loopback, 0), Options, Most, NullLogger.Instance);
        using Socket client = await ConnectAsync(listener);
        ConnectionContext connection = (await listener.AcceptAsync(Stop))!;
        await listener.UnbindAsync(Stop);
        Assert.Null(await listener.AcceptAsync(Stop));
        await listener.DisposeAsync();
        Assert.Empty(await ReceiveAllAsync(client));
        await connection.DisposeAsync(); // after the loop: nothing is left to be done
    }

    [Fact]
    public async Task ATakenAddressIsNamedAsSuch()
    {
        var transport = new LoopTransport(Options, Most, NullLogger.Instance);
        await Assert.ThrowsAsync<AddressInUseException>(async () => await transport.BindAsync(new LoopEndPoint((IPEndPoint)_listener.EndPoint), Stop));
        Assert.True(transport.CanBind(new LoopEndPoint(new IPEndPoint(IPAddress.Any, 1))));
        Assert.False(transport.CanBind(new IPEndPoint(IPAddress.Any, 1)));
    }

    [Fact]
    public async Task AnyAddressOfIPv6IsAnyOfIPv4AsWell()
    {
        await using var listener = new LoopListener(new IPEndPoint(IPAddress.IPv6Any, 0), Options, Most, NullLogger.Instance);
        using Socket client = await ConnectAsync(listener);
        ConnectionContext connection = (await listener.AcceptAsync(Stop))!;
        Assert.Equal(IPAddress.Loopback, ((IPEndPoint)connection.RemoteEndPoint!).Address.MapToIPv4());
        await connection.DisposeAsync();
        await listener.UnbindAsync(Stop);
    }

    // Whatever the loop was told before has been done after it.
    private static async Task PassTurnAsync(Socket client, ConnectionContext connection)
    {
        await WatchedAsync(client, connection);
        await WatchedAsync(client, connection);
    }

    // What the poller watches the connection for, as seen by the loop's own thread.
    private static async Task<Interest> WatchedAsync(Socket client, ConnectionContext connection)
    {
        Task<Interest> seeing = SeeAsync(connection);
        await client.SendAsync(new byte[1], Stop);
        return await seeing;

        static async Task<Interest> SeeAsync(ConnectionContext connection)
        {
            ReadResult read = await connection.Transport.Input.ReadAsync(Stop).ConfigureAwait(false);
            Interest watched = ((LoopConnection)connection).Watched;
            connection.Transport.Input.AdvanceTo(read.Buffer.End);
            return watched;
        }
    }

    private static async Task<string?> ThreadOfReaderAsync(ConnectionContext connection)
    {
        ReadResult read = await connection.Transport.Input.ReadAsync(Stop).ConfigureAwait(false);
        connection.Transport.Input.AdvanceTo(read.Buffer.End);
        return Thread.CurrentThread.Name;
    }

    private static async Task<string?> WriteAsync(ConnectionContext connection, byte[] bytes)
    {
        FlushResult flushed = await connection.Transport.Output.WriteAsync(bytes, Stop).ConfigureAwait(false);
        Assert.False(flushed.IsCompleted);
        return Thread.CurrentThread.Name;
    }

    private static async Task ClosedAsync(ConnectionContext connection)
    {
        var closed = new TaskCompletionSource();
        using (connection.ConnectionClosed.Register(closed.SetResult))
        {
            await closed.Task.WaitAsync(Stop);
        }
    }

    private static byte[] Random(int size)
    {
        byte[] bytes = new byte[size];
        new Random(size).NextBytes(bytes);
        return bytes;
    }

    private static async Task SendAllAsync(Socket client, byte[] bytes)
    {
        for (int at = 0; at < bytes.Length;)
        {
            at += await client.SendAsync(bytes.AsMemory(at), Stop);
        }
    }

    private static async Task<byte[]> ReceiveAllAsync(Socket client)
    {
        var received = new ArrayBufferWriter<byte>();
        try
        {
            int count;
            while ((count = await client.ReceiveAsync(received.GetMemory(64 * 1024), Stop)) > 0)
            {
                received.Advance(count);
            }
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.ConnectionReset)
        {
            // An end as well.
            return received.WrittenSpan.ToArray();
        }

        return received.WrittenSpan.ToArray();
    }

    private async Task ServeAsync(int connections, Func<ConnectionContext, int, Task> serve)
    {
        var tasks = new List<Task>();
        for (int i = 0; i < connections; i++)
        {
            ConnectionContext connection = (await _listener.AcceptAsync(Stop))!;
            int number = i;
            tasks.Add(Task.Run(
                async () =>
                {
                    await serve(connection, number);
                    await connection.DisposeAsync();
                },
                Stop));
        }

        await Task.WhenAll(tasks);
    }

    [DllImport("libc", EntryPoint = "dup2", SetLastError = true)]
    private static extern int Duplicate(SafeHandle from, SafeHandle to);

    private Task<Socket> ConnectAsync() => ConnectAsync(_listener);

    private static async Task<Socket> ConnectAsync(LoopListener listener)
    {
        var client = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await client.ConnectAsync(new IPEndPoint(IPAddress.Loopback, ((IPEndPoint)listener.EndPoint).Port), Stop);
        return client;
    }

    private async Task<(Socket Client, ConnectionContext Connection)> PairAsync()
    {
        Socket client = await ConnectAsync();
        _pairs.Add((client, (await _listener.AcceptAsync(Stop))!));
        return _pairs[^1];
    }
}
