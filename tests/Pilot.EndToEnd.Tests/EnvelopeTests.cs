using System.Text.Json;
using Pilot.EndToEnd.Tests.Lab;

namespace Pilot.EndToEnd.Tests;

/// <summary>Every command of the real program with <c>--json</c> answers with one envelope on one stream.</summary>
[Collection(TrustedPairCollection.Name)]
public sealed class EnvelopeTests(TrustedPair pair)
{
    [Fact]
    public async Task Every_command_answers_with_one_envelope()
    {
        Dictionary<string, string> arguments = new()
        {
            ["find"] = "agent-b", ["lookup"] = $"{pair.B.NodeId}", ["handshake"] = "agent-b", ["approve"] = "77", ["reject"] = "77", ["untrust"] = "77",
            ["trust add"] = "agent-b", ["trust remove"] = "77", ["trust approve"] = "77", ["trust reject"] = "77", ["connect"] = "agent-b 7 --message x",
            ["send"] = "agent-b 7 --data x", ["recv"] = "1000 --timeout 10ms", ["listen"] = "5000 --count 1 --timeout 10ms", ["ping"] = "agent-b --count 1",
            ["bench"] = "agent-b 0.1", ["disconnect"] = "9", ["set-hostname"] = "agent-a", ["help"] = "ping",
        };
        JsonElement commands = (await pair.A.JsonAsync("context")).Data.GetProperty("commands");
        foreach (JsonProperty command in commands.EnumerateObject())
        {
            // These would stop the shared daemon, or take it out of the registry.
            if (command.Name is "daemon start" or "daemon stop" or "deregister" or "clear-hostname" or "set-public")
            {
                continue;
            }

            string line = $"{command.Name} {arguments.GetValueOrDefault(command.Name, string.Empty)}".TrimEnd();
            Outcome outcome = await pair.A.CtlAsync([.. line.Split(' '), "--json"]);
            bool ok = outcome.StdoutBytes.Length > 0;
            Assert.True(ok != outcome.Stderr.Length > 0, $"{line}: {outcome.Everything}");
            string text = ok ? outcome.Stdout : outcome.Stderr;
            Assert.Equal(text.Length - 1, text.IndexOf('\n', StringComparison.Ordinal));
            Assert.Equal(ok ? "ok" : "error", outcome.Json.GetProperty("status").GetString());
            Assert.Equal(ok ? 0 : 1, outcome.Exit);
        }
    }
}
