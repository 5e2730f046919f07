namespace Pilot.Benchmarks.Link;

/// <summary>Loss in bursts: a good state that loses nothing and a bad one that loses everything (E. N. Gilbert, 1960; simple form).</summary>
internal sealed class GilbertElliott
{
    private readonly Random _random;
    private readonly double _toBad;
    private readonly double _toGood;
    private bool _isBad;

    /// <param name="loss">Share lost in the long run, 0 to below 1.</param>
    /// <param name="burst">Mean packets lost in a row, at least 1.</param>
    /// <param name="random">Seeded by the caller.</param>
    public GilbertElliott(double loss, double burst, Random random)
    {
        _random = random;
        _toGood = 1 / burst;
        _toBad = loss / (1 - loss) / burst;
        IsIndependent = burst <= 1;
        Loss = loss;
    }

    private bool IsIndependent { get; }

    private double Loss { get; }

    /// <summary>Whether the next packet is lost.</summary>
    public bool IsLost()
    {
        if (Loss <= 0)
        {
            return false;
        }

        if (IsIndependent)
        {
            return _random.NextDouble() < Loss;
        }

        _isBad = _isBad ? _random.NextDouble() >= _toGood : _random.NextDouble() < _toBad;
        return _isBad;
    }
}
