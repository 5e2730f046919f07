namespace Pilot.Benchmarks;

/// <summary>A measurement that could not be taken, with the cause in plain words.</summary>
internal sealed class BenchmarkException : Exception
{
    public BenchmarkException(string message)
        : base(message)
    {
    }

    public BenchmarkException(string message, Exception inner)
        : base(message, inner)
    {
    }

    public BenchmarkException()
    {
    }
}
