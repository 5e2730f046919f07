namespace Pilot.Engine.Streams;

/// <summary>What happened on a connection since the last <see cref="Connection.TakeSignals"/>.</summary>
[Flags]
public enum ConnectionSignals
{
    /// <summary>Nothing.</summary>
    None = 0,
    /// <summary>The dial succeeded.</summary>
    Opened = 1,
    /// <summary>New bytes can be read.</summary>
    Readable = 2,
    /// <summary>A write that was cut short can go on (or fails now: check <see cref="Connection.IsWriteClosed"/>).</summary>
    Writable = 4,
    /// <summary>The reading direction is over; what is buffered can still be read. Clean only if <see cref="Connection.Error"/> is None.</summary>
    ReadEnded = 8,
    /// <summary>Everything written, and the end of our direction, has been acknowledged.</summary>
    WriteEnded = 16,
    /// <summary><see cref="Connection.Error"/> was set.</summary>
    Failed = 32,
    /// <summary>The connection entered TIME_WAIT: over for applications and limits, its tuple is still held.</summary>
    Finished = 64,
    /// <summary>The entry may be removed from every table.</summary>
    Closed = 128,
}
