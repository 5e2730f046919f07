using System.Diagnostics;
using Pilot.Cli.Output;

namespace Pilot.Cli.Streams;

/// <summary>One line about a long transfer, redrawn in place; only on a terminal and only for transfers that last.</summary>
internal sealed class ProgressLine(CliOutput output, long? total)
{
    private static readonly TimeSpan ShowAfter = TimeSpan.FromSeconds(1);
    private readonly long _started = Stopwatch.GetTimestamp();
    private int _width;

    public void Show(long sent, long received)
    {
        TimeSpan elapsed = Stopwatch.GetElapsedTime(_started);
        if (!output.ShowsProgress || elapsed < ShowAfter)
        {
            return;
        }

        long moved = Math.Max(sent, received);
        string share = total is > 0 and { } all ? $" of {HumanFormat.Size(all)} ({Math.Min(100, 100 * sent / all)}%)" : string.Empty;
        string text = $"{HumanFormat.Size(moved)}{share}, {HumanFormat.Size(moved / elapsed.TotalSeconds)}/s";
        int width = Math.Max(_width, text.Length);
        output.Progress("\r" + text.PadRight(width));
        _width = width;
    }

    public void Clear()
    {
        if (_width > 0)
        {
            output.Progress("\r" + new string(' ', _width) + "\r");
            _width = 0;
        }
    }
}
