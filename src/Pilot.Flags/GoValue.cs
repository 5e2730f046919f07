using System.Buffers;
using System.Globalization;
using System.Text;

namespace Pilot.Flags;

/// <summary>Texts of values in Go style (07 §1.3, §8), the same under every locale.</summary>
internal static class GoValue
{
    private static readonly SearchValues<char> Digits = SearchValues.Create("0123456789.");

    public static bool TryBool(string text, out bool value)
    {
        value = text is "1" or "t" or "T" or "true" or "TRUE" or "True";
        return value || text is "0" or "f" or "F" or "false" or "FALSE" or "False";
    }

    /// <summary>Zero and above.</summary>
    public static bool TryNumber(string text, out int value) => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out value);

    /// <summary>Go durations: <c>300ms</c>, <c>1.5s</c>, <c>1h2m</c>, <c>0</c>; a plain number is seconds.</summary>
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

    /// <summary>A duration as <see cref="TryDuration"/> reads it.</summary>
    public static string Duration(TimeSpan span)
    {
        var text = new StringBuilder();
        if (span.TotalHours >= 1)
        {
            text.Append(CultureInfo.InvariantCulture, $"{(long)span.TotalHours}h");
        }

        if (span.Minutes > 0)
        {
            text.Append(CultureInfo.InvariantCulture, $"{span.Minutes}m");
        }

        var seconds = (span.Ticks % TimeSpan.TicksPerMinute) / (decimal)TimeSpan.TicksPerSecond;
        if (seconds > 0 || text.Length == 0)
        {
            text.Append(CultureInfo.InvariantCulture, $"{seconds:0.#######}s");
        }

        return text.ToString();
    }
}
