using System.Buffers;
using System.Globalization;

namespace Pilot.Daemon.Configuration;

/// <summary>Command line in Go style (07 §8): <c>-name value</c>, <c>-name=value</c>, <c>--name</c> alike; booleans take a value only behind <c>=</c>.</summary>
internal sealed class GoFlags
{
    private readonly Dictionary<string, string> _values = new(StringComparer.Ordinal);

    /// <summary>True when <c>-h</c>, <c>-help</c> stood there.</summary>
    public bool Help { get; private set; }

    /// <summary>Parses arguments. Null with an error text when one is unknown or lacks its value.</summary>
    /// <param name="known">Name → takes a value (false = boolean).</param>
    public static GoFlags? Parse(IReadOnlyList<string> arguments, IReadOnlyDictionary<string, bool> known, out string? error)
    {
        var flags = new GoFlags();
        error = null;
        for (var i = 0; i < arguments.Count; i++)
        {
            var argument = arguments[i];
            if (argument.Length < 2 || argument[0] != '-')
            {
                error = $"unexpected argument: {argument}";
                return null;
            }

            var name = argument[1] == '-' ? argument[2..] : argument[1..];
            string? value = null;
            var equals = name.IndexOf('=', StringComparison.Ordinal);
            if (equals >= 0)
            {
                value = name[(equals + 1)..];
                name = name[..equals];
            }

            if (name is "h" or "help")
            {
                flags.Help = true;
                continue;
            }

            if (!known.TryGetValue(name, out var takesValue))
            {
                error = $"flag provided but not defined: -{name}";
                return null;
            }

            if (value is null)
            {
                if (!takesValue)
                {
                    value = "true";
                }
                else if (++i < arguments.Count)
                {
                    value = arguments[i];
                }
                else
                {
                    error = $"flag needs an argument: -{name}";
                    return null;
                }
            }

            flags._values[name] = value;
        }

        return flags;
    }

    public string? Text(string name) => _values.GetValueOrDefault(name);

    public bool Has(string name) => _values.ContainsKey(name);
}

/// <summary>Values of flags and config keys.</summary>
internal static class FlagValue
{
    private static readonly SearchValues<char> Digits = SearchValues.Create("0123456789.");

    public static bool TryBool(string text, out bool value)
    {
        value = text is "1" or "t" or "T" or "true" or "TRUE" or "True";
        return value || text is "0" or "f" or "F" or "false" or "FALSE" or "False";
    }

    /// <summary>Go durations: <c>300ms</c>, <c>1.5s</c>, <c>1h2m</c>, <c>0</c>; a plain number is seconds (07 §1.3).</summary>
    public static bool TryDuration(string text, out TimeSpan value)
    {
        value = default;
        if (double.TryParse(text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var plain) && plain <= TimeSpan.MaxValue.TotalSeconds / 2)
        {
            value = TimeSpan.FromSeconds(plain);
            return true;
        }

        var rest = text.AsSpan();
        double seconds = 0;
        while (!rest.IsEmpty)
        {
            var digits = rest.IndexOfAnyExcept(Digits);
            if (digits < 1 || !double.TryParse(rest[..digits], NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var number))
            {
                return false;
            }

            rest = rest[digits..];
            var unitLength = rest.IndexOfAny(Digits) is var next && next < 0 ? rest.Length : next;
            double? unit = rest[..unitLength] switch
            {
                "ns" => 1e-9,
                "us" or "µs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1,
                "m" => 60,
                "h" => 3600,
                _ => null,
            };
            if (unit is null)
            {
                return false;
            }

            seconds += number * unit.Value;
            rest = rest[unitLength..];
        }

        if (text.Length == 0 || seconds > TimeSpan.MaxValue.TotalSeconds / 2)
        {
            return false;
        }

        value = TimeSpan.FromSeconds(seconds);
        return true;
    }
}
