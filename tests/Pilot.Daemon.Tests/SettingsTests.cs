using Pilot.Daemon.Configuration;
using Pilot.Flags;

namespace Pilot.Daemon.Tests;

public sealed class SettingsTests : IDisposable
{
    private readonly TempDirectory _home = new();
    private readonly Dictionary<string, string> _environment = new(StringComparer.Ordinal);

    public SettingsTests() => _environment["PILOT_HOME"] = _home.Location;

    public void Dispose() => _home.Dispose();

    [Fact]
    public void Defaults_are_local_and_the_beacon_follows_the_registry()
    {
        var settings = Load();
        Assert.Equal(["127.0.0.1:9000"], settings.Registries);
        Assert.Equal(["127.0.0.1:9001"], settings.Beacons);
        Assert.Equal("/tmp/pilot.sock", settings.SocketPath);
        Assert.Equal(_home["identity.json"], settings.IdentityPath);
        Assert.Equal(_home["pilot.log"], settings.LogFile);
        Assert.Equal(["rendezvous.example:9001"], Load("-registry", "rendezvous.example:9100").Beacons);
    }

    [Fact]
    public void Flag_beats_environment_beats_config_beats_default()
    {
        File.WriteAllText(_home["config.json"], """{"registry":"config:1","hostname":"from-config","log_level":"debug","public":true,"unknown":[1]}""");
        Assert.Equal(["config:1"], Load().Registries);
        Assert.Equal("from-config", Load().Hostname);
        Assert.Equal("debug", Load().LogLevel);
        Assert.True(Load().Public);
        _environment["PILOT_REGISTRY"] = "environment:2";
        _environment["PILOT_HOSTNAME"] = "from-environment";
        Assert.Equal(["environment:2"], Load().Registries);
        Assert.Equal("from-environment", Load().Hostname);
        Assert.Equal(["flag:3"], Load("--registry=flag:3").Registries);
        Assert.Equal("from-flag", Load("-hostname", "from-flag").Hostname);
        Assert.False(Load("-public=false").Public);
    }

    [Fact]
    public void An_empty_beacon_means_none_and_lists_are_taken_apart()
    {
        Assert.Empty(Load("-beacon", "").Beacons);
        Assert.Equal(["a:9000", "b:7"], Load("-registry", "a, b:7").Registries);
    }

    [Theory]
    [InlineData("-encrypt=false", "always encrypted")]
    [InlineData("-registry-tls", "fingerprint")]
    [InlineData("-registry=host:port", "invalid registry address")]
    [InlineData("-keepalive=often", "not a duration")]
    [InlineData("-public=perhaps", "invalid boolean")]
    [InlineData("-trust-auto-approve=some", "trust-auto-approve")]
    [InlineData("-listen=4000", "invalid address")]
    [InlineData("-listen=:99999", "invalid address")]
    [InlineData("-endpoint=192.0.2.1", "invalid -endpoint")]
    [InlineData("-endpoint=192.0.2.1:0", "invalid -endpoint")]
    [InlineData("-email=nobody", "invalid email")]
    [InlineData("-socket=/tmp/01234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789", "too long")]
    public void Senseless_values_are_refused_with_their_reason(string argument, string reason)
    {
        var exception = Assert.Throws<FatalException>(() => Load(argument));
        Assert.Contains(reason, exception.Message, StringComparison.OrdinalIgnoreCase);
    }

    [Theory]
    [InlineData("""{"hostname":"bad name"}""", "invalid hostname \"bad name\": hostname must be lowercase")]
    [InlineData("""{"hostname":"localhost"}""", "is reserved")]
    [InlineData("""{"email":"nobody"}""", "invalid email")]
    [InlineData("""{"registry":"host:port"}""", "invalid registry address")]
    [InlineData("""{"keepalive":"often"}""", "not a duration")]
    public void A_check_refuses_what_a_daemon_would_not_do(string content, string reason)
    {
        File.WriteAllText(_home["new.json"], content);
        Assert.Contains(reason, Assert.Throws<FatalException>(() => Check()).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_check_looks_at_the_file_not_at_the_environment()
    {
        File.WriteAllText(_home["new.json"], """{"hostname":"agent-a","registry":"host:1","unknown":{}}""");
        _environment["PILOT_HOSTNAME"] = "not a name";
        _environment["PILOT_REGISTRY"] = "nor:this";
        Assert.True(Check().IsChecked);
    }

    private LoadedSettings Check() => SettingsLoader.Load(["-check", "-config", _home["new.json"]], _environment);

    [Theory]
    [InlineData("{", "load config")]
    [InlineData("[]", "JSON object")]
    public void A_corrupt_config_is_reported_not_ignored(string content, string reason)
    {
        File.WriteAllText(_home["config.json"], content);
        Assert.Contains(reason, Assert.Throws<FatalException>(() => Load()).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("-nonsense", "flag provided but not defined: -nonsense")]
    [InlineData("-registry", "flag needs an argument: -registry")]
    [InlineData("word", "unexpected argument: word")]
    public void Usage_errors_are_told_apart(string argument, string error) =>
        Assert.Equal(error, SettingsLoader.Load([argument], _environment).UsageError);

    [Theory]
    [InlineData("300ms", 0.3)]
    [InlineData("1h2m", 3720)]
    [InlineData("1.5s", 1.5)]
    [InlineData("0", 0)]
    [InlineData("2.5", 2.5)]
    public void Durations_are_read_in_go_style(string text, double seconds)
    {
        Assert.True(GoValue.TryDuration(text, out var value));
        Assert.Equal(seconds, value.TotalSeconds, 6);
    }

    [Theory]
    [InlineData("")]
    [InlineData("s")]
    [InlineData("5x")]
    [InlineData("1..2s")]
    [InlineData("-1s")]
    public void What_is_no_duration_is_refused(string text) => Assert.False(GoValue.TryDuration(text, out _));

    private DaemonSettings Load(params string[] arguments) => SettingsLoader.Load(arguments, _environment).Settings!;
}
