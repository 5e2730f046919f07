using Pilot.Protocol;

namespace Pilot.Engine.Tunnels;

/// <summary>
/// What the registry told about other nodes: key, networks, trust pair. One question in flight per node and kind,
/// refused and failed ones remembered for a few seconds, capped (spec 00 section 8).
/// </summary>
internal sealed class NodeDirectory
{
    private readonly Dictionary<uint, Entry> _entries = [];
    private readonly Queue<uint> _order = new();

    public int Count => _entries.Count;

    public Entry? Find(uint nodeId) => _entries.GetValueOrDefault(nodeId);

    /// <summary>Forgets all refusals of <c>resolve</c>.</summary>
    public void UnblockResolves()
    {
        foreach (Entry entry in _entries.Values)
        {
            entry.Resolve.Unblock();
        }
    }

    public Entry GetOrAdd(uint nodeId)
    {
        if (_entries.TryGetValue(nodeId, out Entry? entry))
        {
            return entry;
        }

        while (_entries.Count >= TunnelConstants.MaxDirectoryEntries && _order.TryDequeue(out uint oldest))
        {
            _entries.Remove(oldest);
        }

        entry = new Entry();
        _entries.Add(nodeId, entry);
        _order.Enqueue(nodeId);
        return entry;
    }

    /// <summary>What is known about one node.</summary>
    internal sealed class Entry
    {
        /// <summary>The registry's Ed25519 key; null if unknown.</summary>
        public byte[]? PublicKey { get; set; }

        /// <summary>It was seen to run our software.</summary>
        public bool IsOurs { get; set; }

        public IReadOnlyList<ushort> Networks { get; set; } = [];

        /// <summary>Until when the networks are believed without asking again.</summary>
        public Instant FreshUntil { get; set; } = Instant.Origin;

        public Question Lookup { get; } = new();

        public Question Resolve { get; } = new();

        public Question TrustCheck { get; } = new();

        public bool HasRegistryTrust { get; set; }

        public Instant TrustFreshUntil { get; set; } = Instant.Origin;

        public Instant KeyAskedAt { get; set; } = Instant.Origin;

        /// <summary>The latest valid-looking PILA that came before the key was known.</summary>
        public PendingExchange? Pending { get; set; }
    }

    /// <summary>One kind of question about one node.</summary>
    internal sealed class Question
    {
        private static readonly TimeSpan AnswerLimit = TimeSpan.FromSeconds(15);
        private Instant _askedAt = Instant.Origin;
        private bool _inFlight;
        private Instant _notBefore = Instant.Origin;

        /// <summary>Whether to ask now; notes that it was asked.</summary>
        public bool TryAsk(Instant now)
        {
            if ((_inFlight && now - _askedAt < AnswerLimit) || now < _notBefore)
            {
                return false;
            }

            _inFlight = true;
            _askedAt = now;
            return true;
        }

        /// <summary>Forgets a refusal: the user asks, or trust changed, so the answer may be another one now.</summary>
        public void Unblock() => _notBefore = Instant.Origin;

        public bool IsInFlight => _inFlight;

        public bool IsBlocked(Instant now) => now < _notBefore;

        public void Complete(Instant now, bool isPositive)
        {
            _inFlight = false;
            _notBefore = isPositive ? now : now + TunnelConstants.NegativeLifetime;
        }
    }

    internal sealed record PendingExchange(byte[] Frame, PathKind Kind, UdpEndpoint Source, Instant At);
}
