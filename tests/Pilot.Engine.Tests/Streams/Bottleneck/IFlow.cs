namespace Pilot.Engine.Tests.Streams.Bottleneck;

/// <summary>One end of a flow in the simulation.</summary>
internal interface IFlowEnd
{
    /// <summary>When the end wants to be called; Never for nothing.</summary>
    Instant Deadline { get; }

    /// <summary>Does what is due.</summary>
    void OnDeadline(Instant now);

    /// <summary>Takes a packet.</summary>
    void OnPacket(Instant now, ReadOnlySpan<byte> packet);

    /// <summary>Hands out the next packet and its size on the wire; 0 for none.</summary>
    int TryTransmit(Instant now, Span<byte> packet, out int wireSize);
}

/// <summary>A flow: data from its sender to its receiver, through the bottleneck.</summary>
internal interface IFlow
{
    IFlowEnd Sender { get; }

    IFlowEnd Receiver { get; }

    /// <summary>Stream bytes that arrived in order.</summary>
    long Delivered { get; }
}
