namespace Pilot.Engine;

/// <summary>Something that wants to be woken at a time. The queue owns <see cref="QueueIndex"/> and <see cref="QueuedAt"/>.</summary>
internal abstract class DeadlineItem
{
    internal int QueueIndex = -1;
    internal Instant QueuedAt = Instant.Never;

    /// <summary>When it wants to be woken now; the queue may still hold an earlier time.</summary>
    public abstract Instant Deadline { get; }
}

/// <summary>
/// A binary heap of deadlines. Moving a deadline later costs nothing: the item stays at its earlier place and is
/// put right when it comes up; only an earlier deadline moves it at once.
/// </summary>
internal sealed class DeadlineQueue
{
    private DeadlineItem[] _heap = new DeadlineItem[16];
    private int _count;

    public int Count => _count;

    /// <summary>The earliest queued time; may be early, never late.</summary>
    public Instant Next => _count == 0 ? Instant.Never : _heap[0].QueuedAt;

    /// <summary>Tells the queue that the item's deadline may have changed.</summary>
    public void Update(DeadlineItem item)
    {
        Instant deadline = item.Deadline;
        if (item.QueueIndex < 0)
        {
            if (deadline == Instant.Never)
            {
                return;
            }

            if (_count == _heap.Length)
            {
                Array.Resize(ref _heap, _count * 2);
            }

            item.QueuedAt = deadline;
            item.QueueIndex = _count;
            _heap[_count++] = item;
            SiftUp(item.QueueIndex);
        }
        else if (deadline < item.QueuedAt)
        {
            item.QueuedAt = deadline;
            SiftUp(item.QueueIndex);
        }
    }

    /// <summary>Takes the item out.</summary>
    public void Remove(DeadlineItem item)
    {
        int index = item.QueueIndex;
        if (index < 0)
        {
            return;
        }

        item.QueueIndex = -1;
        item.QueuedAt = Instant.Never;
        DeadlineItem last = _heap[--_count];
        _heap[_count] = null!;
        if (index < _count)
        {
            Place(last, index);
            SiftDown(index);
            SiftUp(last.QueueIndex);
        }
    }

    /// <summary>Takes out one item whose deadline has come, or returns null.</summary>
    public DeadlineItem? TakeDue(Instant now)
    {
        while (_count > 0 && _heap[0].QueuedAt <= now)
        {
            DeadlineItem item = _heap[0];
            Instant deadline = item.Deadline;
            if (deadline <= now)
            {
                Remove(item);
                return item;
            }

            if (deadline == Instant.Never)
            {
                Remove(item);
                continue;
            }

            item.QueuedAt = deadline;
            SiftDown(0);
        }

        return null;
    }

    private void Place(DeadlineItem item, int index)
    {
        _heap[index] = item;
        item.QueueIndex = index;
    }

    private void SiftUp(int index)
    {
        DeadlineItem item = _heap[index];
        while (index > 0)
        {
            int parent = (index - 1) / 2;
            if (_heap[parent].QueuedAt <= item.QueuedAt)
            {
                break;
            }

            Place(_heap[parent], index);
            index = parent;
        }

        Place(item, index);
    }

    private void SiftDown(int index)
    {
        DeadlineItem item = _heap[index];
        while (true)
        {
            int child = 2 * index + 1;
            if (child >= _count)
            {
                break;
            }

            if (child + 1 < _count && _heap[child + 1].QueuedAt < _heap[child].QueuedAt)
            {
                child++;
            }

            if (item.QueuedAt <= _heap[child].QueuedAt)
            {
                break;
            }

            Place(_heap[child], index);
            index = child;
        }

        Place(item, index);
    }
}
