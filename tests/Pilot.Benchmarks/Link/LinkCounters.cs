using System.Globalization;

namespace Pilot.Benchmarks.Link;

/// <summary>What one direction did since the link was set.</summary>
internal sealed class LinkCounters
{
    /// <summary>Delivered (or on their way).</summary>
    public long Packets { get; set; }

    /// <summary>IP packet bytes of those.</summary>
    public long Bytes { get; set; }

    /// <summary>Lost on the wire.</summary>
    public long Lost { get; set; }

    public long QueueDrops { get; set; }

    public long TooLarge { get; set; }

    public long Reordered { get; set; }

    /// <summary>Most packets that waited at once.</summary>
    public int DeepestQueue { get; set; }

    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"packets={Packets} bytes={Bytes} lost={Lost} queue-drops={QueueDrops} too-large={TooLarge} reordered={Reordered} deepest={DeepestQueue}");
}
