using System.Globalization;
using Pilot.EndToEnd.Tests.Lab;
using Pilot.EndToEnd.Tests.Nat.Lab;
using Pilot.EndToEnd.Tests.Nat.Wire;
using Pilot.Ipc;

namespace Pilot.EndToEnd.Tests.Nat;

/// <summary>What takes its time: silence, and luck.</summary>
public sealed class NatPatienceTests(ITestOutputHelper output)
{
    private const int Payload = 50_000;

    /// <summary>
    /// Symmetric toward port-restricted leaves a port to guess, which is easy where ports are given out in sequence. Data flows in any case; how often
    /// the guess is right is written down (<c>tests/nat-lab prediction</c>).
    /// </summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Where_a_port_has_to_be_guessed_data_flows_all_the_same(bool bothSymmetric)
    {
        NatRules symmetric = NatRules.Symmetric with { Ports = PortChoice.Sequential };
        int direct = 0;
        for (int i = 0; i < LabTimes.Tries; i++)
        {
            await using LabPair pair = await LabPair.StartAsync(
                lab => lab.AddBehind("a", bothSymmetric ? symmetric : NatRules.PortRestricted), lab => lab.AddBehind("b", symmetric));
            await pair.A.EchoAsync(pair.B, Payload);
            if (LabTimes.Tries > 1)
            {
                long until = Environment.TickCount64 + 20_000; // a round of punches at least every 15 s
                while (Environment.TickCount64 < until && await pair.A.PathToAsync(pair.B) == PathName.Relay)
                {
                    await Task.Delay(100, TestContext.Current.CancellationToken);
                }
            }

            direct += await pair.A.PathToAsync(pair.B) == PathName.Relay ? 0 : 1;
        }

        output.WriteLine($"symmetric, ports in sequence, toward {(bothSymmetric ? "the same" : "port-restricted")}: {direct} of {LabTimes.Tries} direct");
    }

    /// <summary>The suite waits for a moment; <c>tests/nat-lab idle</c> for five minutes, ten times the life of the mappings.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task After_silence_the_first_packet_of_either_side_arrives(bool direct)
    {
        NatRules rules = (direct ? NatRules.PortRestricted : NatRules.Symmetric) with { UdpTimeout = TimeSpan.FromSeconds(30) };
        await using LabPair pair = await LabPair.StartAsync(lab => lab.AddBehind("a", rules), lab => lab.AddBehind("b", rules));
        await pair.UntilRouteAsync(direct);
        for (int turn = 0; turn < 2; turn++)
        {
            long until = Environment.TickCount64 + (long)LabTimes.Idle.TotalMilliseconds;
            await Wait.UntilAsync("silence", () => Environment.TickCount64 >= until, LabTimes.Idle * 2);
            (LabAgent from, LabAgent to) = turn == 0 ? (pair.A, pair.B) : (pair.B, pair.A);
            (TimeSpan time, string path) = await from.EchoAsync(to);
            output.WriteLine(string.Create(
                CultureInfo.InvariantCulture, $"{(direct ? "direct" : "relayed")}, {LabTimes.Idle.TotalSeconds:0} s of silence: answer by {path} after {time.TotalMilliseconds:0} ms"));
            await pair.UntilRouteAsync(direct, TimeSpan.FromMilliseconds(1)); // nothing had to be found anew
        }
    }
}
