using System.Numerics;

namespace Pilot.Protocol;

/// <summary>
/// Which frame counters of one (key, nonce prefix) were seen (spec 01 sections 6.3, 15.3; RFC 6479 in spirit).
/// Order of use: <see cref="IsNew"/>, decrypt, then <see cref="Record"/>. A frame that does not decrypt must not change anything.
/// </summary>
public sealed class ReplayWindow
{
    /// <summary>Counters remembered by default.</summary>
    public const int DefaultSize = 4096;

    private readonly ulong[] _bits;
    private readonly ulong _size;
    private bool _any;

    /// <summary>An empty window.</summary>
    /// <param name="size">Counters remembered: a power of two, at least 64.</param>
    public ReplayWindow(int size = DefaultSize)
    {
        if (size < 64 || !BitOperations.IsPow2(size))
        {
            throw new ArgumentOutOfRangeException(nameof(size), size, "a power of two, at least 64");
        }

        _bits = new ulong[size / 64];
        _size = (ulong)size;
    }

    /// <summary>Highest counter recorded; 0 before the first.</summary>
    public ulong Highest { get; private set; }

    /// <summary>True when a frame of this counter may be accepted. Changes nothing.</summary>
    public bool IsNew(ulong counter)
    {
        if (!_any || counter > Highest)
        {
            return true;
        }

        return Highest - counter < _size && (_bits[Word(counter)] & Bit(counter)) == 0;
    }

    /// <summary>Records an authenticated counter. A counter that is too old or already recorded changes nothing.</summary>
    public void Record(ulong counter)
    {
        if (!_any)
        {
            _any = true;
            Highest = counter;
        }
        else if (counter > Highest)
        {
            Slide(counter);
        }
        else if (Highest - counter >= _size)
        {
            return;
        }

        _bits[Word(counter)] |= Bit(counter);
    }

    private void Slide(ulong counter)
    {
        ulong jump = counter - Highest;
        if (jump >= _size)
        {
            Array.Clear(_bits);
        }
        else
        {
            // Clear the places passed over, whole words at a time where possible.
            ulong at = Highest + 1;
            while (at <= counter && at != 0)
            {
                if ((at & 63) == 0 && counter - at >= 63)
                {
                    _bits[Word(at)] = 0;
                    at += 64;
                }
                else
                {
                    _bits[Word(at)] &= ~Bit(at);
                    at++;
                }
            }
        }

        Highest = counter;
    }

    private int Word(ulong counter) => (int)((counter & (_size - 1)) >> 6);

    private static ulong Bit(ulong counter) => 1UL << (int)(counter & 63);
}
