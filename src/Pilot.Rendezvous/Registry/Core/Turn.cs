using Pilot.Protocol.Registry;

namespace Pilot.Rendezvous.Registry;

/// <summary>One request being decided: what is known about it, and the events that the decision adds.</summary>
internal sealed class Turn(DateTimeOffset now, RegistryConnection connection, RegistryRequest request, SignatureVerdict verdict, AdminState admin)
{
    public DateTimeOffset Now { get; } = now;

    public RegistryConnection Connection { get; } = connection;

    public RegistryRequest Request { get; } = request;

    public SignatureVerdict Verdict { get; } = verdict;

    public AdminState Admin { get; } = admin;

    public List<RegistryEvent> Events { get; } = [];

    /// <summary>Set for <c>register</c>: how long until the address has a token again; null when it had one.</summary>
    public TimeSpan? RegisterRetryAfter { get; init; }

    public uint NodeId => Request.GetUInt32("node_id");

    public void Emit(RegistryEvent happened) => Events.Add(happened);
}

/// <summary>What the member <c>admin_token</c> is worth.</summary>
internal enum AdminState
{
    Absent,
    Disabled,
    Wrong,
    Valid,
}

/// <summary>First step of a request: refused by a rate limit, or to be verified.</summary>
internal readonly record struct Admission(Refusal? Refusal, SignatureTask Signature, TimeSpan? RegisterRetryAfter);
