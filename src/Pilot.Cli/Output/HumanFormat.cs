using System.Globalization;

namespace Pilot.Cli.Output;

/// <summary>Sizes, clocks and tables of the human output (07 §6.5).</summary>
internal static class HumanFormat
{
    private const double Step = 1024;

    /// <summary><c>N B</c> below 1024, then one decimal in KB, MB, GB (base 1024).</summary>
    public static string Size(double bytes)
    {
        if (bytes < Step)
        {
            return string.Create(CultureInfo.InvariantCulture, $"{(long)bytes} B");
        }

        (double divisor, string unit) = bytes < Step * Step ? (Step, "KB")
            : bytes < Step * Step * Step ? (Step * Step, "MB")
            : (Step * Step * Step, "GB");
        return string.Create(CultureInfo.InvariantCulture, $"{bytes / divisor:0.0} {unit}");
    }

    /// <summary><c>HH:MM:SS</c>; hours grow past two digits.</summary>
    public static string Clock(double seconds)
    {
        long total = (long)Math.Max(0, seconds);
        return string.Create(CultureInfo.InvariantCulture, $"{total / 3600:00}:{total / 60 % 60:00}:{total % 60:00}");
    }

    /// <summary>Local time of a Unix second, <c>YYYY-MM-DD HH:MM:SS</c>.</summary>
    public static string LocalTime(long unixSeconds) =>
        DateTimeOffset.FromUnixTimeSeconds(Math.Clamp(unixSeconds, 0, 253402300799))
            .ToLocalTime().ToString("yyyy-MM-dd HH:mm:ss", CultureInfo.InvariantCulture);

    /// <summary>Left-aligned columns separated by two spaces; the last column is not padded.</summary>
    public static string Row(params ReadOnlySpan<(string Text, int Width)> columns)
    {
        string[] cells = new string[columns.Length];
        for (int i = 0; i < columns.Length; i++)
        {
            string text = OneLine(columns[i].Text);
            cells[i] = i == columns.Length - 1 ? text : text.PadRight(columns[i].Width);
        }

        return string.Join("  ", cells);
    }

    /// <summary>Text that came from another machine must not move the cursor or fake lines.</summary>
    public static string OneLine(string text)
    {
        if (!text.AsSpan().ContainsAnyInRange('\0', '\u001f') && !text.AsSpan().ContainsAnyInRange('\u007f', '\u009f'))
        {
            return text;
        }

        return string.Create(text.Length, text, static (span, source) =>
        {
            for (int i = 0; i < span.Length; i++)
            {
                span[i] = char.IsControl(source[i]) ? ' ' : source[i];
            }
        });
    }
}
