namespace Pilot.Protocol.Tests.Golden;

/// <summary>Every golden vector of the five files is either exercised here or left to a named project: none falls through.</summary>
public sealed class GoldenVectorTests
{
    private static readonly Dictionary<string, IReadOnlyList<VectorRule>> Files = new()
    {
        ["wire.json"] = WireVectors.Rules,
        ["beacon.json"] = BeaconVectors.Rules,
        ["trust.json"] = TrustVectors.Rules,
        ["registry.json"] = RegistryVectors.Rules,
        ["streams.json"] = StreamVectors.Rules,
    };

    public static TheoryData<string, string> Covered
    {
        get
        {
            var data = new TheoryData<string, string>();
            foreach (Vector vector in Files.Keys.SelectMany(VectorFile.Load).Where(v => RuleFor(v).Exercise is not null))
            {
                data.Add(vector.File, vector.Name);
            }

            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Covered))]
    public void Vector_holds(string file, string name)
    {
        Vector vector = VectorFile.Load(file).Single(v => v.Name == name);
        RuleFor(vector).Exercise!(vector);
    }

    /// <summary>The list of what is left to others is part of the test: a new vector, a renamed one or a lost rule shows here.</summary>
    [Fact]
    public void What_is_left_to_other_projects_is_named_and_counted()
    {
        string[] left = [.. Files.Keys
            .SelectMany(VectorFile.Load)
            .Select(v => (Vector: v, Rule: RuleFor(v)))
            .Where(x => x.Rule.LeftTo is not null)
            .GroupBy(x => $"{x.Vector.File} {x.Rule.Name} -> {x.Rule.LeftTo}")
            .Select(g => $"{g.Key}: {g.Count()}")
            .Order(StringComparer.Ordinal)];
        string[] expected =
            [
                "wire.json exchange -> Pilot.Engine.Tests: 8",
                "beacon.json healthz -> Pilot.Rendezvous.Tests: 2",
                "trust.json ipc -> Pilot.Daemon.Tests: 6",
                "trust.json relayed state -> Pilot.Daemon.Tests: 2",
                "trust.json trust file -> Pilot.Daemon.Tests: 10",
                "registry.json mask -> Pilot.Rendezvous.Tests: 22",
                "registry.json http -> Pilot.Rendezvous.Tests: 24",
                "registry.json ratelimit -> Pilot.Rendezvous.Tests: 5",
                "registry.json snapshot -> Pilot.Rendezvous.Tests: 9",
                "registry.json replication -> Pilot.Rendezvous.Tests: 7",
                "registry.json tls -> Pilot.Daemon.Tests: 2",
                "streams.json congestion control -> Pilot.Engine.Tests: 3",
                "streams.json timers -> Pilot.Engine.Tests: 2",
                "streams.json script -> Pilot.Engine.Tests: 15",
            ];
        Assert.Equal(expected.Order(StringComparer.Ordinal), left);
        Assert.Equal(178 + 60 + 89 + 355 + 67, Files.Keys.Sum(f => VectorFile.Load(f).Count));
    }

    private static VectorRule RuleFor(Vector vector)
    {
        VectorRule[] rules = [.. Files[vector.File].Where(r => r.Matches(vector))];
        return rules.Length == 1
            ? rules[0]
            : throw new InvalidOperationException($"{vector}: {rules.Length} rules match ({string.Join(", ", rules.Select(r => r.Name))})");
    }
}
