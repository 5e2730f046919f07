using System.Numerics;

namespace Pilot.Engine.Streams;

/// <summary>Arrays of power-of-two lengths for one event loop. Unlike a shared pool it keeps all that come back, until they are not needed for a while.</summary>
internal sealed class ArrayShelf<T>
    where T : unmanaged
{
    private readonly Row?[] _byLength = new Row?[31];

    private sealed class Row
    {
        public readonly Stack<T[]> Free = new();
        public int Least, LeastBefore; // fewest that lay here since the last Trim, and in the interval before
    }

    /// <summary>Arrays that lie here.</summary>
    public int Count { get; private set; }

    /// <summary>An array with a power-of-two length of at least <paramref name="length"/>. Its content is arbitrary.</summary>
    public T[] Rent(int length)
    {
        int shift = BitOperations.Log2(BitOperations.RoundUpToPowerOf2((uint)length));
        if (_byLength[shift] is not { Free.Count: > 0 } row)
        {
            return new T[1 << shift];
        }
        Count--;
        T[] array = row.Free.Pop();
        row.Least = Math.Min(row.Least, row.Free.Count);
        return array;
    }

    /// <summary>Takes an array back that was rented here.</summary>
    public void Return(T[] array)
    {
        (_byLength[BitOperations.Log2((uint)array.Length)] ??= new()).Free.Push(array);
        Count++;
    }

    /// <summary>Leaves to the garbage collector what the last two intervals between calls did not need. What a transfer takes now and then stays.</summary>
    public void Trim()
    {
        foreach (Row? row in _byLength)
        {
            if (row is null)
            {
                continue;
            }
            int unused = Math.Min(row.Least, row.LeastBefore);
            for (int i = 0; i < unused; i++)
            {
                row.Free.Pop();
            }
            Count -= unused;
            row.LeastBefore = row.Least - unused;
            row.Least = row.Free.Count;
        }
    }
}
