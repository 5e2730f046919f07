using System.Diagnostics;
using Pilot.Benchmarks.EndToEnd;
using Pilot.Benchmarks.Link;
using Pilot.Benchmarks.Processes;

namespace Pilot.Benchmarks.Fairness;

/// <summary>Two flows through one bottleneck: one of ours beside the kernel's TCP, or two of ours from two daemons.</summary>
internal sealed class FairnessScenario(FairnessNetwork network, BenchmarkReport report, string control)
{
    private const int Port = 2300;
    private const double SecondsBetweenStarts = 3;
    private const double SecondsBesideTcp = 40; // some dozens of CUBIC's saw teeth, which take seconds
    private const double RoundTripsBefore = 10; // two of ours
    private const double SecondsOfTwo = 15;
    private static readonly TimeSpan LinePatience = TimeSpan.FromSeconds(90);

    private readonly AppProcess _first = AppProcess.Start(network.FirstSender.SocketPath);
    private readonly AppProcess _second = AppProcess.Start(network.SecondSender.SocketPath);
    private readonly AppProcess _firstSink = AppProcess.Start(network.Receiver.SocketPath);
    private readonly AppProcess _secondSink = AppProcess.Start(network.Receiver.SocketPath);

    /// <summary>Runs the cases whose key begins so.</summary>
    public async Task RunAsync(string filter)
    {
        Console.WriteLine($"{"case",-28} {"ours",6} {"used",6} {"asked",10}  link (to the receiver | back)");
        foreach (var one in FairnessCase.All.Where(c => c.Key.StartsWith(filter, StringComparison.Ordinal) || (filter == "two" && c.Order == FairnessOrder.TwoOfOurs)))
        {
            try
            {
                await (one.Order == FairnessOrder.TwoOfOurs ? TwoOfOursAsync(one) : BesideTcpAsync(one)).ConfigureAwait(false);
            }
            catch (BenchmarkException exception)
            {
                throw new BenchmarkException($"case {one.Key} failed: {exception.Message}", exception);
            }
        }
    }

    public void Stop()
    {
        foreach (var app in new[] { _first, _second, _firstSink, _secondSink })
        {
            app.Dispose();
        }
    }

    private async Task BesideTcpAsync(FairnessCase one)
    {
        await network.Link.SetAsync(one.Link).ConfigureAwait(false);
        using var tcpSink = RoleProcess.StartBy(network.Link.InRight, "tcp-sink", LinkedNamespaces.RightAddress);
        var port = await tcpSink.ReadLineAsync(LinePatience).ConfigureAwait(false);
        var oursIsFirst = one.Order == FairnessOrder.OursFirst;
        var total = (2 * SecondsBetweenStarts) + SecondsBesideTcp + 1;
        var ourSink = await _firstSink.SinkSeriesAsync(Port, LinePatience).ConfigureAwait(false);
        var tcpSeries = tcpSink.ReadSeriesAsync(LinePatience);
        RoleProcess StartTcp(double seconds) => RoleProcess.StartBy(
            network.Link.InLeft, "tcp-source", LinkedNamespaces.RightAddress, port, seconds.ToString(System.Globalization.CultureInfo.InvariantCulture), control);
        Task<long> StartOurs(double seconds) => _first.SourceTimedAsync(network.Receiver.Address, Port, seconds, LinePatience);

        Task<long> ours;
        RoleProcess tcp;
        if (oursIsFirst)
        {
            ours = StartOurs(total);
            await Task.Delay(TimeSpan.FromSeconds(SecondsBetweenStarts)).ConfigureAwait(false);
            tcp = StartTcp(total - SecondsBetweenStarts);
        }
        else
        {
            tcp = StartTcp(total);
            await Task.Delay(TimeSpan.FromSeconds(SecondsBetweenStarts)).ConfigureAwait(false);
            ours = StartOurs(total - SecondsBetweenStarts);
        }

        using (tcp)
        {
            await Task.Delay(TimeSpan.FromSeconds(SecondsBetweenStarts)).ConfigureAwait(false); // the newcomer's start-up
            var from = Stopwatch.GetTimestamp();
            await FinishAsync(one, from, SecondsBesideTcp, () => ours, ourSink, tcpSeries).ConfigureAwait(false);
        }
    }

    private async Task TwoOfOursAsync(FairnessCase one)
    {
        await network.Link.SetAsync(one.Link).ConfigureAwait(false);
        var firstSink = await _firstSink.SinkSeriesAsync(Port, LinePatience).ConfigureAwait(false);
        var secondSink = await _secondSink.SinkSeriesAsync(Port + 1, LinePatience).ConfigureAwait(false);
        var before = RoundTripsBefore * one.RoundTrip.TotalSeconds;
        var total = before + SecondsOfTwo + 1;
        var start = Stopwatch.GetTimestamp();
        var first = _first.SourceTimedAsync(network.Receiver.Address, Port, total, LinePatience);
        var second = _second.SourceTimedAsync(network.Receiver.Address, Port + 1, total, LinePatience);
        var from = start + (long)(before * Stopwatch.Frequency);
        await FinishAsync(one, from, before + SecondsOfTwo, async () => await first.ConfigureAwait(false) + await second.ConfigureAwait(false), firstSink, secondSink).ConfigureAwait(false);
    }

    private async Task FinishAsync(FairnessCase one, long from, double seconds, Func<Task<long>> sources, Task<ByteSeries> firstSink, Task<ByteSeries> secondSink)
    {
        var to = from + (long)(seconds * Stopwatch.Frequency);
        await Task.Delay(Stopwatch.GetElapsedTime(Stopwatch.GetTimestamp(), to)).ConfigureAwait(false);
        var stats = await network.Link.DescribeAsync().ConfigureAwait(false);
        await Task.Delay(TimeSpan.FromSeconds(1)).ConfigureAwait(false);
        await network.Link.SetAsync(new LinkParameters()).ConfigureAwait(false); // the rest passes quickly
        _ = await sources().ConfigureAwait(false);
        var (a, b) = (await firstSink.ConfigureAwait(false), await secondSink.ConfigureAwait(false));
        var (first, second) = (a.MegabitsPerSecond(from, to), b.MegabitsPerSecond(from, to));
        var share = first / (first + second);
        var used = (first + second) / one.Megabits;
        var asked = one.Order == FairnessOrder.TwoOfOurs ? "40 to 60 %" : "33 to 67 %";
        Console.WriteLine($"{one.Key,-28} {share,6:0.0 %} {used,6:0 %} {asked,10}  {stats}");
        report.Add($"share_{one.Key}", $"{one.Key}: share of our first flow", "of both", share);
        report.Add($"used_{one.Key}", $"{one.Key}: both flows", "of rate", used);
    }
}
