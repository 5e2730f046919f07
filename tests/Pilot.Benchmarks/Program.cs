using System.Globalization;
using System.Net.Sockets;
using Pilot.Benchmarks;
using Pilot.Benchmarks.EndToEnd;
using Pilot.Benchmarks.Engine;
using Pilot.Benchmarks.Fairness;
using Pilot.Benchmarks.Link;
using Pilot.Benchmarks.Rendezvous;
using Pilot.Benchmarks.Yardstick;
using Pilot.Client;

CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
try
{
    return await RunAsync(args).ConfigureAwait(false);
}
catch (Exception exception) when (exception is BenchmarkException or PilotException or IOException or SocketException)
{
    await Console.Error.WriteLineAsync($"error: {string.Join(' ', args)}: {exception.Message}").ConfigureAwait(false);
    return 1;
}

static async Task<int> RunAsync(string[] args)
{
    switch (args)
    {
        case ["yardstick-source", var path, var total]:
            YardstickRoles.Source(path, long.Parse(total));
            return 0;
        case ["yardstick-sender", var path, var port, var segment, var total]:
            YardstickRoles.Sender(path, ushort.Parse(port), int.Parse(segment), long.Parse(total));
            return 0;
        case ["yardstick-receiver", var path, var total]:
            YardstickRoles.Receiver(path, long.Parse(total));
            return 0;
        case ["yardstick-sink", var path, var total]:
            YardstickRoles.Sink(path, long.Parse(total));
            return 0;
        case ["yardstick", .. var rest]:
            return await YardstickCommand.RunAsync(rest).ConfigureAwait(false);
        case ["app", var socketPath]:
            return await AppRole.RunAsync(socketPath).ConfigureAwait(false);
        case ["end-to-end", .. var rest]:
            return await EndToEndCommand.RunAsync(rest).ConfigureAwait(false);
        case ["rendezvous", .. var rest]:
            return await RendezvousCommand.RunAsync(rest).ConfigureAwait(false);
        case ["engine"]:
            EngineBenchmarks.Run(static (_, _) => { });
            return 0;
        case ["peers", var count]:
            var peers = new BenchmarkReport();
            PeerTableBenchmark.Run(int.Parse(count), peers);
            peers.Print(Console.Out);
            return 0;
        case ["udp-link", var a, var b, .. var words]:
            return await LinkRole.RunAsync(a, b, words).ConfigureAwait(false);
        case ["tun-link", var a, var b]:
            return await LinkRole.RunTunAsync(a, b).ConfigureAwait(false);
        case ["tcp-sink", var address]:
            return TcpRole.Sink(address);
        case ["tcp-source", var address, var port, var seconds, var control]:
            return TcpRole.Source(address, int.Parse(port), double.Parse(seconds), control);
        default:
            await Console.Error.WriteLineAsync(
                """
                usage: end-to-end [--quick] [--only=latency|throughput] [--json FILE] [--runs N] [--ladder[=RUNG] | --fairness[=CASE]]
                       yardstick [--runs N] [--megabytes N]
                       rendezvous [--nodes N] [--connections N] [--seconds N] [--postgres] [--json FILE]
                       rendezvous crash [--rounds N]
                       engine
                       peers COUNT
                       udp-link A B [near=PORT] [far=PORT] [rate=Mb/s] [rtt=ms] [jitter=ms] [loss=%] [burst=N] [queue=N] [reorder=%] [mtu=N] [seed=N]
                """).ConfigureAwait(false);
            return 2;
    }
}
