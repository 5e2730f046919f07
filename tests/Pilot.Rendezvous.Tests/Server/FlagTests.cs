using Pilot.Rendezvous.Beacon;
using Pilot.Rendezvous.Registry;
using Pilot.Rendezvous.Startup;

namespace Pilot.Rendezvous.Tests.Server;

public sealed class FlagTests
{
    private static Settings Parse(params string[] args) => RendezvousFlags.Parse(args, _ => null);

    [Fact]
    public void Both_dash_styles_and_both_value_styles()
    {
        Settings settings = Parse("-registry-addr", ":1", "--beacon-addr=:2", "-tls", "--http", "127.0.0.1:3", "-limit-heartbeats=7");
        Assert.Equal(":1", settings.RegistryAddress);
        Assert.Equal(":2", settings.BeaconAddress);
        Assert.True(settings.Tls);
        Assert.Equal("127.0.0.1:3", settings.HttpAddress);
        Assert.Equal(7, settings.ToRegistryOptions().Limits.HeartbeatsPerMinute);
        Assert.False(Parse("-tls=false").Tls);
    }

    [Theory]
    [InlineData("-bogus")]
    [InlineData("-registry-addr")]
    [InlineData("-policy", "lax")]
    [InlineData("-tls=perhaps")]
    [InlineData("-limit-queries", "-1")]
    [InlineData("stray")]
    public void Bad_command_lines_are_usage_errors(params string[] args) => Assert.Throws<UsageException>(() => Parse(args));

    [Theory]
    [InlineData("-h")]
    [InlineData("--help")]
    public void Help_is_help(string flag) => Assert.Throws<HelpRequestedException>(() => Parse(flag));

    [Theory]
    [InlineData("flag provided but not defined: -bogus", "--bogus=1")]
    [InlineData("flag provided but not defined: -tls:true", "-tls:true")]
    [InlineData("flag needs an argument: -registry-addr", "-tls", "-registry-addr")]
    [InlineData("unexpected argument: false", "-tls", "false")]
    [InlineData("unexpected argument: @/dev/null", "@/dev/null")]
    [InlineData("unexpected argument: [diagram]", "[diagram]", "-tls")]
    [InlineData("unexpected argument: rendezvous", "rendezvous")]
    [InlineData("invalid boolean value \"perhaps\" for flag -tls: not a boolean", "-tls=perhaps")]
    [InlineData("invalid value \"ten\" for flag -limit-queries: not a number", "-limit-queries", "ten")]
    [InlineData("invalid value \"\" for flag -limit-queries: not a number", "-limit-queries=")]
    [InlineData("invalid value \"lax\" for flag -policy: must be strict or reference", "-policy", "lax")]
    [InlineData("invalid value \"nothing\" for flag -policy-except: unknown rule nothing", "-policy-except=nothing")]
    public void The_mistake_is_named(string message, params string[] args) => Assert.Equal(message, Assert.Throws<UsageException>(() => Parse(args)).Message);

    [Fact]
    public void Values_may_look_like_anything_the_last_one_wins_lists_add_up()
    {
        Assert.Equal("-tls", Parse("-store", "-tls").Store);
        Assert.Equal("@file", Parse("-store", "@file").Store);
        Assert.Equal("/var/rendezvous", Parse("-store=/var/rendezvous").Store);
        Assert.Equal("b", Parse("-store=a", "--store", "b").Store);
        Assert.Equal("", Parse("-registry-addr=").RegistryAddress);
        Assert.Equal(["a:1", "b:2", "c:3"], Parse("-beacon-allow", "a:1,b:2", "-beacon-allow=c:3").AllowedBeacons);
        Assert.Equal(RegistryPolicy.KeyExpiry | RegistryPolicy.Retention, Parse("-policy-except", "key-expiry", "-policy-except", "retention").Exceptions);
    }

    [Fact]
    public void The_page_about_flags_shows_the_help()
    {
        DirectoryInfo? at = new(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(at.FullName, "Pilot.sln")))
        {
            at = at.Parent ?? throw new InvalidOperationException($"no Pilot.sln above {AppContext.BaseDirectory}");
        }

        Assert.Contains($"```\n{RendezvousFlags.Usage}```\n", File.ReadAllText(Path.Combine(at.FullName, "docs", "flags.md")), StringComparison.Ordinal);
        Assert.Contains("\n  -limit-queries N\n    \tqueries per minute (default 500)\n", RendezvousFlags.Usage, StringComparison.Ordinal);
    }

    [Fact]
    public void Policy_and_its_exceptions()
    {
        Assert.Equal(RegistryPolicy.Strict, Parse().ToRegistryOptions().Policy);
        Assert.Equal(RegistryPolicy.Reference, Parse("-policy", "reference").ToRegistryOptions().Policy);
        Assert.Equal(BeaconRules.Reference, Parse("-policy", "reference").ToBeaconOptions().Rules);
        Assert.Equal(
            RegistryPolicy.Strict & ~(RegistryPolicy.DirectionalConsent | RegistryPolicy.LanPrivacy),
            Parse("-policy-except", "directional-consent,lan-privacy").ToRegistryOptions().Policy);
        Assert.Equal(RegistryPolicy.KeyExpiry, Parse("-policy", "reference", "-policy-except", "key-expiry").ToRegistryOptions().Policy);
    }

    [Fact]
    public void Configuration_file_is_overridden_by_flags()
    {
        string file = Path.GetTempFileName();
        try
        {
            File.WriteAllText(file, "{\"registry_addr\":\":7\",\"beacon-addr\":\":8\",\"tls\":true,\"limit-queries\":5,\"unknown\":[1]}");
            Settings settings = Parse("-config", file, "-registry-addr", ":9");
            Assert.Equal(":9", settings.RegistryAddress);
            Assert.Equal(":8", settings.BeaconAddress);
            Assert.True(settings.Tls);
            Assert.Equal(5, settings.Limits.QueriesPerMinute);
            File.WriteAllText(file, "{\"tls\":\"perhaps\"}");
            Assert.StartsWith("load config:", Assert.Throws<StartException>(() => Parse("-config", file)).Message, StringComparison.Ordinal);
            File.WriteAllText(file, "[1]");
            Assert.Throws<StartException>(() => Parse("-config", file));
            File.WriteAllText(file, "secret\n");
            Assert.Equal("secret", Parse("-admin-token-file", file).AdminToken);
        }
        finally
        {
            File.Delete(file);
        }

        Assert.Throws<StartException>(() => Parse("-config", file));
        Assert.Equal("from env", RendezvousFlags.Parse([], _ => "from env").AdminToken);
    }

    [Fact]
    public void Addresses()
    {
        Assert.Equal("[::]:9000", ListenAddress.Parse("x", ":9000").ToString());
        Assert.Equal("127.0.0.1:0", ListenAddress.Parse("x", "127.0.0.1:0").ToString());
        Assert.Equal("[::1]:5", ListenAddress.Parse("x", "[::1]:5").ToString());
        Assert.Equal("127.0.0.1:5", ListenAddress.Parse("x", "localhost:5").ToString());
        Assert.Throws<StartException>(() => ListenAddress.Parse("x", "9000"));
        Assert.Throws<StartException>(() => ListenAddress.Parse("x", ":99999"));
        Assert.Throws<StartException>(() => ListenAddress.Parse("x", new string('a', 300) + ":1"));
    }

    [Fact]
    public void A_restart_is_named_for_all_that_a_running_server_cannot_change()
    {
        Assert.Equal(
            ["beacon-second-addr", "beacon-peers", "beacon-key-file"],
            FixedSettings.Changed(Parse(), Parse("-beacon-second-addr", "192.0.2.1", "-beacon-peers", "192.0.2.2:9001", "-beacon-key-file", "k")));
    }

    [Fact]
    public void Log_lines_carry_no_control_characters()
    {
        foreach (bool json in (bool[])[false, true])
        {
            var text = new StringWriter();
            using (var log = new Serilog.LoggerConfiguration().WriteTo.Sink(new LineSink(text, json)).CreateLogger())
            {
                log.ForContext("Reason", "\u001b[31m\u009b2J\u0007").Information("refused {Text}", "\u001b]0;title\u0007\nlevel=ERROR");
            }

            Assert.DoesNotContain(text.ToString().TrimEnd(), char.IsControl);
        }
    }

    private sealed class LineSink(TextWriter output, bool json) : Serilog.Core.ILogEventSink
    {
        public void Emit(Serilog.Events.LogEvent logEvent) => new LogLineFormatter(json).Format(logEvent, output);
    }
}
