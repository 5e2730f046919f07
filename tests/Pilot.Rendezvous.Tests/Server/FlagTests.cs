using Pilot.Rendezvous.Beacon;
using Pilot.Rendezvous.Registry;
using Pilot.Rendezvous.Startup;

namespace Pilot.Rendezvous.Tests.Server;

public sealed class FlagTests
{
    private static Settings Parse(params string[] args) => Flags.Parse(args, _ => null);

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
        Assert.Equal("from env", Flags.Parse([], _ => "from env").AdminToken);
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
    }
}
