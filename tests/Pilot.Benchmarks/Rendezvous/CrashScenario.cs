using System.Buffers.Binary;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Pilot.Protocol;
using Pilot.Rendezvous.Tests.Server;

namespace Pilot.Benchmarks.Rendezvous;

/// <summary>kill -9 at random moments under write load: after each restart everything that was answered must be there, and the store passes its check.</summary>
internal static class CrashScenario
{
    private const int Writers = 4;
    private const int MostMilliseconds = 400; // of load before the kill
    private const int Checked = 200; // answered writes read back per round, the newest; all of them in the last

    /// <param name="rounds">Kills.</param>
    /// <param name="postgres">The store is a PostgreSQL database, which is killed with the server in every second round.</param>
    public static async Task<int> RunAsync(int rounds, bool postgres)
    {
        await using var database = postgres ? await PostgresServer.StartAsync().ConfigureAwait(false) : null;
        var store = database?.ConnectionString ?? string.Empty;
        var directory = Directory.CreateTempSubdirectory("pilot-crash");
        var random = new Random(20261121);
        var answered = new List<(string Key, uint Id)>();
        long compactions = 0;
        try
        {
            for (var round = 1; round <= rounds; round++)
            {
                using var server = await RendezvousUnderTest.StartAsync(directory.FullName, store, "-limit-registrations", "0", "-limit-unsigned", "0", "-limit-queries", "0").ConfigureAwait(false);
                Check(server.Registry, round == rounds ? answered : answered[Math.Max(0, answered.Count - Checked)..], round);
                using var stop = new CancellationTokenSource();
                var writers = Enumerable.Range(0, Writers).Select(_ => Task.Run(() => Write(server.Registry, stop.Token))).ToArray();
                await Task.Delay(random.Next(5, MostMilliseconds)).ConfigureAwait(false);
                if (database is not null && round % 2 == 0)
                {
                    await database.KillAsync().ConfigureAwait(false);
                }

                server.Kill();
                await stop.CancelAsync().ConfigureAwait(false);
                foreach (var batch in await Task.WhenAll(writers).ConfigureAwait(false))
                {
                    answered.AddRange(batch);
                }

                if (database is not null && round % 2 == 0)
                {
                    await database.BeginAsync().ConfigureAwait(false);
                }

                compactions += server.Output.Split("store compacted").Length - 1;
                if (round % 20 == 0)
                {
                    await Console.Error.WriteLineAsync($"bench: round {round}: {answered.Count} answered writes, all there").ConfigureAwait(false);
                }
            }

            using (var last = await RendezvousUnderTest.StartAsync(directory.FullName, store, "-limit-queries", "0").ConfigureAwait(false))
            {
                Check(last.Registry, answered, rounds + 1);
            }

            await Console.Out.WriteLineAsync($"{rounds} rounds, {answered.Count} answered writes, none lost").ConfigureAwait(false);
            return 0;
        }
        finally
        {
            directory.Delete(recursive: true);
        }
    }

    private static List<(string Key, uint Id)> Write(IPEndPoint server, CancellationToken stop)
    {
        var done = new List<(string, uint)>();
        try
        {
            using var client = Connect(server);
            while (!stop.IsCancellationRequested)
            {
                var key = Identity.Create().PublicKeyText;
                using var answer = Call(client, $"{{\"type\":\"register\",\"public_key\":\"{key}\"}}");
                done.Add((key, answer.RootElement.GetProperty("node_id").GetUInt32()));
            }
        }
        catch (Exception e) when (e is SocketException or IOException)
        {
            Debug.WriteLine(e.Message); // the kill; what was answered is in the list
        }

        return done;
    }

    private static void Check(IPEndPoint server, List<(string Key, uint Id)> expected, int round)
    {
        using var client = Connect(server);
        foreach (var (key, id) in expected)
        {
            using var answer = Call(client, $"{{\"type\":\"lookup\",\"node_id\":{id}}}");
            if (!answer.RootElement.TryGetProperty("public_key", out var found) || found.GetString() != key)
            {
                throw new BenchmarkException($"round {round}: node {id} was answered and is lost: {answer.RootElement}");
            }
        }
    }

    private static NetworkStream Connect(IPEndPoint server)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        socket.Connect(server);
        return new NetworkStream(socket, ownsSocket: true);
    }

    private static System.Text.Json.JsonDocument Call(NetworkStream stream, string request)
    {
        stream.Write(SimulatedNodes.Frame(request));
        Span<byte> prefix = stackalloc byte[4];
        stream.ReadExactly(prefix);
        var body = new byte[BinaryPrimitives.ReadUInt32BigEndian(prefix)];
        stream.ReadExactly(body);
        return System.Text.Json.JsonDocument.Parse(body);
    }
}
