namespace Pilot.Rendezvous.Registry;

/// <summary>One node's sign of life, as processes on one database tell each other.</summary>
/// <param name="Node">Node id.</param>
/// <param name="SeenAt">Last sign of life.</param>
/// <param name="Connected">A connection is open on which it proved its key.</param>
/// <param name="ProofIp">Source address of its last proof.</param>
/// <param name="ProofAt">Time of that proof.</param>
internal readonly record struct SharedSign(uint Node, DateTimeOffset SeenAt, bool Connected, UInt128 ProofIp, DateTimeOffset ProofAt);

/// <summary>A beacon that registered with one of the processes, or is embedded in one.</summary>
internal readonly record struct SharedBeacon(uint Id, string Address, UInt128 Source, DateTimeOffset SeenAt, bool Embedded);
