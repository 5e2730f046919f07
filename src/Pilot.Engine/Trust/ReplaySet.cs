namespace Pilot.Engine.Trust;

/// <summary>
/// Digests of trust messages already processed (spec 05 rule B4). Only messages with a good signature get here; when
/// it is full the oldest go, so that no sender can lock others out.
/// </summary>
internal sealed class ReplaySet(int capacity, int capacityPerSender, TimeSpan lifetime)
{
    private readonly LinkedList<Entry> _order = new();
    private readonly Dictionary<Key, LinkedListNode<Entry>> _entries = [];
    private readonly Dictionary<uint, Queue<LinkedListNode<Entry>>> _senders = [];

    public int Count => _entries.Count;

    /// <summary>Remembers a message; false when it was there already.</summary>
    public bool TryAdd(Instant now, uint sender, ReadOnlySpan<byte> digest)
    {
        Forget(now);
        var key = new Key(
            sender,
            System.Buffers.Binary.BinaryPrimitives.ReadUInt128BigEndian(digest),
            System.Buffers.Binary.BinaryPrimitives.ReadUInt128BigEndian(digest[16..]));
        if (_entries.ContainsKey(key))
        {
            return false;
        }

        if (!_senders.TryGetValue(sender, out Queue<LinkedListNode<Entry>>? own))
        {
            _senders[sender] = own = new Queue<LinkedListNode<Entry>>();
        }
        else if (own.Count >= capacityPerSender)
        {
            Remove(own.Peek());
        }

        LinkedListNode<Entry> node = _order.AddLast(new Entry(key, now));
        _entries[key] = node;
        own.Enqueue(node);
        _senders[sender] = own;
        if (_entries.Count > capacity)
        {
            Remove(_order.First!);
        }

        return true;
    }

    private void Forget(Instant now)
    {
        while (_order.First is { } first && now >= first.Value.At + lifetime)
        {
            Remove(first);
        }
    }

    // A node to be removed is always its sender's oldest: both orders are orders of arrival.
    private void Remove(LinkedListNode<Entry> node)
    {
        uint sender = node.Value.Key.Sender;
        _entries.Remove(node.Value.Key);
        _order.Remove(node);
        Queue<LinkedListNode<Entry>> own = _senders[sender];
        own.Dequeue();
        if (own.Count == 0)
        {
            _senders.Remove(sender);
        }
    }

    private readonly record struct Key(uint Sender, UInt128 High, UInt128 Low);

    private readonly record struct Entry(Key Key, Instant At);
}
