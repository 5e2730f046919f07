using System.Globalization;
using System.Net;

namespace Pilot.Rendezvous.Http;

/// <summary>Flat badges as pages embed them (spec 03 section 11).</summary>
internal static class Badge
{
    private const double CharacterWidth = 6.5;
    private const int Padding = 10;
    private const string Idle = "#9f9f9f";

    /// <summary>SVG of a badge by the last part of its path; null when there is none of that name.</summary>
    public static string? Find(string name, NetworkPicture picture, long requests) => name switch
    {
        "nodes" => Draw("online nodes", picture.Active, picture.Active > 0 ? "#4c1" : Idle),
        "trust" => Draw("trust links", picture.TrustLinks, picture.TrustLinks > 0 ? "#58a6ff" : Idle),
        "requests" => Draw("requests", requests, "#a855f7"),
        "tags" => Draw("tags", picture.Tags.Length, picture.Tags.Length > 0 ? "#f59e0b" : Idle),
        "task-executors" => Draw("task executors", picture.TaskExecutors, picture.TaskExecutors > 0 ? "#4c1" : Idle),
        _ => null,
    };

    /// <summary>Large numbers with K, M or B and one decimal.</summary>
    public static string Short(long value) => value switch
    {
        >= 1_000_000_000 => (value / 1e9).ToString("0.0", CultureInfo.InvariantCulture) + "B",
        >= 1_000_000 => (value / 1e6).ToString("0.0", CultureInfo.InvariantCulture) + "M",
        >= 1_000 => (value / 1e3).ToString("0.0", CultureInfo.InvariantCulture) + "K",
        _ => value.ToString(CultureInfo.InvariantCulture),
    };

    /// <summary>The badge as SVG.</summary>
    public static string Draw(string label, long count, string color)
    {
        string value = Short(count);
        (int left, int right) = (Width(label), Width(value));
        string title = WebUtility.HtmlEncode($"{label}: {value}");
        return string.Create(CultureInfo.InvariantCulture, $"""
            <svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" aria-label="{title}"><title>{title}</title><rect width="{left}" height="20" fill="#555"/><rect x="{left}" width="{right}" height="20" fill="{color}"/><g fill="#fff" text-anchor="middle" font-family="Verdana,Geneva,DejaVu Sans,sans-serif" font-size="11"><text x="{left / 2.0}" y="14">{WebUtility.HtmlEncode(label)}</text><text x="{left + (right / 2.0)}" y="14">{value}</text></g></svg>
            """);
    }

    private static int Width(string text) => (int)(CharacterWidth * text.Length) + Padding;
}
