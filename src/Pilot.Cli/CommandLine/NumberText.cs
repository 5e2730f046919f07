using System.Globalization;
using Pilot.Cli.Output;

namespace Pilot.Cli.CommandLine;

/// <summary>Numbers on the command line, with the messages of 07 §1.3.</summary>
internal static class NumberText
{
    /// <summary>Decimal digits only, at most <paramref name="max"/>; otherwise <c>invalid &lt;what&gt; "&lt;v&gt;": …</c>.</summary>
    public static uint Unsigned(string text, uint max, string what, bool quoteValue = true)
    {
        string prefix = quoteValue ? $"invalid {what} \"{text}\"" : $"invalid {what}";
        if (text.Length == 0 || text.AsSpan().ContainsAnyExceptInRange('0', '9'))
        {
            throw CliException.InvalidArgument($"{prefix}: strconv.ParseUint: parsing \"{text}\": invalid syntax");
        }

        if (!ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out ulong value) || value > max)
        {
            throw CliException.InvalidArgument($"{prefix}: strconv.ParseUint: parsing \"{text}\": value out of range");
        }

        return (uint)value;
    }

    public static ushort Port(string text) => (ushort)Unsigned(text, ushort.MaxValue, "port");

    public static int Integer(string text, string flag)
    {
        ReadOnlySpan<char> digits = text.AsSpan();
        if (!digits.IsEmpty && digits[0] is '+' or '-')
        {
            digits = digits[1..];
        }

        if (digits.IsEmpty || digits.ContainsAnyExceptInRange('0', '9'))
        {
            throw CliException.InvalidArgument($"invalid integer for --{flag}: strconv.Atoi: parsing \"{text}\": invalid syntax");
        }

        if (!int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int value))
        {
            throw CliException.InvalidArgument($"invalid integer for --{flag}: strconv.Atoi: parsing \"{text}\": value out of range");
        }

        return value;
    }

    public static TimeSpan Duration(string text, string flag) =>
        GoDuration.TryParse(text, out TimeSpan duration, out string error)
            ? duration
            : throw CliException.InvalidArgument($"invalid duration for --{flag}: {error}");
}
