using System.Diagnostics;
using Pilot.Protocol;

namespace Pilot.Benchmarks.Engine;

/// <summary>Cost of the parts without sockets: nanoseconds and allocated bytes per operation, and the engine end to end in memory.</summary>
internal static class EngineBenchmarks
{
    private const int Repeats = 5;
    private const long Warm = 100_000_000; // bytes
    private const long Measured = 500_000_000; // bytes

    private static readonly int[] PayloadSizes = [64, 1152, 4096, 16_000];
    private static readonly int[] SegmentSizes = [1152, 4096, 16_000, 65_000];

    /// <summary>Prints the table; fills the keys.</summary>
    public static void Run(Action<string, double> record)
    {
        Console.WriteLine("operation                        ns       MB/s   B allocated");
        foreach (var size in PayloadSizes)
        {
            using var cipher = new TunnelCipher(new byte[32]);
            var frame = new byte[size + Packet.HeaderSize + TunnelFrame.EncryptedOverhead];
            ulong counter = 0;
            Loop("seal + open", "seal_open", size, record, () =>
            {
                cipher.SealInPlace(frame, size + Packet.HeaderSize, 1, 1, ++counter);
                return cipher.TryOpenInPlace(frame, out _);
            });
            var header = new PacketHeader { Protocol = PacketProtocol.Stream, Flags = PacketFlags.Ack };
            Loop("packet write + parse", "packet", size, record, () =>
                Packet.TryParse(frame.AsSpan(0, Packet.WriteHeader(frame, header, size)), out PacketHeader _, out ReadOnlySpan<byte> _));
        }

        foreach (var segment in SegmentSizes)
        {
            var result = MeasureNodes(segment);
            Console.WriteLine($"two nodes, {segment,6} B segments {result.Nanoseconds,8:0} {result.MegabytesPerSecond,10:0} {result.AllocatedPerPacket,10:0.000}   (per packet; largest payload {result.SegmentSize})");
            record($"engine_mb_s_{segment}", result.MegabytesPerSecond);
            record($"engine_alloc_bytes_per_packet_{segment}", result.AllocatedPerPacket);
        }
    }

    /// <summary>Median of several passes through one connection of two nodes.</summary>
    public static NodePairResult MeasureNodes(int segmentSize)
    {
        var pair = new NodePair(segmentSize);
        pair.Move(Warm);
        var results = new List<NodePairResult>();
        for (var i = 0; i < Repeats; i++)
        {
            var packets = pair.Packets;
            var allocated = GC.GetAllocatedBytesForCurrentThread();
            var start = Stopwatch.GetTimestamp();
            pair.Move(Measured);
            var seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
            packets = pair.Packets - packets;
            results.Add(new NodePairResult(
                Measured / 1e6 / seconds,
                (GC.GetAllocatedBytesForCurrentThread() - allocated) / (double)packets,
                seconds * 1e9 / packets,
                pair.Status.MaxSegmentPayload));
        }

        return results.OrderBy(r => r.MegabytesPerSecond).ElementAt(results.Count / 2) with { AllocatedPerPacket = results.Max(r => r.AllocatedPerPacket) };
    }

    private static void Loop(string name, string key, int size, Action<string, double> record, Func<bool> operation)
    {
        const int Operations = 200_000;
        var times = new List<double>();
        long allocated = 0;
        for (var repeat = 0; repeat <= Repeats; repeat++)
        {
            allocated = GC.GetAllocatedBytesForCurrentThread();
            var start = Stopwatch.GetTimestamp();
            for (var i = 0; i < Operations; i++)
            {
                if (!operation())
                {
                    throw new BenchmarkException($"{name} failed");
                }
            }

            times.Add(Stopwatch.GetElapsedTime(start).TotalNanoseconds / Operations);
            allocated = GC.GetAllocatedBytesForCurrentThread() - allocated;
        }

        var nanoseconds = Statistics.Median(times.Skip(1));
        Console.WriteLine($"{name,-20} {size,6} B {nanoseconds,8:0} {size * 1e3 / nanoseconds,10:0} {allocated / (double)Operations,10:0.000}");
        record($"{key}_ns_{size}", nanoseconds);
    }
}

/// <summary>What two nodes in memory did.</summary>
/// <param name="MegabytesPerSecond">Application bytes, both nodes on one core.</param>
/// <param name="AllocatedPerPacket">Worst pass.</param>
/// <param name="Nanoseconds">Per packet, ACKs included.</param>
/// <param name="SegmentSize">Largest payload at the end.</param>
internal readonly record struct NodePairResult(double MegabytesPerSecond, double AllocatedPerPacket, double Nanoseconds, int SegmentSize);
