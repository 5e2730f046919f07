namespace Pilot.Benchmarks.Yardstick;

/// <summary><c>yardstick [--runs N] [--megabytes N]</c>: the bare pipeline alone.</summary>
internal static class YardstickCommand
{
    private const int DefaultRuns = 5;
    private const int DefaultMegabytes = 1000;

    public static async Task<int> RunAsync(string[] args)
    {
        var runs = DefaultRuns;
        var megabytes = DefaultMegabytes;
        for (var i = 0; i + 1 < args.Length; i += 2)
        {
            switch (args[i])
            {
                case "--runs":
                    runs = int.Parse(args[i + 1]);
                    break;
                case "--megabytes":
                    megabytes = int.Parse(args[i + 1]);
                    break;
                default:
                    throw new BenchmarkException($"unknown option {args[i]}");
            }
        }

        Console.WriteLine("segment   MB/s   CPU s/GB (sender + receiver)");
        foreach (var segmentSize in YardstickSettings.SegmentSizes)
        {
            var results = new List<YardstickResult>();
            for (var i = 0; i < runs; i++)
            {
                results.Add(await YardstickRun.MeasureAsync(segmentSize, megabytes * 1_000_000L).ConfigureAwait(false));
            }

            var speed = Statistics.Median(results.Select(r => r.MegabytesPerSecond));
            var cpu = Statistics.Median(results.Select(r => r.CpuSecondsPerGigabyte));
            Console.WriteLine($"{segmentSize,7} {speed,6:0} {cpu,10:0.00}   {string.Join(' ', results.Select(r => r.MegabytesPerSecond.ToString("0")))}");
        }

        return 0;
    }
}
