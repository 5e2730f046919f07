using System.Globalization;
using Pilot.Benchmarks.Processes;

namespace Pilot.Benchmarks.Yardstick;

/// <summary>One result of the bare pipeline.</summary>
/// <param name="MegabytesPerSecond">Application to application.</param>
/// <param name="CpuSecondsPerGigabyte">Of sender and receiver together.</param>
internal readonly record struct YardstickResult(double MegabytesPerSecond, double CpuSecondsPerGigabyte);

/// <summary>Starts the four processes and reads the clock.</summary>
internal static class YardstickRun
{
    public static async Task<YardstickResult> MeasureAsync(int segmentSize, long bytes)
    {
        var directory = Directory.CreateTempSubdirectory("pilot-yardstick-");
        try
        {
            var sinkPath = Path.Combine(directory.FullName, "sink");
            var sourcePath = Path.Combine(directory.FullName, "source");
            var total = bytes.ToString(CultureInfo.InvariantCulture);
            var patience = YardstickSettings.StepPatience;
            using var sink = RoleProcess.Start("yardstick-sink", sinkPath, total);
            await sink.ReadLineAsync(patience).ConfigureAwait(false);
            using var receiver = RoleProcess.Start("yardstick-receiver", sinkPath, total);
            var port = await receiver.ReadLineAsync(patience).ConfigureAwait(false);
            using var sender = RoleProcess.Start("yardstick-sender", sourcePath, port, segmentSize.ToString(CultureInfo.InvariantCulture), total);
            await sender.ReadLineAsync(patience).ConfigureAwait(false);
            using var source = RoleProcess.Start("yardstick-source", sourcePath, total);

            var result = MeterReading.Parse(await sink.ReadLineAsync(patience).ConfigureAwait(false));
            var sent = MeterReading.Parse(await sender.ReadLineAsync(patience).ConfigureAwait(false));
            var received = MeterReading.Parse(await receiver.ReadLineAsync(patience).ConfigureAwait(false));
            return new YardstickResult(result.MegabytesPerSecond, sent.CpuSecondsPerGigabyte + received.CpuSecondsPerGigabyte);
        }
        finally
        {
            directory.Delete(recursive: true);
        }
    }
}
