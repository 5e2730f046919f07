using Pilot.Protocol;

namespace Pilot.Benchmarks.Link;

/// <summary>
/// <c>tun-link NAME NAME</c>: the link between two network interfaces that it makes. Prints <c>ready</c>.
/// <c>udp-link A B [near=PORT] [far=PORT] [rate=Mb/s] [rtt=ms] [loss=%] ...</c>: the link as a process. Prints <c>near PORT far PORT</c>.
/// On standard input, <c>set WORDS</c> changes the link (answer <c>ok</c>) and <c>stats</c> asks for the counters; the end of input ends it.
/// </summary>
internal static class LinkRole
{
    public static async Task<int> RunAsync(string a, string b, string[] words)
    {
        if (!UdpEndpoint.TryParse(a, out var nodeA) || !UdpEndpoint.TryParse(b, out var nodeB))
        {
            throw new BenchmarkException("udp-link: two addresses are needed, IP:PORT each");
        }

        var near = words.FirstOrDefault(w => w.StartsWith("near=", StringComparison.Ordinal));
        var far = words.FirstOrDefault(w => w.StartsWith("far=", StringComparison.Ordinal));
        using var link = new UdpLink(nodeA, nodeB, Port(near), Port(far), LinkParameters.Parse(words.Where(w => w != near && w != far)));
        return await ServeAsync(link, $"near {link.Near.Port} far {link.Far.Port}").ConfigureAwait(false);
    }

    public static async Task<int> RunTunAsync(string nameA, string nameB)
    {
        using var link = new TunLink(nameA, nameB, new LinkParameters());
        return await ServeAsync(link, "ready").ConfigureAwait(false);
    }

    private static async Task<int> ServeAsync(TwoWayLink link, string greeting)
    {
        var thread = new Thread(link.Run) { Name = "link", IsBackground = true };
        thread.Start();
        Console.WriteLine(greeting);
        while (await Console.In.ReadLineAsync().ConfigureAwait(false) is { } line)
        {
            switch (line.Split(' ', StringSplitOptions.RemoveEmptyEntries))
            {
                case ["set", .. var parameters]:
                    link.Set(LinkParameters.Parse(parameters));
                    Console.WriteLine("ok");
                    break;
                case ["stats"]:
                    Console.WriteLine(await link.DescribeAsync().ConfigureAwait(false));
                    break;
                default:
                    throw new BenchmarkException($"link: unknown command {line}");
            }
        }

        link.Stop();
        thread.Join();
        return 0;
    }

    private static int Port(string? word) => word is null ? 0 : int.Parse(word.AsSpan(word.IndexOf('=', StringComparison.Ordinal) + 1));
}
