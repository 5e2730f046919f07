namespace Pilot.Engine.Tests.Interop;

/// <summary>The reference's replay window (01 §6.3, 6.4): 256 counters, and it moves before anything was authenticated.</summary>
internal sealed class ReferenceWindow
{
    public const ulong Size = 256;
    private readonly bool[] _seen = new bool[Size];

    public ulong Highest { get; private set; }

    /// <summary>Whether the counter is taken; marks it, and slides, at once.</summary>
    public bool Take(ulong counter)
    {
        if (Highest != 0 && counter <= Highest)
        {
            if (Highest - counter >= Size || _seen[counter % Size])
            {
                return false;
            }
        }
        else
        {
            ulong jump = counter - Highest;
            if (Highest == 0 || jump >= Size)
            {
                Array.Clear(_seen);
            }
            else
            {
                for (ulong passed = Highest + 1; passed < counter; passed++)
                {
                    _seen[passed % Size] = false;
                }
            }

            Highest = counter;
        }

        _seen[counter % Size] = true;
        return true;
    }

    /// <summary>Decryption failed: only the bit is taken back.</summary>
    public void Forget(ulong counter) => _seen[counter % Size] = false;
}
