using Pilot.Protocol;

namespace Pilot.Engine.Tests.Simulation;

/// <summary>
/// No nonce is ever used twice: frames of one sender with equal prefix and counter are equal byte for byte. Stronger
/// than needed (the key is not visible on the wire), and cheap.
/// </summary>
internal sealed class NonceWatch
{
    private readonly Dictionary<(uint Node, uint Prefix, ulong Counter), byte[]> _frames = [];

    public int Count => _frames.Count;

    public void Watch(SimNetwork network, SimHost host) => network.Sent += (sender, datagram) =>
    {
        if (sender == host)
        {
            Look(datagram.Bytes);
        }
    };

    private void Look(ReadOnlySpan<byte> bytes)
    {
        if (BeaconRelay.TryParse(bytes, out _))
        {
            bytes = bytes[BeaconRelay.HeaderSize..];
        }

        if (TunnelFrame.Classify(bytes) != DatagramKind.Encrypted || !EncryptedFrame.TryParse(bytes, out EncryptedFrame frame))
        {
            return;
        }

        (uint, uint, ulong) key = (frame.NodeId, frame.NoncePrefix, frame.Counter);
        if (!_frames.TryAdd(key, bytes.ToArray()))
        {
            Assert.True(bytes.SequenceEqual(_frames[key]), $"nonce used twice: node {frame.NodeId}, {frame.NoncePrefix:x8}/{frame.Counter}");
        }
    }
}
