using System.Globalization;
using System.Reflection;

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
    public void Every_decoder_of_the_protocol_is_fed()
    {
        MethodInfo[] decoders =
        [
            .. typeof(Packet).Assembly.GetExportedTypes()
                .SelectMany(t => t.GetMethods(BindingFlags.Public | BindingFlags.Static | BindingFlags.DeclaredOnly))
                .Where(m => m.Name.StartsWith("Try", StringComparison.Ordinal)),
        ];
        Assert.True(decoders.Length >= 25, $"only {decoders.Length} decoders were found");
        HashSet<string> fed = [.. CalledBy(typeof(FuzzTarget))];
        // A short form over a full one that is fed.
        string[] thin = ["Identity.TryParseJson(String)", "RegistryRequest.TryParse(ReadOnlySequence`1)"];
        Assert.Empty(decoders.Select(Signature).Except(fed).Except(thin));
    }

    private static string Signature(MethodBase method) =>
        $"{method.DeclaringType!.Name}.{method.Name}({method.GetParameters()[0].ParameterType.Name})";

    /// <summary>What the code of a type calls in the protocol: every token behind a call instruction.</summary>
    private static IEnumerable<string> CalledBy(Type type)
    {
        const BindingFlags Any = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Static | BindingFlags.Instance | BindingFlags.DeclaredOnly;
        const byte Call = 0x28;
        foreach (MethodInfo method in type.GetNestedTypes(Any).Append(type).SelectMany(t => t.GetMethods(Any)))
        {
            byte[] code = method.GetMethodBody()?.GetILAsByteArray() ?? [];
            for (int at = 0; at + 5 <= code.Length; at++)
            {
                if (code[at] == Call && Resolve(method.Module, BitConverter.ToInt32(code, at + 1)) is { } called
                    && called.DeclaringType?.Assembly == typeof(Packet).Assembly && called.GetParameters().Length > 0)
                {
                    yield return Signature(called);
                }
            }
        }
    }

    private static MethodBase? Resolve(Module module, int token)
    {
        try
        {
            return module.ResolveMethod(token);
        }
        catch (Exception e) when (e is ArgumentException or BadImageFormatException or FileNotFoundException)
        {
            return null; // not an instruction, but a part of one
        }
    }

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
