using System.Runtime.CompilerServices;

namespace Pilot.Engine.Streams;

/// <summary>What a connection waits for.</summary>
internal enum TimerKind
{
    Dial, DialLimit, Retransmit, Reorder, Ack, Hole, WindowProbe, KeepAlive, Liveness, Pacing, Fin, HeldFin, Truncation, Linger, TimeWait, Removal, Idle,
}

/// <summary>The deadlines of a connection. Setting one costs a store, the earliest is found by looking at all.</summary>
internal struct Timers
{
    private const int Count = (int)TimerKind.Idle + 1;

    [InlineArray(Count)]
    private struct Slots
    {
        private long _ticks;
    }

    private Slots _slots;

    /// <summary>No deadline at all.</summary>
    public static Timers Idle
    {
        get
        {
            Timers timers = default;
            timers.Clear();
            return timers;
        }
    }

    /// <summary>Earliest deadline.</summary>
    public readonly Instant Earliest
    {
        get
        {
            long earliest = long.MaxValue;
            foreach (long ticks in _slots)
            {
                earliest = Math.Min(earliest, ticks);
            }
            return new Instant(earliest);
        }
    }

    /// <summary>A deadline.</summary>
    public Instant this[TimerKind kind]
    {
        readonly get => new(_slots[(int)kind]);
        set => _slots[(int)kind] = value.Ticks;
    }

    /// <summary>A deadline is set.</summary>
    public readonly bool IsSet(TimerKind kind) => _slots[(int)kind] != long.MaxValue;

    /// <summary>Removes a deadline.</summary>
    public void Cancel(TimerKind kind) => _slots[(int)kind] = long.MaxValue;

    /// <summary>Removes one that has come and tells so.</summary>
    public bool TakeIfDue(TimerKind kind, Instant now)
    {
        if (_slots[(int)kind] > now.Ticks)
        {
            return false;
        }
        Cancel(kind);
        return true;
    }

    /// <summary>Removes all deadlines.</summary>
    public void Clear()
    {
        for (int i = 0; i < Count; i++)
        {
            _slots[i] = long.MaxValue;
        }
    }
}
