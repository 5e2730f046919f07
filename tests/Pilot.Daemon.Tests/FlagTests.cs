using System.Globalization;
using Pilot.Daemon.Configuration;
using Pilot.Flags;

namespace Pilot.Daemon.Tests;

/// <summary>Go's rules for flags (07 §8) on the flags of the daemon.</summary>
public sealed class FlagTests : IDisposable
{
    private readonly TempDirectory _home = new();
    private readonly Dictionary<string, string> _environment = new(StringComparer.Ordinal);

    public FlagTests() => _environment["PILOT_HOME"] = _home.Location;

    public void Dispose() => _home.Dispose();

    [Theory]
    [InlineData("-hostname", "a")]
    [InlineData("-hostname=a")]
    [InlineData("--hostname", "a")]
    [InlineData("--hostname=a")]
    [InlineData("-hostname=b", "-public", "-hostname", "a")]
    public void One_or_two_dashes_a_value_behind_a_space_or_an_equals_sign_the_last_one_wins(params string[] arguments) =>
        Assert.Equal("a", Load(arguments).Hostname);

    [Theory]
    [InlineData("-hostname", "-public")]
    [InlineData("-hostname", "--")]
    [InlineData("-hostname", "-h")]
    [InlineData("-hostname", "a=b:c")]
    [InlineData("-hostname", "@file")]
    [InlineData("-hostname", "[diagram]")]
    [InlineData("-hostname", "\"quoted\"")]
    public void A_value_may_look_like_anything(string flag, string value)
    {
        Assert.Equal(value, Load(flag, value).Hostname);
        Assert.Equal(value, Load($"{flag}={value}").Hostname);
        Assert.False(Load(flag, value).Public);
    }

    [Theory]
    [InlineData("-identity=/etc/pilot-daemon")]
    [InlineData("-identity=/etc/pilot-daemon.dll")]
    public void A_first_argument_that_ends_like_the_program_is_a_flag_like_others(string argument) =>
        Assert.Equal(argument["-identity=".Length..], Load(argument).IdentityPath);

    [Theory]
    [InlineData("-public", true)]
    [InlineData("-public=true", true)]
    [InlineData("--public=1", true)]
    [InlineData("-public=T", true)]
    [InlineData("-public=false", false)]
    [InlineData("-public=0", false)]
    [InlineData("-public=FALSE", false)]
    public void A_boolean_takes_its_value_behind_an_equals_sign(string argument, bool expected) => Assert.Equal(expected, Load(argument).Public);

    [Theory]
    [InlineData("unexpected argument: false", "-public", "false")]
    [InlineData("unexpected argument: word", "word")]
    [InlineData("unexpected argument: word", "-public", "word", "-hostname", "a")]
    [InlineData("unexpected argument: word", "--", "word")]
    [InlineData("unexpected argument: -", "-")]
    [InlineData("unexpected argument: ", "")]
    [InlineData("unexpected argument: pilot-daemon", "pilot-daemon")]
    [InlineData("unexpected argument: @/dev/null", "@/dev/null")]
    [InlineData("unexpected argument: [diagram]", "[diagram]")]
    [InlineData("unexpected argument: [suggest]", "[suggest]", "-p")]
    [InlineData("unexpected argument: /?", "/?")]
    [InlineData("flag provided but not defined: -bogus", "-bogus")]
    [InlineData("flag provided but not defined: -bogus", "--bogus=3", "-h")]
    [InlineData("flag provided but not defined: -hostname:a", "-hostname:a")]
    [InlineData("flag provided but not defined: -Hostname", "-Hostname=a")]
    [InlineData("flag provided but not defined: -?", "-?")]
    [InlineData("flag provided but not defined: -", "-=a")]
    [InlineData("flag needs an argument: -registry", "-registry")]
    [InlineData("flag needs an argument: -registry", "-registry=a", "--registry")]
    public void What_is_no_command_line_is_told(string error, params string[] arguments)
    {
        var loaded = SettingsLoader.Load(arguments, _environment);
        Assert.Equal(error, loaded.UsageError);
        Assert.Null(loaded.Settings);
    }

    [Theory]
    [InlineData("invalid value \"often\" for flag -keepalive: not a duration", "-keepalive", "often")]
    [InlineData("invalid value \"5\u0665s\" for flag -time-wait: not a duration", "-time-wait=5\u0665s")]
    [InlineData("invalid value \"1,5s\" for flag -idle-timeout: not a duration", "-idle-timeout", "1,5s")]
    [InlineData("invalid value \"-1\" for flag -max-conns-total: not a number", "-max-conns-total", "-1")]
    [InlineData("invalid value \"4294967296\" for flag -syn-rate-limit: not a number", "-syn-rate-limit=4294967296")]
    [InlineData("invalid boolean value \"perhaps\" for flag -public: not a boolean", "-public=perhaps")]
    [InlineData("invalid boolean value \"\" for flag -no-echo: not a boolean", "-no-echo=")]
    [InlineData("invalid registry address \"host:99999\": host:port is needed", "-registry", "host:99999")]
    [InlineData("invalid beacon address \"host:\": host:port is needed", "-beacon=host:")]
    [InlineData("invalid value \"some\" for flag -trust-auto-approve: off, same-network or all", "-trust-auto-approve=some")]
    public void A_wrong_value_is_told_with_flag_value_and_reason(string message, params string[] arguments) =>
        Assert.Equal(message, Assert.Throws<FatalException>(() => Load(arguments)).Message);

    [Theory]
    [InlineData("-h")]
    [InlineData("-help")]
    [InlineData("--help")]
    [InlineData("-public", "-h", "-bogus")]
    public void Help_counts_unless_an_error_stands_before_it(params string[] arguments) => Assert.True(SettingsLoader.Load(arguments, _environment).ShowHelp);

    [Fact]
    public void The_version_is_a_flag_of_ours() => Assert.True(SettingsLoader.Load(["-version"], _environment).ShowVersion);

    [Fact]
    public void Files_say_the_same_in_texts_numbers_and_booleans_and_are_named_when_wrong()
    {
        var file = _home["other.json"];
        File.WriteAllText(file, """{"keepalive":"1m30s","max_conns_total":7,"idle-timeout":2.5,"no_echo":true,"listen":[1],"beacon":"","identity":"-public"}""");
        var settings = Load("-config", file, "-no-echo=false");
        Assert.Equal(TimeSpan.FromSeconds(90), settings.KeepAlive);
        Assert.Equal(7, settings.MaxConnections);
        Assert.Equal(TimeSpan.FromSeconds(2.5), settings.IdleTimeout);
        Assert.False(settings.NoEcho);
        Assert.Equal(":0", settings.Listen);
        Assert.Empty(settings.Beacons);
        Assert.False(settings.Public);

        File.WriteAllText(file, """{"keepalive":"often"}""");
        Assert.Equal($"invalid value \"often\" for flag -keepalive in {file}: not a duration", Assert.Throws<FatalException>(() => Load("-config", file)).Message);
        Assert.Equal(TimeSpan.FromSeconds(5), Load("-config", file, "-keepalive", "5s").KeepAlive);
        Assert.StartsWith("load config: ", Assert.Throws<FatalException>(() => Load("-config", _home["none.json"])).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_wrong_environment_variable_is_named_an_empty_one_is_none()
    {
        _environment["PILOT_PUBLIC"] = "perhaps";
        Assert.Contains("-public in the environment", Assert.Throws<FatalException>(() => Load()).Message, StringComparison.Ordinal);
        Assert.True(Load("-public").Public);
        _environment["PILOT_PUBLIC"] = "";
        _environment["PILOT_HOSTNAME"] = "";
        Assert.False(Load().Public);
        Assert.Null(Load().Hostname);
        _environment["PILOT_PUBLIC"] = "1";
        Assert.True(Load().Public);
    }

    [Fact]
    public void An_empty_text_is_not_given_and_0_is_the_default_where_the_help_says_so()
    {
        var settings = Load("-hostname", "", "-socket=", "-keepalive", "0", "-max-conns-total=0", "-time-wait", "0s", "-log-file=");
        Assert.Null(settings.Hostname);
        Assert.Equal("/tmp/pilot.sock", settings.SocketPath);
        Assert.Equal(TimeSpan.FromSeconds(30), settings.KeepAlive);
        Assert.Equal(TimeSpan.FromSeconds(10), settings.TimeWait);
        Assert.Equal(4096, settings.MaxConnections);
        Assert.Null(settings.LogFile);
    }

    [Fact]
    public void A_comma_in_the_users_language_changes_nothing()
    {
        var culture = new CultureInfo("") { NumberFormat = { NumberDecimalSeparator = ",", NumberGroupSeparator = ".", NegativeSign = "~" } };
        var before = CultureInfo.CurrentCulture;
        try
        {
            CultureInfo.CurrentCulture = culture;
            Assert.Equal(TimeSpan.FromSeconds(1.5), Load("-idle-timeout", "1.5s").IdleTimeout);
            Assert.Equal("1.5s", GoValue.Duration(TimeSpan.FromSeconds(1.5)));
        }
        finally
        {
            CultureInfo.CurrentCulture = before;
        }
    }

    [Fact]
    public void The_help_lists_each_flag_with_its_default()
    {
        var usage = DaemonFlags.All.Usage;
        Assert.StartsWith("Usage of pilot-daemon:\n  -config FILE\n    \t", usage, StringComparison.Ordinal);
        Assert.Contains("\n  -keepalive DURATION\n    \tinterval of registry heartbeats; 0 = default (default 30s)\n", usage, StringComparison.Ordinal);
        Assert.Contains("\n  -public\n    \t", usage, StringComparison.Ordinal);
        Assert.EndsWith("\n  -h, -help\n    \tthis list\n", usage, StringComparison.Ordinal);
        string[] flagsOfTheSpec =
        [
            "config", "registry", "beacon", "listen", "socket", "endpoint", "encrypt", "registry-tls", "registry-fingerprint", "identity", "email", "owner",
            "keepalive", "idle-timeout", "syn-rate-limit", "max-conns-per-port", "max-conns-total", "time-wait", "public", "hostname", "no-echo",
            "no-dataexchange", "no-eventstream", "no-tasksubmit", "webhook", "admin-token", "networks", "log-level", "log-format",
        ];
        Assert.All(flagsOfTheSpec, name => Assert.Matches($"(?m)^  -{name}( |$)", usage));
    }

    [Fact]
    public void The_page_about_flags_shows_the_help()
    {
        var directory = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(directory.FullName, "Pilot.sln")))
        {
            directory = directory.Parent ?? throw new InvalidOperationException($"no Pilot.sln above {AppContext.BaseDirectory}");
        }

        Assert.Contains($"```\n{DaemonFlags.All.Usage}```\n", File.ReadAllText(Path.Combine(directory.FullName, "docs", "flags.md")), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0, "0s")]
    [InlineData(0.3, "0.3s")]
    [InlineData(90, "1m30s")]
    [InlineData(3720, "1h2m")]
    [InlineData(90000, "25h")]
    public void Durations_are_written_as_they_are_read(double seconds, string text)
    {
        Assert.Equal(text, GoValue.Duration(TimeSpan.FromSeconds(seconds)));
        Assert.True(GoValue.TryDuration(text, out var value));
        Assert.Equal(seconds, value.TotalSeconds, 6);
    }

    private DaemonSettings Load(params string[] arguments) => SettingsLoader.Load(arguments, _environment).Settings!;
}
