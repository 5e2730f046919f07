using System.Buffers;
using Pilot.Protocol;

namespace Pilot.Rendezvous.Beacon;

/// <summary>One run of equal-size datagrams of one flow that waits to be sent; the bytes belong to the queue until it is returned.</summary>
/// <param name="Destination">Where to.</param>
/// <param name="Sender">Node that sent it.</param>
/// <param name="Buffer">Pooled bytes.</param>
/// <param name="Length">How many of them.</param>
/// <param name="SegmentSize">Size of each datagram; the last may be shorter.</param>
internal readonly record struct RelayItem(UdpEndpoint Destination, uint Sender, byte[] Buffer, int Length, int SegmentSize)
{
    public int Datagrams => (Length + SegmentSize - 1) / SegmentSize;
}

/// <summary>
/// What could not be sent at once: one queue per (sender, destination), served in turn by bytes (deficit round robin), so that a pair that
/// sends much delays and displaces nobody but itself. When there is no room, the longest queue loses. Order inside a flow is kept.
/// </summary>
internal sealed class RelayQueue(int capacity)
{
    private const int Quantum = 16 * 1024; // bytes per turn
    private const int MaxFlows = 16_384;

    private readonly Dictionary<ulong, Flow> _flows = [];
    private readonly LinkedList<Flow> _turns = new();
    private readonly PriorityQueue<Flow, int> _longest = new(); // by negative bytes at the time of entry; stale entries are skipped

    /// <summary>Bytes that wait.</summary>
    public int Bytes { get; private set; }

    public bool IsEmpty => _turns.Count == 0;

    /// <summary>Takes a copy of the bytes. What had to give way for it is told by <paramref name="dropped"/>: sender and datagrams.</summary>
    public void Enqueue(ulong flow, UdpEndpoint destination, uint sender, ReadOnlySpan<byte> data, int segmentSize, Action<uint, int> dropped)
    {
        if (!_flows.TryGetValue(flow, out Flow? queue))
        {
            if (_flows.Count >= MaxFlows)
            {
                dropped(sender, (data.Length + segmentSize - 1) / segmentSize);
                return;
            }

            _flows[flow] = queue = new Flow(flow);
            _turns.AddLast(queue);
        }

        byte[] buffer = ArrayPool<byte>.Shared.Rent(data.Length);
        data.CopyTo(buffer);
        queue.Items.Enqueue(new RelayItem(destination, sender, buffer, data.Length, segmentSize));
        queue.Bytes += data.Length;
        Bytes += data.Length;
        _longest.Enqueue(queue, -queue.Bytes);
        while (Bytes > capacity && Longest() is { } longest)
        {
            RelayItem item = Take(longest);
            dropped(item.Sender, item.Datagrams);
            Return(item);
        }
    }

    /// <summary>The next run to send; to be handed back by <see cref="Return"/>.</summary>
    public bool TryDequeue(out RelayItem item)
    {
        while (_turns.First is { } first)
        {
            Flow flow = first.Value;
            if (flow.Items.Count == 0)
            {
                _turns.RemoveFirst();
                _flows.Remove(flow.Key);
                continue;
            }

            if (flow.Credit <= 0)
            {
                flow.Credit += Quantum;
                _turns.RemoveFirst();
                _turns.AddLast(first);
                continue;
            }

            item = Take(flow);
            flow.Credit -= item.Length;
            return true;
        }

        _longest.Clear();
        item = default;
        return false;
    }

    public static void Return(RelayItem item) => ArrayPool<byte>.Shared.Return(item.Buffer);

    private RelayItem Take(Flow flow)
    {
        RelayItem item = flow.Items.Dequeue();
        flow.Bytes -= item.Length;
        Bytes -= item.Length;
        return item;
    }

    private Flow? Longest()
    {
        while (_longest.TryDequeue(out Flow? flow, out int priority))
        {
            if (flow.Bytes == 0)
            {
                continue;
            }

            if (flow.Bytes != -priority)
            {
                // Shorter than when it was noted: it takes the place that it has now.
                if (_longest.TryPeek(out _, out int next) && -flow.Bytes > next)
                {
                    _longest.Enqueue(flow, -flow.Bytes);
                    continue;
                }
            }

            _longest.Enqueue(flow, -flow.Bytes);
            return flow;
        }

        return null;
    }

    private sealed class Flow(ulong key)
    {
        public ulong Key { get; } = key;

        public Queue<RelayItem> Items { get; } = new();

        public int Bytes { get; set; }

        public int Credit { get; set; } = Quantum;
    }
}
