using Pilot.Protocol;

namespace Pilot.Engine.Paths;

internal enum PathState : byte
{
    /// <summary>Seen or told, not proven.</summary>
    Candidate,

    /// <summary>A ping sent on it was answered (spec 01 section 15.2 item 3).</summary>
    Confirmed,

    /// <summary>Its pings stopped being answered.</summary>
    Failed,
}

/// <summary>One way to a peer: an address of its own, or a beacon.</summary>
internal sealed class PeerPath(PathKind kind, UdpEndpoint endpoint, Instant addedAt)
{
    /// <summary>Pings of one burst after its start; not denser than one per 100 ms (spec 01 section 15.2 item 2).</summary>
    private static readonly TimeSpan[] ProbeOffsets =
    [
        TimeSpan.Zero, TimeSpan.FromMilliseconds(100), TimeSpan.FromMilliseconds(250), TimeSpan.FromMilliseconds(450), TimeSpan.FromMilliseconds(850),
    ];

    private Instant _burstStart;
    private int _burstStep = -1;

    public PathKind Kind { get; } = kind;

    /// <summary>The peer's endpoint; for a relay the beacon's.</summary>
    public UdpEndpoint Endpoint { get; } = endpoint;

    public Instant AddedAt { get; } = addedAt;

    public PathState State { get; set; }

    /// <summary>The registry named it: not pushed out by candidates that anyone can cause.</summary>
    public bool IsRegistered { get; set; }

    public TimeSpan? Rtt { get; private set; }

    public Instant LastPong { get; private set; } = Instant.Origin;

    public Instant LastSent { get; set; } = addedAt;

    public Instant LastReceived { get; set; } = Instant.Origin;

    public int Unanswered { get; private set; }

    /// <summary>The search for the largest payload that this path carries.</summary>
    public SegmentSizeSearch SegmentSize { get; } = new();

    /// <summary>Bytes per packet payload that this path is known to carry.</summary>
    public int MaxPayload => SegmentSize.Size;

    public bool IsProbing => _burstStep >= 0;

    /// <summary>When the next ping of the burst, or its verdict, is due.</summary>
    public Instant ProbeDeadline
    {
        get
        {
            if (_burstStep < 0)
            {
                return Instant.Never;
            }

            return _burstStep < ProbeOffsets.Length
                ? _burstStart + ProbeOffsets[_burstStep]
                : _burstStart + ProbeOffsets[^1] + VerdictWait;
        }
    }

    public PathStatus Status => new(Kind, Endpoint, Rtt, State == PathState.Confirmed);

    /// <summary>The path with its counters.</summary>
    public PathDetail Detail(Instant now, bool isUsed) => new(
        Status, isUsed, State == PathState.Failed, null, 0, 0, LastReceived == Instant.Origin ? null : now - LastReceived);

    private TimeSpan VerdictWait
    {
        get
        {
            TimeSpan wait = (Rtt ?? TimeSpan.Zero) * 3;
            return wait > TunnelConstants.MinPongWait ? wait : TunnelConstants.MinPongWait;
        }
    }

    /// <summary>Starts a burst of pings, unless one is running.</summary>
    public void StartProbing(Instant now)
    {
        if (_burstStep < 0)
        {
            _burstStart = now;
            _burstStep = 0;
            Unanswered = 0;
        }
    }

    /// <summary>True if a ping is to be sent now; false if the burst ended unanswered (the path is failed then) or nothing is due.</summary>
    public bool TakeProbe(Instant now)
    {
        if (_burstStep < 0 || now < ProbeDeadline)
        {
            return false;
        }

        if (_burstStep == ProbeOffsets.Length)
        {
            _burstStep = -1;
            State = PathState.Failed;
            return false;
        }

        _burstStep++;
        Unanswered++;
        return true;
    }

    public void OnPong(Instant now, TimeSpan sample)
    {
        _burstStep = -1;
        Unanswered = 0;
        LastPong = now;
        State = PathState.Confirmed;
        Rtt = Rtt is { } smoothed ? smoothed + (sample - smoothed) / 8 : sample;
    }
}
