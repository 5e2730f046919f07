using Pilot.Protocol;
using Pilot.Rendezvous.Beacon;

namespace Pilot.Rendezvous.Tests.Beacon;

/// <summary>A beacon in virtual time with a directory that the test sets.</summary>
internal sealed class BeaconSession : IBeaconSink, IBeaconDirectory
{
    public BeaconSession(BeaconRules rules = BeaconRules.Strict, bool withDirectory = true, BeaconOptions? options = null)
    {
        Machine = new BeaconMachine((options ?? new BeaconOptions()) with { Rules = rules }, withDirectory ? this : null, Now);
    }

    public DateTimeOffset Now { get; private set; } = new(2026, 11, 21, 0, 0, 0, TimeSpan.Zero);

    public BeaconMachine Machine { get; }

    public List<(UdpEndpoint To, string Hex)> Sent { get; } = [];

    public HashSet<(uint, uint)> Allowed { get; } = [];

    public Dictionary<uint, (UInt128 Ip, DateTimeOffset At)> Proofs { get; } = [];

    public static UdpEndpoint At(string text) => UdpEndpoint.TryParse(text, out UdpEndpoint endpoint) ? endpoint : throw new FormatException(text);

    public void Send(UdpEndpoint destination, ReadOnlySpan<byte> datagram) => Sent.Add((destination, Convert.ToHexStringLower(datagram)));

    public bool MayPunch(uint requester, uint target) => Allowed.Contains((requester, target));

    public bool HasProof(uint node, UInt128 address, DateTimeOffset since) =>
        Proofs.TryGetValue(node, out (UInt128 Ip, DateTimeOffset At) proof) && proof.Ip == address && proof.At >= since;

    /// <summary>The registry sees a signed request of a node.</summary>
    public void Prove(uint node, string address) => Proofs[node] = (At(address).Ip, Now);

    public void Advance(double seconds)
    {
        Now += TimeSpan.FromSeconds(seconds);
        Machine.Tick(Now, this);
    }

    /// <summary>Hands a datagram in and returns what the beacon sent for it, as <c>address hex</c>.</summary>
    public string[] Receive(string from, string hex)
    {
        Sent.Clear();
        Machine.Handle(Now, At(from), Convert.FromHexString(hex), this);
        return [.. Sent.Select(s => $"{s.To} {s.Hex}")];
    }

    public void Discover(uint node, string from) => Receive(from, $"01{node:x8}");

    public string? AddressOf(uint node) => Machine.TryGetAddress(Now, node, out UdpEndpoint address) ? address.ToString() : null;
}
