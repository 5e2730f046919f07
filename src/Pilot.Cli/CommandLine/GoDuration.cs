using System.Buffers;
using System.Globalization;
using System.Text;

namespace Pilot.Cli.CommandLine;

/// <summary>Durations as scripts write them (07 §1.3): <c>300ms</c>, <c>1.5s</c>, <c>1h2m</c>, or plain decimal seconds.</summary>
internal static class GoDuration
{
    private const double NanosecondsPerTick = 100;
    private static readonly SearchValues<char> NumberCharacters = SearchValues.Create("0123456789.");
    private static readonly TimeSpan Longest = TimeSpan.FromDays(365 * 290); // about 2^63 ns, the range of the text form

    /// <summary>False with <paramref name="error"/> set to the tail of the message of 07 §1.3.</summary>
    public static bool TryParse(string text, out TimeSpan duration, out string error)
    {
        duration = default;
        error = string.Empty;

        // A plain decimal number is seconds.
        if (double.TryParse(text, NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double seconds))
        {
            if (Math.Abs(seconds) > Longest.TotalSeconds)
            {
                error = $"time: invalid duration \"{text}\"";
                return false;
            }

            duration = TimeSpan.FromSeconds(seconds);
            return true;
        }

        ReadOnlySpan<char> rest = text;
        bool negative = false;
        if (!rest.IsEmpty && rest[0] is '+' or '-')
        {
            negative = rest[0] == '-';
            rest = rest[1..];
        }

        if (rest.IsEmpty)
        {
            error = $"time: invalid duration \"{text}\"";
            return false;
        }

        double ticks = 0;
        while (!rest.IsEmpty)
        {
            int digits = rest.IndexOfAnyExcept(NumberCharacters);
            if (digits == 0 || !double.TryParse(digits < 0 ? rest : rest[..digits], NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double number))
            {
                error = $"time: invalid duration \"{text}\"";
                return false;
            }

            if (digits < 0)
            {
                error = $"time: missing unit in duration \"{text}\"";
                return false;
            }

            rest = rest[digits..];
            int unitLength = rest.IndexOfAny(NumberCharacters);
            ReadOnlySpan<char> unit = unitLength < 0 ? rest : rest[..unitLength];
            double unitTicks = unit switch
            {
                "ns" => 1 / NanosecondsPerTick,
                "us" or "µs" or "μs" => TimeSpan.TicksPerMicrosecond,
                "ms" => TimeSpan.TicksPerMillisecond,
                "s" => TimeSpan.TicksPerSecond,
                "m" => TimeSpan.TicksPerMinute,
                "h" => TimeSpan.TicksPerHour,
                _ => 0,
            };
            if (unitTicks == 0)
            {
                error = $"time: unknown unit \"{unit}\" in duration \"{text}\"";
                return false;
            }

            ticks += number * unitTicks;
            rest = rest[unit.Length..];
        }

        if (ticks > Longest.Ticks)
        {
            error = $"time: invalid duration \"{text}\"";
            return false;
        }

        duration = TimeSpan.FromTicks((long)Math.Round(negative ? -ticks : ticks));
        return true;
    }

    /// <summary><c>2s</c>, <c>1.5s</c>, <c>500ms</c>, <c>1m0s</c>, <c>17.810446ms</c>.</summary>
    public static string Format(TimeSpan duration)
    {
        if (duration == TimeSpan.Zero)
        {
            return "0s";
        }

        StringBuilder text = new();
        if (duration < TimeSpan.Zero)
        {
            text.Append('-');
            duration = duration.Negate();
        }

        if (duration < TimeSpan.FromSeconds(1))
        {
            (decimal value, string unit) = duration.Ticks >= TimeSpan.TicksPerMillisecond
                ? ((decimal)duration.Ticks / TimeSpan.TicksPerMillisecond, "ms")
                : duration.Ticks >= TimeSpan.TicksPerMicrosecond
                    ? ((decimal)duration.Ticks / TimeSpan.TicksPerMicrosecond, "µs")
                    : (duration.Ticks * (decimal)NanosecondsPerTick, "ns");
            return text.Append(value.ToString("0.######", CultureInfo.InvariantCulture)).Append(unit).ToString();
        }

        long hours = duration.Ticks / TimeSpan.TicksPerHour;
        long minutes = duration.Ticks / TimeSpan.TicksPerMinute % 60;
        if (hours > 0)
        {
            text.Append(hours).Append('h');
        }

        if (hours > 0 || minutes > 0)
        {
            text.Append(minutes).Append('m');
        }

        decimal seconds = (decimal)(duration.Ticks % TimeSpan.TicksPerMinute) / TimeSpan.TicksPerSecond;
        return text.Append(seconds.ToString("0.#######", CultureInfo.InvariantCulture)).Append('s').ToString();
    }
}
