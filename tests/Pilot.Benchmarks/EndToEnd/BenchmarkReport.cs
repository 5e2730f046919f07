using System.Globalization;
using System.Text.Json;

namespace Pilot.Benchmarks.EndToEnd;

/// <summary>Figures by flat key: samples of several runs, printed as a table and written as JSON.</summary>
internal sealed class BenchmarkReport
{
    private readonly Dictionary<string, (List<double> Samples, string Unit, string Text)> _figures = [];

    /// <summary>Adds the sample of one run.</summary>
    public void Add(string key, string text, string unit, double value)
    {
        if (!_figures.TryGetValue(key, out var figure))
        {
            _figures.Add(key, figure = ([], unit, text));
        }

        figure.Samples.Add(value);
    }

    public double Median(string key) => Statistics.Median(_figures[key].Samples);

    public void Print(TextWriter output)
    {
        output.WriteLine();
        output.WriteLine($"{"figure",-52} {"median",10} {"lowest",10} {"highest",10}  unit");
        foreach (var (_, figure) in _figures)
        {
            output.WriteLine($"{figure.Text,-52} {Text(Statistics.Median(figure.Samples)),10} {Text(figure.Samples.Min()),10} {Text(figure.Samples.Max()),10}  {figure.Unit}");
        }
    }

    /// <summary>Writes <c>{"key": median, ...}</c>, with <c>runs</c> and <c>samples</c> beside.</summary>
    public void WriteJson(string path, int runs)
    {
        using var file = File.Create(path);
        using var writer = new Utf8JsonWriter(file, new JsonWriterOptions { Indented = true });
        writer.WriteStartObject();
        writer.WriteNumber("runs", runs);
        writer.WriteNumber("processors", Environment.ProcessorCount);
        foreach (var (key, figure) in _figures)
        {
            writer.WriteNumber(key, Math.Round(Statistics.Median(figure.Samples), 4));
        }

        writer.WriteStartObject("samples");
        foreach (var (key, figure) in _figures.Where(f => f.Value.Samples.Count > 1))
        {
            writer.WriteStartArray(key);
            figure.Samples.ForEach(s => writer.WriteNumberValue(Math.Round(s, 4)));
            writer.WriteEndArray();
        }

        writer.WriteEndObject();
        writer.WriteEndObject();
    }

    private static string Text(double value) => value.ToString(Math.Abs(value) >= 100 ? "0" : Math.Abs(value) >= 10 ? "0.0" : "0.000", CultureInfo.InvariantCulture);
}
