namespace Pilot.Engine;

/// <summary>One peer's connections that may have something to send, in turn.</summary>
internal sealed class SendLane
{
    internal Queue<ConnectionEntry> Entries { get; } = new();

    /// <summary>Bytes that the lane has sent, on a clock that all lanes share: one that was idle takes up where the others are.</summary>
    internal long Time { get; set; }

    internal bool IsQueued { get; set; }
}

/// <summary>
/// Whose turn it is to send. The peer that has sent least goes first, and the connections of a peer take turns: a peer with many
/// connections or large segments takes no more of this node's socket than one with few. Start-time fair queueing; a turn costs
/// the logarithm of the number of peers with something to send, idle ones nothing.
/// </summary>
internal sealed class ReadyQueue
{
    private readonly PriorityQueue<SendLane, long> _lanes = new();
    private SendLane? _current;
    private long _time;

    /// <summary>Connections that wait for their turn.</summary>
    public int Count { get; private set; }

    /// <summary>A connection waits for its turn. It must not wait already.</summary>
    public void Enqueue(SendLane lane, ConnectionEntry entry)
    {
        Count++;
        lane.Entries.Enqueue(entry);
        if (!lane.IsQueued)
        {
            lane.IsQueued = true;
            lane.Time = Math.Max(lane.Time, _time);
            _lanes.Enqueue(lane, lane.Time);
        }
    }

    /// <summary>The connection whose turn it is. <see cref="Charge"/> ends the turn.</summary>
    public bool TryTake(out ConnectionEntry entry)
    {
        Charge(0); // a turn that a defect cut off
        if (!_lanes.TryDequeue(out SendLane? lane, out long time))
        {
            entry = null!;
            return false;
        }

        _time = time;
        Count--;
        _current = lane;
        entry = lane.Entries.Dequeue();
        return true;
    }

    /// <summary>The connection sent so many bytes in its turn.</summary>
    public void Charge(int bytes)
    {
        if (_current is not { } lane)
        {
            return;
        }

        _current = null;
        lane.Time += bytes;
        lane.IsQueued = lane.Entries.Count > 0;
        if (lane.IsQueued)
        {
            _lanes.Enqueue(lane, lane.Time);
        }
    }
}
