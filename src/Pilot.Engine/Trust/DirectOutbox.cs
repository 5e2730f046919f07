namespace Pilot.Engine.Trust;

internal readonly record struct DirectMessage(long Token, uint NodeId, byte[] Message, bool ExistingTunnelOnly);

/// <summary>
/// Direct messages: one in flight per peer, and at most one behind it, the latest. A message for the standing tunnel
/// (a revoke) waits for nothing and takes back what waits.
/// </summary>
internal sealed class DirectOutbox
{
    private readonly Dictionary<uint, Slot> _slots = [];
    private readonly Dictionary<long, uint> _inFlight = [];
    private readonly HashSet<long> _urgent = [];
    private readonly Queue<DirectMessage> _ready = new();

    public int Count => _slots.Count;

    public void Add(DirectMessage message)
    {
        bool isBusy = _slots.TryGetValue(message.NodeId, out Slot? slot);
        if (message.ExistingTunnelOnly)
        {
            slot?.Next = null;
            _urgent.Add(message.Token);
            _ready.Enqueue(message);
            return;
        }

        if (isBusy)
        {
            slot!.Next = message;
            return;
        }

        _slots[message.NodeId] = new Slot();
        Start(message);
    }

    public bool TryTake(out DirectMessage message) => _ready.TryDequeue(out message);

    /// <summary>A message was delivered or given up: the next one of that peer may go.</summary>
    public bool Complete(long token)
    {
        if (!_inFlight.Remove(token, out uint nodeId))
        {
            return _urgent.Remove(token);
        }

        Slot slot = _slots[nodeId];
        if (slot.Next is { } next)
        {
            slot.Next = null;
            Start(next);
        }
        else
        {
            _slots.Remove(nodeId);
        }

        return true;
    }

    private void Start(DirectMessage message)
    {
        _inFlight[message.Token] = message.NodeId;
        _ready.Enqueue(message);
    }

    private sealed class Slot
    {
        public DirectMessage? Next { get; set; }
    }
}
