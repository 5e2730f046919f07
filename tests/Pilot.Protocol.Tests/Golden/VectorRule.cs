namespace Pilot.Protocol.Tests.Golden;

/// <summary>Says for a class of vectors either how this project exercises them or which project does.</summary>
public sealed record VectorRule(string Name, Func<Vector, bool> Matches, Action<Vector>? Exercise, string? LeftTo)
{
    public static VectorRule Here(string name, Func<Vector, bool> matches, Action<Vector> exercise) => new(name, matches, exercise, null);

    public static VectorRule Elsewhere(string name, Func<Vector, bool> matches, string project) => new(name, matches, null, project);

    public static Func<Vector, bool> Kind(string kind) => v => v.Kind == kind;

    public static Func<Vector, bool> Prefix(params string[] prefixes) =>
        v => prefixes.Any(p => v.Name.StartsWith(p, StringComparison.Ordinal));

    public static Func<Vector, bool> Named(params string[] names) => v => names.Contains(v.Name);
}
