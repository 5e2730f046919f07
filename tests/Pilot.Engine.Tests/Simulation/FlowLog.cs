using System.Globalization;
using System.Text;
using Pilot.Protocol;

namespace Pilot.Engine.Tests.Simulation;

/// <summary>The last things that happened on the wire, for the text of a failure.</summary>
internal sealed class FlowLog(int capacity)
{
    private readonly Queue<(Instant At, UdpEndpoint From, UdpEndpoint To, byte[] Bytes, string Fate)> _entries = new();

    public void Add(Instant at, in SimDatagram datagram, string fate) => Add((at, datagram.Source, datagram.Destination, datagram.Bytes, fate));

    public void Note(Instant at, string text) => Add((at, default, default, [], text));

    public override string ToString()
    {
        var text = new StringBuilder();
        foreach ((Instant at, UdpEndpoint from, UdpEndpoint to, byte[] bytes, string fate) in _entries)
        {
            text.Append(CultureInfo.InvariantCulture, $"{at.Ticks / 10_000.0,12:F3} ms ");
            text.AppendLine(bytes.Length == 0 ? fate : $"{from} > {to} {bytes.Length,5} {Describe(bytes)} {fate}");
        }

        return text.ToString();
    }

    private void Add((Instant, UdpEndpoint, UdpEndpoint, byte[], string) entry)
    {
        _entries.Enqueue(entry);
        if (_entries.Count > capacity)
        {
            _entries.Dequeue();
        }
    }

    private static string Describe(ReadOnlySpan<byte> bytes)
    {
        if (bytes[0] < 0x10)
        {
            int header = bytes[0] switch { 5 => BeaconRelay.HeaderSize, 6 => BeaconRelayDeliver.HeaderSize, _ => bytes.Length };
            return $"beacon {bytes[0]:X2}{(header < bytes.Length ? " " + Describe(bytes[header..]) : "")}";
        }

        string magic = bytes.Length < 4 ? "?" : Encoding.Latin1.GetString(bytes[..4]);
        if (AuthenticatedKeyExchange.TryParse(bytes, out AuthenticatedKeyExchange exchange))
        {
            return $"{magic} node {exchange.NodeId} key {Convert.ToHexStringLower(exchange.X25519PublicKey[..4])} {exchange.Mark}";
        }

        return EncryptedFrame.TryParse(bytes, out EncryptedFrame frame) ? $"{magic} node {frame.NodeId} {frame.NoncePrefix:x8}/{frame.Counter}" : magic;
    }
}
