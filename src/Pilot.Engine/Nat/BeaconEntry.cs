using Pilot.Protocol;

namespace Pilot.Engine.Nat;

/// <summary>One beacon as this node knows it.</summary>
internal sealed class BeaconEntry(UdpEndpoint endpoint)
{
    private const int Tokens = 4;

    private readonly (ulong Token, Instant SentAt)[] _tokens = new (ulong, Instant)[Tokens];
    private int _next;

    public UdpEndpoint Endpoint { get; } = endpoint;

    /// <summary>Named by the user, not only by the registry.</summary>
    public bool IsConfigured { get; set; }

    public bool IsAnswering { get; set; }

    /// <summary>It echoed a token: only messages with one of our tokens count.</summary>
    public bool IsOurs { get; set; }

    public bool IsOverloaded { get; set; }

    public TimeSpan? Rtt { get; set; }

    /// <summary>Where it sees us.</summary>
    public UdpEndpoint? Observed { get; set; }

    public ulong Cookie { get; set; }

    public BeaconCapabilities Capabilities { get; set; }

    /// <summary>When we last signed for it; not repeated at once if that did not help.</summary>
    public Instant SignedAt { get; set; } = Instant.Origin;

    public Instant SentAt { get; private set; }

    public Instant AnsweredAt { get; set; } = Instant.Origin;

    public Instant NextDiscover { get; set; }

    /// <summary>Until then it must answer, or it counts as gone.</summary>
    public Instant JudgeAt { get; set; } = Instant.Never;

    public int Step { get; set; }

    public int Unanswered { get; set; }

    /// <summary>The token of the last DISCOVER.</summary>
    public ulong Token => _tokens[(_next + Tokens - 1) % Tokens].Token;

    /// <summary>Notes that a DISCOVER with this token leaves.</summary>
    public void Sent(Instant now, ulong token)
    {
        _tokens[_next] = (token, now);
        _next = (_next + 1) % Tokens;
        SentAt = now;
        Unanswered++;
    }

    /// <summary>Whether this is a token of ours, and when it was sent.</summary>
    public bool Knows(ulong token, out Instant sentAt)
    {
        sentAt = default;
        foreach (var known in _tokens)
        {
            if (token != 0 && known.Token == token)
            {
                sentAt = known.SentAt;
                return true;
            }
        }

        return false;
    }
}
