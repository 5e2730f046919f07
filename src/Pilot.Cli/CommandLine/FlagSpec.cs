namespace Pilot.Cli.CommandLine;

/// <summary>One flag of a command. A flag without placeholder is boolean and never takes the next token.</summary>
/// <param name="Name">Without dashes.</param>
/// <param name="Placeholder">What the value is, e.g. <c>dur</c>; null for a boolean flag.</param>
/// <param name="Meaning">For help; one line.</param>
internal sealed record FlagSpec(string Name, string? Placeholder, string Meaning)
{
    public bool IsBoolean => Placeholder is null;
}
