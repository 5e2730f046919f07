using System.Diagnostics.CodeAnalysis;

namespace Pilot.Benchmarks.Link;

/// <summary>Datagrams on their way in one direction, by arrival. Buffers are reused.</summary>
internal sealed class LinkQueue
{
    private const int SlotSize = 2048; // most datagrams; larger ones get a buffer of their own

    private readonly PriorityQueue<Slot, (long Arrival, long Order)> _queue = new();
    private readonly Stack<byte[]> _free = new();
    private long _order;

    public int Count => _queue.Count;

    /// <summary>Arrival of the next one; long.MaxValue when none is on its way.</summary>
    public long Next => _queue.TryPeek(out _, out var key) ? key.Arrival : long.MaxValue;

    public void Add(long arrival, ReadOnlySpan<byte> datagram)
    {
        var buffer = datagram.Length > SlotSize ? new byte[datagram.Length] : _free.TryPop(out var free) ? free : new byte[SlotSize];
        datagram.CopyTo(buffer);
        _queue.Enqueue(new Slot(buffer, datagram.Length), (arrival, _order++));
    }

    /// <summary>
    /// Fills a batch with datagrams that have arrived: equal sizes, the last may be shorter. Returns the bytes, 0 when none is due.
    /// </summary>
    public int TakeBatch(long now, Span<byte> batch, out int segmentSize)
    {
        segmentSize = 0;
        var length = 0;
        while (TryPeekDue(now, out var slot))
        {
            if (segmentSize == 0)
            {
                segmentSize = slot.Length;
            }
            else if (slot.Length > segmentSize || length + slot.Length > batch.Length)
            {
                break;
            }

            length += Move(slot, batch[length..]);
            if (slot.Length < segmentSize)
            {
                break;
            }
        }

        return length;
    }

    /// <summary>Takes one packet that has arrived. Returns its bytes, 0 when none is due.</summary>
    public int Take(long now, Span<byte> packet) => TryPeekDue(now, out var slot) ? Move(slot, packet) : 0;

    private int Move(Slot slot, Span<byte> destination)
    {
        slot.Buffer.AsSpan(0, slot.Length).CopyTo(destination);
        _queue.Dequeue();
        if (slot.Buffer.Length == SlotSize)
        {
            _free.Push(slot.Buffer);
        }

        return slot.Length;
    }

    private bool TryPeekDue(long now, [NotNullWhen(true)] out Slot? slot) => _queue.TryPeek(out slot, out var key) && key.Arrival <= now;

    private sealed record Slot(byte[] Buffer, int Length);
}
