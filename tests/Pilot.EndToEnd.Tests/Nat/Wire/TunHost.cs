namespace Pilot.EndToEnd.Tests.Nat.Wire;

/// <summary>The wire end of a namespace: what its kernel sends goes to the uplink, what is delivered reaches its kernel.</summary>
internal sealed class TunHost(TunDevice device) : IDownlink, IDisposable
{
    public int Descriptor => device.Descriptor;

    /// <summary>Null: unplugged.</summary>
    public IUplink? Uplink { get; set; }

    public int Receive(Span<byte> packet) => device.Receive(packet);

    public void Deliver(Span<byte> packet) => device.Send(packet);

    public void Dispose() => device.Dispose();
}
