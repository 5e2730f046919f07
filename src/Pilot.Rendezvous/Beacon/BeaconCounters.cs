namespace Pilot.Rendezvous.Beacon;

/// <summary>What a beacon did and what it dropped, since its start. Written by its thread, read by any.</summary>
public sealed class BeaconCounters
{
    private long _relayed;
    private long _relayedBytes;
    private long _droppedUnknown;
    private long _droppedSource;
    private long _droppedQuota;
    private long _droppedOverload;
    private long _droppedUnverified;
    private long _limited;

    /// <summary>Datagrams relayed to a node or to another beacon.</summary>
    public long Relayed => Interlocked.Read(ref _relayed);

    /// <summary>Bytes of tunnel frames relayed.</summary>
    public long RelayedBytes => Interlocked.Read(ref _relayedBytes);

    /// <summary>To relay, but nobody knows the destination.</summary>
    public long DroppedUnknown => Interlocked.Read(ref _droppedUnknown);

    /// <summary>To relay, but not from the address of the sender that it names.</summary>
    public long DroppedSource => Interlocked.Read(ref _droppedSource);

    /// <summary>To relay, but the sender has used up its quota.</summary>
    public long DroppedQuota => Interlocked.Read(ref _droppedQuota);

    /// <summary>To relay, but too much waits.</summary>
    public long DroppedOverload => Interlocked.Read(ref _droppedOverload);

    /// <summary>Not sent, because the address has not shown that it is its owner's, and got as much as it sent.</summary>
    public long DroppedUnverified => Interlocked.Read(ref _droppedUnverified);

    /// <summary>DISCOVER, PUNCH_REQUEST and probes over the limits.</summary>
    public long Limited => Interlocked.Read(ref _limited);

    internal void CountRelayed(int datagrams, long bytes)
    {
        Interlocked.Add(ref _relayed, datagrams);
        Interlocked.Add(ref _relayedBytes, bytes);
    }

    internal void CountUnknown(int datagrams) => Interlocked.Add(ref _droppedUnknown, datagrams);

    internal void CountSource(int datagrams) => Interlocked.Add(ref _droppedSource, datagrams);

    internal void CountQuota(int datagrams) => Interlocked.Add(ref _droppedQuota, datagrams);

    internal void CountOverload(int datagrams) => Interlocked.Add(ref _droppedOverload, datagrams);

    internal void CountUnverified(int datagrams) => Interlocked.Add(ref _droppedUnverified, datagrams);

    internal void CountLimited() => Interlocked.Increment(ref _limited);
}
