namespace Pilot.Rendezvous.Tests.Server;

/// <summary>Time that goes on when a test says so.</summary>
internal sealed class TestTime : TimeProvider
{
    private long _now = 1;

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override long GetTimestamp() => Interlocked.Read(ref _now);

    public void Pass(TimeSpan time) => Interlocked.Add(ref _now, time.Ticks);
}
