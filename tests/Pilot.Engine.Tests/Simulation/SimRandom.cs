using System.Buffers.Binary;

namespace Pilot.Engine.Tests.Simulation;

/// <summary>SplitMix64: the simulation's only source of chance. Children are independent of how much the parent was used.</summary>
internal sealed class SimRandom : IRandomSource
{
    private readonly ulong _seed;
    private ulong _state;

    public SimRandom(ulong seed)
    {
        _seed = seed;
        _state = seed;
    }

    public SimRandom Child(string name)
    {
        ulong hash = 14695981039346656037;
        foreach (char c in name)
        {
            hash = (hash ^ c) * 1099511628211;
        }

        return new SimRandom(Mix(_seed ^ hash));
    }

    public ulong NextUInt64()
    {
        _state += 0x9E3779B97F4A7C15;
        return Mix(_state);
    }

    public uint NextUInt32() => (uint)(NextUInt64() >> 32);

    public int Next(int limit) => (int)(NextUInt64() % (uint)limit);

    public double NextDouble() => (NextUInt64() >> 11) * (1.0 / (1UL << 53));

    public bool Chance(double probability) => probability > 0 && NextDouble() < probability;

    public TimeSpan Between(TimeSpan from, TimeSpan to) => from + (to - from) * NextDouble();

    public void Fill(Span<byte> destination)
    {
        Span<byte> last = stackalloc byte[8];
        while (destination.Length >= 8)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(destination, NextUInt64());
            destination = destination[8..];
        }

        BinaryPrimitives.WriteUInt64LittleEndian(last, NextUInt64());
        last[..destination.Length].CopyTo(destination);
    }

    private static ulong Mix(ulong value)
    {
        value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
        value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
        return value ^ (value >> 31);
    }
}
