using System.Globalization;

namespace Pilot.Protocol.Tests.Fuzzing;

/// <summary>
/// Feeds every decoder with golden bytes, truncations and mutations. Reproducible: the seed is fixed unless PILOT_FUZZ_SEED gives another;
/// PILOT_FUZZ_FACTOR multiplies the number of inputs for long runs.
/// </summary>
public sealed class MutationFuzzTests
{
    private const int DefaultSeed = 20260401;
    private const int RequiredInputs = 1_000_000;

    public static TheoryData<string> Targets => [.. FuzzTarget.All.Select(t => t.Name)];

    [Theory]
    [MemberData(nameof(Targets))]
    public void No_input_makes_a_decoder_throw(string name)
    {
        FuzzTarget target = FuzzTarget.All.Single(t => t.Name == name);
        int seed = Setting("PILOT_FUZZ_SEED", DefaultSeed);
        long inputs = (long)target.Inputs * Setting("PILOT_FUZZ_FACTOR", 1);
        Assert.NotEmpty(target.Corpus);
        foreach (byte[] good in target.Corpus)
        {
            for (int length = 0; length <= Math.Min(good.Length, 300); length++)
            {
                Run(target, good[..length], $"truncation to {length} bytes");
            }

            Run(target, [.. good], "golden input");
        }

        var mutator = new Mutator(seed, target.Corpus);
        for (long i = 0; i < inputs; i++)
        {
            Run(target, mutator.Next(), $"PILOT_FUZZ_SEED={seed}, input {i}");
        }
    }

    [Fact]
    public void A_run_has_at_least_a_million_inputs() =>
        Assert.True(FuzzTarget.All.Sum(t => t.Inputs) >= RequiredInputs);

    [Fact]
    public void A_throwing_decoder_is_reported_with_its_seed_and_input()
    {
        var broken = new FuzzTarget("broken", 1, [[1]], _ => throw new InvalidOperationException("boom"));
        var failure = Assert.Throws<Xunit.Sdk.XunitException>(() => Run(broken, [0xAB], "PILOT_FUZZ_SEED=7, input 0"));
        Assert.Contains("PILOT_FUZZ_SEED=7", failure.Message, StringComparison.Ordinal);
        Assert.Contains("ab", failure.Message, StringComparison.Ordinal);
    }

    private static void Run(FuzzTarget target, byte[] input, string origin)
    {
        byte[] copy = [.. input]; // decoders may work in place
        try
        {
            target.Decode(input);
        }
        catch (Exception e)
        {
            throw new Xunit.Sdk.XunitException($"{target.Name}: {origin}: {Convert.ToHexStringLower(copy)}\n{e}");
        }
    }

    private static int Setting(string variable, int otherwise) =>
        Environment.GetEnvironmentVariable(variable) is { Length: > 0 } text ? int.Parse(text, CultureInfo.InvariantCulture) : otherwise;
}
