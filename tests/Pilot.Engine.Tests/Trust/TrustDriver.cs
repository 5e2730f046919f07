using Pilot.Engine.Trust;
using Pilot.Protocol;
using Pilot.Protocol.Trust;

namespace Pilot.Engine.Tests.Trust;

/// <summary>A book, its clock and everything that it told its host.</summary>
internal sealed class TrustDriver
{
    public static readonly DateTimeOffset Start = DateTimeOffset.FromUnixTimeSeconds(1_775_001_600);

    private readonly List<TrustEffect> _effects = [];

    public TrustDriver(uint nodeId, Identity identity, TrustBook? book = null, DateTimeOffset? start = null)
    {
        Identity = identity;
        Clock = new TrustClock(new Instant(TimeSpan.TicksPerDay), start ?? Start);
        Book = book ?? new TrustBook(identity);
        Book.Registered(nodeId);
        Drain();
        _effects.Clear();
    }

    public Identity Identity { get; }

    public TrustClock Clock { get; private set; }

    public TrustBook Book { get; }

    public uint NodeId => Book.NodeId;

    /// <summary>Effects since the last call.</summary>
    public List<TrustEffect> Take()
    {
        Drain();
        List<TrustEffect> result = [.. _effects];
        _effects.Clear();
        return result;
    }

    public List<TrustEffect> Take(Action action)
    {
        Take();
        action();
        return Take();
    }

    public IReadOnlyList<string> Events(Action action) => [.. Take(action).OfType<TrustEffect.Raise>().Select(raise => raise.Event.Name)];

    public TrustCommandResult Finished(long token, IEnumerable<TrustEffect> effects) =>
        Assert.Single(effects.OfType<TrustEffect.CommandFinished>(), finished => finished.Token == token).Result;

    public void Wait(TimeSpan span)
    {
        DateTimeOffset wall = Clock.Wall + span;
        Instant end = Clock.Now + span;
        while (Book.NextDeadline is var next && next <= end)
        {
            Instant at = Instant.Max(next, Clock.Now);
            Clock = new TrustClock(at, wall - (end - at));
            Book.Advance(Clock);
            Drain();
            if (Book.NextDeadline <= at)
            {
                break;
            }
        }

        Clock = new TrustClock(end, wall);
        Book.Advance(Clock);
        Drain();
    }

    public MessageVerdict Receive(TrustDriver sender, TrustMessageType type, string text = "") =>
        Book.ReceiveDirect(Clock, Message(sender, type, text), sender.NodeId, sender.Identity.PublicKeySpan);

    public byte[] Message(TrustDriver sender, TrustMessageType type, string text = "") =>
        TrustMessage.Create(type, sender.Identity, sender.NodeId, NodeId, text, Clock.Wall.ToUnixTimeSeconds()).Encode();

    public void Relayed(uint from, string justification = "", string hostname = "") =>
        Book.ReceivePoll(Clock, [new RelayedRequest(from, justification, hostname)], []);

    public void RelayedResponse(uint from, bool accept, string hostname = "") =>
        Book.ReceivePoll(Clock, [], [new RelayedResponse(from, accept, hostname)]);

    public void Lookup(TrustDriver peer, string hostname = "", params ushort[] networks) =>
        Book.CompleteLookup(Clock, peer.NodeId, new TrustLookup(true, peer.Identity.PublicKey, networks, hostname));

    public bool Trusts(TrustDriver peer) => Book.Snapshot.IsTrusted(peer.NodeId, peer.Identity.PublicKeySpan);

    /// <summary>A second book from the files of this one, as after a restart.</summary>
    public TrustDriver Restart()
    {
        Assert.True(TrustFile.TryParse(Book.FormatTrustFile(), out IReadOnlyList<TrustedPeer> trusted, out IReadOnlyList<PendingRequest> pending, out _));
        Assert.True(TrustExtensionFile.TryParse(Book.FormatExtensionFile(), out TrustExtension extension, out string? error), error);
        var book = new TrustBook(Identity, trusted, pending, extension) { AutoApprove = Book.AutoApprove };
        return new TrustDriver(NodeId, Identity, book, Clock.Wall) { Clock = Clock };
    }

    private void Drain()
    {
        while (Book.TryGetEffect(Clock, out TrustEffect? effect))
        {
            _effects.Add(effect);
        }
    }
}
