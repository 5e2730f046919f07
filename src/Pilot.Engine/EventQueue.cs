namespace Pilot.Engine;

/// <summary>Events for the host, in order. What a stranger can cause is dropped when the host does not fetch.</summary>
internal sealed class EventQueue
{
    private readonly Queue<NodeEvent> _events = new();

    public int Count => _events.Count;

    public void Add(in NodeEvent nodeEvent)
    {
        if (_events.Count < TunnelConstants.MaxEvents)
        {
            _events.Enqueue(nodeEvent);
        }
    }

    /// <summary>An event that must not be lost: bounded by what the host itself started.</summary>
    public void AddCertain(in NodeEvent nodeEvent) => _events.Enqueue(nodeEvent);

    public bool TryTake(out NodeEvent nodeEvent) => _events.TryDequeue(out nodeEvent);
}
