namespace Pilot.Rendezvous.Registry;

/// <summary>A network other than the backbone (spec 09 section 1).</summary>
internal sealed class NetworkRecord
{
    public required ushort Id { get; init; }

    public required string Name { get; set; }

    public required string JoinRule { get; init; }

    public bool Enterprise { get; set; }

    public DateTimeOffset Created { get; init; }

    /// <summary>Members in the order of joining.</summary>
    public List<uint> Members { get; } = [];

    public Dictionary<uint, string> Roles { get; } = [];
}
