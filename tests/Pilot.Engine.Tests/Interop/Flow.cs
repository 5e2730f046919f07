using Pilot.Engine.Tests.Simulation;

namespace Pilot.Engine.Tests.Interop;

/// <summary>A known sequence of bytes on its way: produced at one end, verified at the other.</summary>
internal sealed class Flow(uint salt, long size)
{
    public long Size => size;

    /// <summary>Bytes produced or verified so far.</summary>
    public long Position { get; private set; }

    public bool IsDone => Position == size;

    /// <summary>The next bytes to write, at most so many.</summary>
    public ReadOnlySpan<byte> Next(int most)
    {
        ReadOnlySpan<byte> bytes = Peek(most);
        Position += bytes.Length;
        return bytes;
    }

    public ReadOnlySpan<byte> Peek(int most) => SimContent.At(salt, Position, (int)Math.Min(most, size - Position));

    public void Skip(int count) => Position += count;

    public void Verify(ReadOnlySpan<byte> data)
    {
        Assert.True(Position + data.Length <= size, $"{data.Length} bytes at {Position}, only {size} were sent");
        Assert.True(SimContent.Matches(salt, Position, data), $"wrong bytes at {Position}");
        Position += data.Length;
    }
}
