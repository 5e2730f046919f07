using Pilot.Engine.Streams;
using Pilot.Engine.Trust;
using Pilot.Protocol;

namespace Pilot.Engine.Tests.Simulation;

/// <summary>What uses a connection. Runs whenever something changed on it.</summary>
internal abstract class SimApp(SimNode node, Connection connection)
{
    public SimNode Node { get; } = node;

    public Connection Connection { get; } = connection;

    public void Handle(ConnectionSignals signals)
    {
        Run(Node.Now, signals);
        Node.Node!.Touch(Node.Now, Connection);
    }

    protected abstract void Run(Instant now, ConnectionSignals signals);
}

/// <summary>Position-dependent bytes: a block that is lost, doubled, moved or mixed with another stream's is noticed.</summary>
internal static class SimContent
{
    // Prime, so that no power of two of a buffer size maps a shifted stream onto itself.
    private const int Length = 65_521;
    private static readonly byte[] Block = Make();

    public static ReadOnlySpan<byte> At(uint salt, long offset, int most)
    {
        int start = (int)((offset + salt * 7919L) % Length);
        return Block.AsSpan(start, Math.Min(most, Length - start));
    }

    public static bool Matches(uint salt, long offset, ReadOnlySpan<byte> data)
    {
        while (!data.IsEmpty)
        {
            ReadOnlySpan<byte> expected = At(salt, offset, data.Length);
            if (!data[..expected.Length].SequenceEqual(expected))
            {
                return false;
            }

            offset += expected.Length;
            data = data[expected.Length..];
        }

        return true;
    }

    private static byte[] Make()
    {
        byte[] block = new byte[Length];
        new SimRandom(0x5EED).Fill(block);
        return block;
    }
}

/// <summary>One transfer as both ends see it.</summary>
internal sealed class SimTransfer(uint salt, long size, bool isEcho)
{
    public uint Salt { get; } = salt;

    public long Size { get; } = size;

    public bool IsEcho { get; } = isEcho;

    public long Written { get; set; }

    public long Received { get; set; }

    public long Returned { get; set; }

    public bool IsOpen { get; set; }

    public ConnectionError Error { get; set; }

    public string? ErrorDetail { get; set; }

    public Instant StartedAt { get; set; }

    public Instant OpenedAt { get; set; }

    public Instant FinishedAt { get; set; }

    /// <summary>Both directions ended cleanly and every byte was verified.</summary>
    public bool IsComplete { get; set; }

    public bool IsOver => IsComplete || Error != ConnectionError.None;

    public override string ToString() =>
        $"transfer {Salt}: size {Size}, written {Written}, received {Received}, returned {Returned}, open {IsOpen}, error {Error} {ErrorDetail}";
}

/// <summary>Dials, writes, ends its direction, and waits for the other end's (and for the echo).</summary>
internal sealed class SourceApp(SimNode node, Connection connection, SimTransfer transfer) : SimApp(node, connection)
{
    protected override void Run(Instant now, ConnectionSignals signals)
    {
        if ((signals & ConnectionSignals.Opened) != 0)
        {
            transfer.IsOpen = true;
            transfer.OpenedAt = now;
        }

        if ((signals & ConnectionSignals.Failed) != 0 && !transfer.IsComplete)
        {
            transfer.Error = Connection.Error;
            transfer.ErrorDetail = Connection.ErrorDetail;
            return;
        }

        if (!transfer.IsOpen)
        {
            return;
        }

        while (transfer.Written < transfer.Size && Connection.WriteCapacity > 0)
        {
            int most = (int)Math.Min(transfer.Size - transfer.Written, Connection.WriteCapacity);
            transfer.Written += Connection.Write(now, SimContent.At(transfer.Salt, transfer.Written, most));
        }

        if (transfer.Written == transfer.Size)
        {
            Connection.ShutdownWrite(now);
        }

        while (Connection.ReadableBytes > 0)
        {
            ReadOnlySpan<byte> data = Connection.PeekRead();
            Assert.True(transfer.IsEcho && transfer.Returned + data.Length <= transfer.Written && SimContent.Matches(transfer.Salt, transfer.Returned, data), $"wrong bytes came back at {transfer.Returned}: {transfer}");
            transfer.Returned += data.Length;
            Connection.Consume(now, data.Length);
        }

        if (Connection.IsReadEnded && !transfer.IsOver)
        {
            Assert.Equal(transfer.Size, transfer.Received);
            Assert.Equal(transfer.IsEcho ? transfer.Size : 0, transfer.Returned);
            transfer.IsComplete = true;
            transfer.FinishedAt = now;
            Connection.Close(now);
        }
    }
}

/// <summary>Reads and verifies; sends everything back if the transfer wants it; ends its direction after the peer's.</summary>
internal sealed class SinkApp(SimNode node, Connection connection, SimTransfer transfer) : SimApp(node, connection)
{
    protected override void Run(Instant now, ConnectionSignals signals)
    {
        while (Connection.ReadableBytes > 0 && (!transfer.IsEcho || Connection.WriteCapacity > 0))
        {
            ReadOnlySpan<byte> data = Connection.PeekRead();
            if (transfer.IsEcho)
            {
                data = data[..Math.Min(data.Length, Connection.WriteCapacity)];
            }

            Assert.True(transfer.Received + data.Length <= transfer.Written, $"more received than written: {transfer}");
            Assert.True(SimContent.Matches(transfer.Salt, transfer.Received, data), $"wrong bytes at {transfer.Received}: {transfer}");
            transfer.Received += data.Length;
            if (transfer.IsEcho)
            {
                Assert.Equal(data.Length, Connection.Write(now, data));
            }

            Connection.Consume(now, data.Length);
        }

        if (Connection.IsReadEnded)
        {
            Assert.True(Connection.Error != ConnectionError.None || transfer.Received == transfer.Size, $"clean end too early: {transfer}");
            Connection.ShutdownWrite(now);
        }
    }
}

/// <summary>Delivers one trust message to port 444 and ends when it is acknowledged.</summary>
internal sealed class TrustSendApp(SimNode node, Connection connection, TrustEffect.SendDirect effect) : SimApp(node, connection)
{
    private bool _isDone;

    protected override void Run(Instant now, ConnectionSignals signals)
    {
        if ((signals & ConnectionSignals.Opened) != 0)
        {
            Connection.Write(now, effect.Message);
            Connection.ShutdownWrite(now);
        }

        if ((signals & (ConnectionSignals.Failed | ConnectionSignals.WriteEnded)) != 0 && !_isDone)
        {
            _isDone = true;
            Node.Book.CompleteDirect(Node.Clock, effect.Token, (signals & ConnectionSignals.Failed) == 0);
            Connection.Close(now);
        }
    }
}

/// <summary>Receives one trust message.</summary>
internal sealed class TrustReceiveApp(SimNode node, Connection connection) : SimApp(node, connection)
{
    private readonly List<byte> _bytes = [];

    protected override void Run(Instant now, ConnectionSignals signals)
    {
        while (Connection.ReadableBytes > 0)
        {
            _bytes.AddRange(Connection.PeekRead());
            Connection.Consume(now, Connection.PeekRead().Length);
        }

        if (Connection.IsReadEnded)
        {
            Node.OnTrustMessage(Connection.RemoteAddress.Node, [.. _bytes]);
            Connection.Close(now);
        }
    }
}
