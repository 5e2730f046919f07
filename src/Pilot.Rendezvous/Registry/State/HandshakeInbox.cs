using System.Text.Json.Serialization;

namespace Pilot.Rendezvous.Registry;

/// <summary>Handshake messages waiting for one node, oldest first (spec 03 section 6.5).</summary>
internal sealed class HandshakeInbox
{
    public List<QueuedRequest> Requests { get; } = [];

    public List<QueuedResponse> Responses { get; } = [];

    [JsonIgnore]
    public bool IsEmpty => Requests.Count == 0 && Responses.Count == 0;

    public QueuedRequest? FindRequest(uint from, bool byName) => Requests.Find(r => r.From == from && r.ByName == byName);
}

/// <summary>A message in an inbox and its delivery, which lives in memory only: after a restart everything unacknowledged is delivered again.</summary>
internal abstract class QueuedMessage
{
    public required uint From { get; init; }

    public required DateTimeOffset At { get; init; }

    [JsonIgnore]
    public RegistryConnection? DeliveredOn { get; set; }

    [JsonIgnore]
    public DateTimeOffset DeliveredAt { get; set; }

    public void CopyDelivery(QueuedMessage? known)
    {
        DeliveredOn = known?.DeliveredOn;
        DeliveredAt = known?.DeliveredAt ?? default;
    }

    /// <summary>True while nobody has read it, also when the connection that carried it broke before the copy's lifetime was over.</summary>
    public bool IsUnread(TimeSpan copyLifetime) =>
        DeliveredOn is null || (DeliveredOn.IsClosed && DeliveredOn.ClosedAt - DeliveredAt < copyLifetime);
}

internal sealed class QueuedRequest : QueuedMessage
{
    public required string Justification { get; init; }

    public required bool ByName { get; init; }
}

internal sealed class QueuedResponse : QueuedMessage
{
    public required bool Accept { get; init; }
}
