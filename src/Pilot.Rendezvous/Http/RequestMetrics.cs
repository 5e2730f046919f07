using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Globalization;
using System.Text;
using Pilot.Rendezvous.Registry;

namespace Pilot.Rendezvous.Http;

/// <summary>
/// Counts what the registry answers, by type and outcome, and prints it for Prometheus (spec 03 section 11.1). The same figures are instruments of the
/// meter <c>Pilot.Rendezvous</c>. Types that are not known count as <c>unknown</c>: a stranger makes no series.
/// </summary>
internal sealed class RequestMetrics : IDisposable
{
    /// <summary>Label of types that do not exist.</summary>
    public const string Unknown = "unknown";

    // Upper bounds in seconds (spec 03 section 11.1)
    private static readonly double[] Bounds = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1];

    private readonly SortedDictionary<string, Series> _series = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Series> _byType = new(StringComparer.Ordinal);
    private readonly Series _unknown = new();
    private readonly Meter _meter = new("Pilot.Rendezvous");

    public RequestMetrics(IEnumerable<string> types)
    {
        foreach (string type in types)
        {
            _series[type] = _byType[type] = new Series();
        }

        _series[Unknown] = _unknown;
        _meter.CreateObservableCounter("pilot_requests", () => Measure(s => Volatile.Read(ref s.Requests)), description: "Requests by type");
        _meter.CreateObservableCounter("pilot_errors", () => Measure(s => Volatile.Read(ref s.Errors)), description: "Requests answered with an error, by type");
    }

    /// <summary>All requests so far.</summary>
    public long Total
    {
        get
        {
            long total = 0;
            foreach (Series series in _series.Values)
            {
                total += Volatile.Read(ref series.Requests);
            }

            return total;
        }
    }

    /// <summary>Counts one answer. Any thread.</summary>
    public void Count(string type, bool refused, long start)
    {
        Series series = _byType.GetValueOrDefault(type, _unknown);
        Interlocked.Increment(ref series.Requests);
        if (refused)
        {
            Interlocked.Increment(ref series.Errors);
        }

        long ticks = Stopwatch.GetTimestamp() - start;
        double seconds = (double)ticks / Stopwatch.Frequency;
        int bucket = 0;
        while (bucket < Bounds.Length && seconds > Bounds[bucket])
        {
            bucket++;
        }

        Interlocked.Increment(ref series.Buckets[bucket]);
        Interlocked.Add(ref series.Ticks, ticks);
    }

    /// <summary>Requests that were answered without an error.</summary>
    public long Succeeded(string type) => _byType.TryGetValue(type, out Series? s) ? Volatile.Read(ref s.Requests) - Volatile.Read(ref s.Errors) : 0;

    public void Write(StringBuilder text)
    {
        Family(text, "pilot_requests_total", "counter", "Requests by type.", (s, l) => Line(text, "pilot_requests_total", l, Volatile.Read(ref s.Requests)));
        Family(text, "pilot_errors_total", "counter", "Requests answered with an error, by type.", (s, l) =>
        {
            if (Volatile.Read(ref s.Errors) is > 0 and long errors)
            {
                Line(text, "pilot_errors_total", l, errors);
            }
        });
        Family(text, "pilot_request_duration_seconds", "histogram", "Time from a request's last byte to its answer.", (s, type) =>
        {
            long sum = 0;
            for (int i = 0; i <= Bounds.Length; i++)
            {
                sum += Volatile.Read(ref s.Buckets[i]);
                string bound = i < Bounds.Length ? Bounds[i].ToString(CultureInfo.InvariantCulture) : "+Inf";
                text.Append(CultureInfo.InvariantCulture, $"pilot_request_duration_seconds_bucket{{type=\"{type}\",le=\"{bound}\"}} {sum}\n");
            }

            text.Append(CultureInfo.InvariantCulture, $"pilot_request_duration_seconds_sum{{type=\"{type}\"}} {(double)Volatile.Read(ref s.Ticks) / Stopwatch.Frequency:0.######}\n");
            text.Append(CultureInfo.InvariantCulture, $"pilot_request_duration_seconds_count{{type=\"{type}\"}} {sum}\n");
        });
    }

    /// <summary>One metric with its two comment lines.</summary>
    public static void Single(StringBuilder text, string name, string kind, string help, double value) =>
        text.Append(CultureInfo.InvariantCulture, $"# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");

    public void Dispose() => _meter.Dispose();

    private static void Line(StringBuilder text, string name, string type, long value) =>
        text.Append(CultureInfo.InvariantCulture, $"{name}{{type=\"{type}\"}} {value}\n");

    private void Family(StringBuilder text, string name, string kind, string help, Action<Series, string> write)
    {
        text.Append(CultureInfo.InvariantCulture, $"# HELP {name} {help}\n# TYPE {name} {kind}\n");
        foreach ((string type, Series series) in _series)
        {
            if (Volatile.Read(ref series.Requests) > 0)
            {
                write(series, type);
            }
        }
    }

    private IEnumerable<Measurement<long>> Measure(Func<Series, long> read) =>
        _series.Select(s => new Measurement<long>(read(s.Value), new KeyValuePair<string, object?>("type", s.Key)));

    private sealed class Series
    {
        public long Requests;
        public long Errors;
        public long Ticks;
        public readonly long[] Buckets = new long[Bounds.Length + 1];
    }
}
