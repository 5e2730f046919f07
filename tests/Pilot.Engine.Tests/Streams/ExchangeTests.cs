using Pilot.Engine.Streams;

namespace Pilot.Engine.Tests.Streams;

/// <summary>Requests and answers cost a round trip and nothing else: no timer of 25 or 40 ms stands between them, whatever their sizes and however they are written.</summary>
public sealed class ExchangeTests
{
    private static readonly TimeSpan Latency = TimeSpan.FromMilliseconds(5);
    private static TimeSpan Slack(int size) => TimeSpan.FromMicroseconds(2000 + size); // several segments are paced

    /// <param name="size">Bytes each way.</param>
    /// <param name="piece">Bytes per write.</param>
    [Theory]
    [InlineData(1, 1)]
    [InlineData(2, 1)]
    [InlineData(100, 7)]
    [InlineData(1151, 1151)]
    [InlineData(1152, 1152)]
    [InlineData(1153, 1153)]
    [InlineData(1153, 10)]
    [InlineData(2305, 1152)]
    [InlineData(5000, 10)]
    [InlineData(11_520, 11_519)]
    public void An_exchange_takes_a_round_trip(int size, int piece)
    {
        ConnectionPair pair = ConnectionPair.Ours(link: new Link { Latency = Latency });
        ConnectionHost right = (ConnectionHost)pair.Right;
        pair.RunUntil(() => right.Connection is not null && pair.LeftConnection.State == ConnectionState.Established);
        pair.Run(Latency * 2);
        for (int round = 0; round < 60; round++) // beyond the segments that are acknowledged one by one
        {
            Instant begin = pair.Now;
            Pass(pair, pair.LeftConnection, right.Connection!, size, piece);
            Pass(pair, right.Connection!, pair.LeftConnection, size, piece);
            Assert.True(pair.Now - begin <= (Latency * 2) + Slack(size), $"exchange {round} took {pair.Now - begin}");
        }
    }

    /// <summary>A reference acknowledges a lone segment after 40 ms; the second write must not wait for that.</summary>
    [Theory]
    [InlineData(1, 1)]
    [InlineData(1153, 10)]
    [InlineData(2305, 1152)]
    public void A_reference_answers_after_a_round_trip(int size, int piece)
    {
        (ConnectionPair pair, ReferencePeer reference) = ConnectionPair.WithReference(link: new Link { Latency = Latency });
        pair.RunUntil(() => reference.IsEstablished && pair.LeftConnection.State == ConnectionState.Established);
        pair.Run(Latency * 2);
        int delivered = 0;
        reference.OnRead = data =>
        {
            if ((delivered += data.Length) % size == 0)
            {
                reference.Write(pair.Now, new byte[size]);
            }
        };
        for (int round = 1; round <= 60; round++)
        {
            Instant begin = pair.Now;
            for (int at = 0; at < size; at += piece)
            {
                pair.LeftConnection.Write(pair.Now, new byte[Math.Min(piece, size - at)]);
            }
            pair.RunUntil(() => pair.LeftConnection.ReadableBytes == size);
            pair.LeftConnection.Consume(pair.Now, size);
            Assert.True(pair.Now - begin <= (Latency * 2) + Slack(size), $"exchange {round} took {pair.Now - begin}");
        }
    }

    private static void Pass(ConnectionPair pair, Connection from, Connection to, int size, int piece)
    {
        for (int at = 0; at < size; at += piece)
        {
            Assert.Equal(Math.Min(piece, size - at), from.Write(pair.Now, new byte[Math.Min(piece, size - at)]));
        }
        pair.RunUntil(() => to.ReadableBytes == size);
        while (to.ReadableBytes > 0)
        {
            to.Consume(pair.Now, to.PeekRead().Length);
        }
    }
}
