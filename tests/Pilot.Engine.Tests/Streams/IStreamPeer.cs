using Pilot.Protocol;

namespace Pilot.Engine.Tests.Streams;

/// <summary>One end of a simulated link: a connection of ours or the reference double.</summary>
internal interface IStreamPeer
{
    Instant Deadline { get; }

    void HandleDeadline(Instant now);

    void Receive(Instant now, in PacketHeader header, ReadOnlySpan<byte> payload);

    bool TryTransmit(Instant now, Span<byte> packet, out int length);
}
