using System.Text.Json;
using Pilot.Protocol;
using Pilot.Rendezvous.Registry;

namespace Pilot.Rendezvous.Tests.Registry;

/// <summary>What two reference daemons said to a reference registry, said to ours.</summary>
public sealed class DaemonTranscriptTests
{
    private static readonly string[] Volatile = ["time", "requests[].timestamp", "responses[].timestamp"];

    [Theory]
    [InlineData(RegistryPolicy.Reference)]
    [InlineData(RegistryPolicy.Strict)]
    public void Two_reference_daemons_get_the_recorded_answers(RegistryPolicy policy)
    {
        var session = new RegistrySession(policy);
        RegistryConnection[] connections = [Open(41001), Open(41002)];
        var rows = new List<(double Time, int Daemon, JsonElement Row)>();
        for (int i = 0; i < 2; i++)
        {
            using JsonDocument document = JsonDocument.Parse(VectorFile.Find("registry.json", $"daemon/d{i + 1}").Text("text"));
            rows.AddRange(document.RootElement.EnumerateArray().Select(r => (r.GetProperty("t").GetDouble(), i, r.Clone())));
        }

        DateTimeOffset start = session.Now;
        int compared = 0;
        var differences = new List<string>();
        foreach ((double time, int daemon, JsonElement row) in rows.OrderBy(r => r.Time).ThenBy(r => r.Daemon))
        {
            string request = row.Text("request");
            if (request.StartsWith("pilotctl", StringComparison.Ordinal))
            {
                continue;
            }

            session.Advance(start + TimeSpan.FromSeconds(time) - session.Now);
            string answer = session.SendText(connections[daemon], request)!;
            compared++;
            if (JsonCompare.Difference(row.Text("response"), answer, Volatile) is { } difference)
            {
                differences.Add($"{time} d{daemon + 1}: {difference}");
            }
        }

        Assert.Equal(41, compared);
        // B looks A up ten milliseconds before A reports its trust: the lookup privacy of the strict policy hides A's hostname until then.
        Assert.Equal(policy == RegistryPolicy.Strict ? ["7.83 d2: .hostname missing"] : [], differences);
    }

    private static RegistryConnection Open(ushort port) => new(UdpEndpoint.FromIPv4(0x7F000001, port));
}
