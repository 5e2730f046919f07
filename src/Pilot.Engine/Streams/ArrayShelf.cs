using System.Numerics;

namespace Pilot.Engine.Streams;

/// <summary>Arrays of power-of-two lengths for one event loop. Unlike a shared pool it keeps all that come back, until they are not needed for a while.</summary>
internal sealed class ArrayShelf<T>
    where T : unmanaged
{
    private readonly Stack<T[]>?[] _byLength = new Stack<T[]>?[31];

    /// <summary>Arrays that lie here.</summary>
    public int Count { get; private set; }

    /// <summary>An array with a power-of-two length of at least <paramref name="length"/>. Its content is arbitrary.</summary>
    public T[] Rent(int length)
    {
        int shift = BitOperations.Log2(BitOperations.RoundUpToPowerOf2((uint)length));
        if (_byLength[shift] is not { Count: > 0 } free)
        {
            return new T[1 << shift];
        }
        Count--;
        return free.Pop();
    }

    /// <summary>Takes an array back that was rented here.</summary>
    public void Return(T[] array)
    {
        (_byLength[BitOperations.Log2((uint)array.Length)] ??= new()).Push(array);
        Count++;
    }

    /// <summary>Leaves half of what lies here to the garbage collector.</summary>
    public void Trim()
    {
        foreach (Stack<T[]>? free in _byLength)
        {
            for (int left = (free?.Count ?? 0) / 2; free?.Count > left;)
            {
                free.Pop();
                Count--;
            }
        }
    }
}
