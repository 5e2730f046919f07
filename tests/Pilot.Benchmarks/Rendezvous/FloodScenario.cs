using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Pilot.Benchmarks.Processes;

namespace Pilot.Benchmarks.Rendezvous;

/// <summary>Many attempts to connect, from many addresses of 127/8, each held open as long as the server lets it: what others notice of it, and what it costs.</summary>
internal static class FloodScenario
{
    private const int Addresses = 5000;
    private const int Held = 15_000; // sockets that this process keeps; the oldest make room
    private const int Limit = 10_000; // connections that the server admits
    private const int PerAddress = 20;
    private const int OthersEvery = 500; // attempts between two requests of an honest client

    public static async Task<int> RunAsync(int attempts)
    {
        var directory = Directory.CreateTempSubdirectory("pilot-flood");
        try
        {
            using var server = await RendezvousUnderTest.StartAsync(
                directory.FullName, "memory", "-max-connections", $"{Limit}", "-max-connections-per-address", $"{PerAddress}").ConfigureAwait(false);
            using var honest = new LoadClient(server.Registry, 50_000);
            var memory = ProcessUsage.Memory(server.Id).Resident;
            var cpu = ProcessUsage.CpuSeconds(server.Id);
            var start = Stopwatch.GetTimestamp();
            var held = new Queue<Socket>();
            var latencies = new List<long>();
            int opened = 0, refused = 0;
            for (var i = 0; i < attempts; i++)
            {
                if (held.Count >= Held)
                {
                    held.Dequeue().Dispose();
                }

                var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { LingerState = new LingerOption(true, 0) };
                try
                {
                    var address = i % Addresses;
                    socket.Bind(new IPEndPoint(new IPAddress([127, 60, (byte)(1 + (address / 250)), (byte)(1 + (address % 250))]), 0));
                    socket.Connect(server.Registry);
                    opened++;
                    if (i % 2 == 0)
                    {
                        socket.Send([0, 0]); // half a length prefix
                    }

                    held.Enqueue(socket);
                }
                catch (SocketException)
                {
                    refused++;
                    socket.Dispose();
                }

                if (i % OthersEvery == 0)
                {
                    honest.Send(SimulatedNodes.Frame("{\"type\":\"beacon_list\"}"), 1, Stopwatch.GetTimestamp());
                    while (honest.Outstanding > 0)
                    {
                        honest.Receive(latencies);
                    }
                }
            }

            var seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
            using var newcomer = new LoadClient(server.Registry, 60_000);
            var peak = ProcessUsage.Memory(server.Id).Resident;
            while (held.TryDequeue(out var socket))
            {
                socket.Dispose();
            }

            latencies.Sort();
            double Milliseconds(double part) => latencies[(int)((latencies.Count - 1) * part)] * 1000.0 / Stopwatch.Frequency;
            await Console.Out.WriteLineAsync(FormattableString.Invariant(
                $"{attempts} attempts from {Addresses} addresses in {seconds:0.0} s: {opened} opened, {refused} refused by the system; honest client: median {Milliseconds(0.5):0.0} ms, p99 {Milliseconds(0.99):0.0} ms, worst {Milliseconds(1):0.0} ms; server {memory:0} MB before, {peak:0} MB with at most {Limit} held, {ProcessUsage.CpuSeconds(server.Id) - cpu:0.0} s of processor")).ConfigureAwait(false);
            if (!await AnswersAsync(newcomer).ConfigureAwait(false))
            {
                throw new BenchmarkException("a newcomer got no answer after the flood");
            }

            return 0;
        }
        finally
        {
            directory.Delete(recursive: true);
        }
    }

    // The table may be full for as long as the flood's half frames are waited for; a newcomer asks again until then.
    private static async Task<bool> AnswersAsync(LoadClient client)
    {
        try
        {
            client.Send(SimulatedNodes.Frame("{\"type\":\"beacon_list\"}"), 1, Stopwatch.GetTimestamp());
            await Task.Delay(1).ConfigureAwait(false);
            return client.Receive(null) == 1;
        }
        catch (Exception e) when (e is SocketException or BenchmarkException)
        {
            return false;
        }
    }
}
