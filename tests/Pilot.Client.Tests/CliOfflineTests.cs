using System.Text.Json;
using System.Text.RegularExpressions;
using Pilot.Cli.CommandLine;

namespace Pilot.Client.Tests;

/// <summary>The reference's captures of invocations that need no daemon, and the parser's rules.</summary>
public sealed partial class CliOfflineTests : IDisposable
{
    private readonly string _home = Directory.CreateTempSubdirectory("pilot").FullName;

    /// <summary>Captures from which we depart on purpose, each with its reason in chapter 07.</summary>
    private static readonly Dictionary<string, string> Departures = new()
    {
        ["usage.untrust_x"] = "names are accepted everywhere (1.5 Better), so the daemon is needed",
    };

    public void Dispose() => Directory.Delete(_home, recursive: true);

    public static TheoryData<string> Names()
    {
        TheoryData<string> names = [];
        foreach (JsonElement vector in Vectors().EnumerateArray())
        {
            string name = vector.GetProperty("name").GetString()!;
            if (!Departures.ContainsKey(name))
            {
                names.Add(name);
            }
        }

        return names;
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Capture_of_the_reference(string name)
    {
        JsonElement vector = Vectors().EnumerateArray().First(v => v.GetProperty("name").GetString() == name);
        string[] argv = [.. vector.GetProperty("inputs").GetProperty("argv").EnumerateArray().Skip(1).Select(a => a.GetString()!)];
        CliRun run = Run(argv);
        Assert.Equal(vector.GetProperty("exit_code").GetInt32(), run.Exit);
        string expectedOut = Fill(vector.GetProperty("stdout").GetString()!);
        string expectedErr = Fill(vector.GetProperty("stderr").GetString()!);
        if (expectedErr.Contains("<usage text>", StringComparison.Ordinal))
        {
            Assert.StartsWith(expectedErr[..expectedErr.IndexOf('<', StringComparison.Ordinal)], run.Stderr, StringComparison.Ordinal);
            return;
        }

        Assert.Equal(expectedOut, run.Stdout);
        Assert.Equal(expectedErr, run.Stderr);
    }

    [Theory]
    [InlineData("--help")]
    [InlineData("-h")]
    [InlineData("help")]
    [InlineData("version")]
    [InlineData("--version")]
    [InlineData("ping --help")]
    [InlineData("help daemon start")]
    [InlineData("daemon --help")]
    [InlineData("context")]
    public void Help_and_version_exit_0_on_stdout_in_both_modes(string line)
    {
        CliRun human = Run(line.Split(' '));
        Assert.Equal((0, string.Empty), (human.Exit, human.Stderr));
        Assert.NotEmpty(human.Stdout);
        CliRun json = Run([.. line.Split(' '), "--json"]);
        Assert.Equal((0, string.Empty), (json.Exit, json.Stderr));
        Assert.Equal("ok", json.Envelope.GetProperty("status").GetString());
    }

    [Fact]
    public void No_command_is_exit_2_with_an_envelope_in_json_mode()
    {
        Assert.Equal(2, Run([]).Exit);
        CliRun json = Run("--json");
        Assert.Equal((2, "invalid_argument"), (json.Exit, json.Envelope.GetProperty("code").GetString()));
    }

    [Fact]
    public void Every_command_describes_itself_and_answers_usage_as_an_envelope()
    {
        JsonElement commands = Run("--json", "context").Data.GetProperty("commands");
        foreach (CommandSpec command in CommandTable.All)
        {
            JsonElement entry = commands.GetProperty(command.Name);
            Assert.Equal(JsonValueKind.Array, entry.GetProperty("args").ValueKind);
            Assert.NotEmpty(entry.GetProperty("description").GetString()!);
            Assert.NotEmpty(entry.GetProperty("returns").GetString()!);
            CliRun unknownFlag = Run([.. command.Name.Split(' '), "--no-such-flag", "--json"]);
            Assert.Equal((1, string.Empty, "invalid_argument"), (unknownFlag.Exit, unknownFlag.Stdout, unknownFlag.Envelope.GetProperty("code").GetString()));
            Assert.Contains("--no-such-flag", unknownFlag.Envelope.GetProperty("message").GetString(), StringComparison.Ordinal);
            if (command.RequiredArguments > 0)
            {
                CliRun missing = Run([.. command.Name.Split(' '), "--json"]);
                Assert.Equal((1, "invalid_argument"), (missing.Exit, missing.Envelope.GetProperty("code").GetString()));
                Assert.StartsWith("usage: pilotctl ", missing.Envelope.GetProperty("message").GetString(), StringComparison.Ordinal);
            }
        }
    }

    [Fact]
    public void Flags_follow_the_rules_of_the_contract()
    {
        CommandSpec spec = new()
        {
            Name = "x", Section = "", Summary = "", Returns = "", Run = _ => Task.FromResult(0),
            Flags = [new("data", "v", ""), new("count", "n", ""), new("raw", null, "")],
        };
        ParsedArguments parsed = ParsedArguments.Parse(
            spec, new[] { "--raw", "pos", "-x", "--data", "-5", "--count=3", "--count", "4", "--", "--data" });
        Assert.True(parsed.Switch("raw"));
        Assert.Equal(["pos", "-x", "--data"], Enumerable.Range(0, parsed.Count).Select(i => parsed[i]));
        Assert.Equal(("-5", 4), (parsed.Text("data"), parsed.Integer("count", 0)));
        Assert.Equal("true", ParsedArguments.Parse(spec, new[] { "--data", "--raw" }).Text("data"));
        Assert.Equal("--json-ish", ParsedArguments.Parse(spec, new[] { "--data=--json-ish" }).Text("data"));
    }

    [Theory]
    [InlineData("300ms", 300)]
    [InlineData("1.5s", 1500)]
    [InlineData("1h2m", 3_720_000)]
    [InlineData("2.5", 2500)]
    [InlineData("0", 0)]
    [InlineData("-5s", -5000)]
    [InlineData("1us", 0.001)]
    public void Durations_are_read(string text, double milliseconds)
    {
        Assert.True(GoDuration.TryParse(text, out TimeSpan duration, out _));
        Assert.Equal(milliseconds, duration.TotalMilliseconds, 6);
    }

    [Theory]
    [InlineData("abc")]
    [InlineData("")]
    [InlineData("5x")]
    [InlineData("1.2.3s")]
    [InlineData("s")]
    [InlineData("5s3")]
    [InlineData("999999999h")]
    [InlineData("1e400")]
    public void Bad_durations_are_refused(string text) => Assert.False(GoDuration.TryParse(text, out _, out string error) || error.Length == 0);

    [Theory]
    [InlineData(2000, "2s")]
    [InlineData(1500, "1.5s")]
    [InlineData(500, "500ms")]
    [InlineData(60_000, "1m0s")]
    [InlineData(17.8104, "17.8104ms")]
    [InlineData(3_660_000, "1h1m0s")]
    [InlineData(0, "0s")]
    public void Durations_are_printed(double milliseconds, string text) => Assert.Equal(text, GoDuration.Format(TimeSpan.FromMilliseconds(milliseconds)));

    [Fact]
    public void Init_keeps_what_is_there_and_config_names_its_sources()
    {
        Assert.Equal(0, Run("init", "--registry", "10.0.0.1:9000", "--hostname", "agent-a").Exit);
        CliRun again = Run("--json", "init", "--socket", "/run/x");
        Assert.Equal("10.0.0.1:9000", again.Data.GetProperty("registry").GetString());
        Assert.Equal("10.0.0.1:9001", again.Data.GetProperty("beacon").GetString());
        Assert.Equal("agent-a", again.Data.GetProperty("hostname").GetString());
        string file = Path.Combine(_home, "config.json");
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(file));
        Assert.EndsWith("\n}\n", File.ReadAllText(file).Replace("\"\n}", "\"\n}", StringComparison.Ordinal)[^3..], StringComparison.Ordinal);
        CliRun config = Run("--json", "config");
        Assert.Equal("environment", config.Data.GetProperty("effective").GetProperty("registry").GetProperty("source").GetString());
        Assert.Equal("config", config.Data.GetProperty("effective").GetProperty("hostname").GetProperty("source").GetString());
    }

    [Theory]
    [InlineData("not json")]
    [InlineData("null")]
    [InlineData("[1]")]
    [InlineData("{\"hostname\":\"\\ud800\"}")]
    [InlineData("{\"\\ud800\":1}")]
    public void A_broken_config_counts_as_empty_and_is_kept_aside(string content)
    {
        string file = Path.Combine(_home, "config.json");
        File.WriteAllText(file, content);
        CliRun config = Run("--json", "config");
        Assert.Equal(0, config.Exit);
        Assert.NotEmpty(config.Data.GetProperty("warning").GetString()!);
        Assert.Equal(0, Run("config", "--set", "email=a@b.c").Exit);
        Assert.Equal(content, File.ReadAllText(file + ".bad"));
        Assert.Equal("a@b.c", Run("--json", "config").Data.GetProperty("email").GetString());
    }

    [Fact]
    public void Tokens_are_masked()
    {
        Run("config", "--set", "admin_token=sesame");
        Assert.DoesNotContain("sesame", Run("config").Stdout, StringComparison.Ordinal);
        Assert.Contains("sesame", File.ReadAllText(Path.Combine(_home, "config.json")), StringComparison.Ordinal);
    }

    private static JsonElement Vectors() => Embedded("cli-offline.json").GetProperty("vectors");

    internal static JsonElement Embedded(string name)
    {
        using Stream stream = typeof(CliOfflineTests).Assembly.GetManifestResourceStream(name)!;
        return JsonDocument.Parse(stream).RootElement;
    }

    private CliRun Run(params string[] arguments) => CliRun.Start(_home, Path.Combine(_home, "no.sock"), arguments);

    private string Fill(string text)
    {
        text = HomePattern().Replace(text, _home);
        text = SocketPattern().Replace(text, Path.Combine(_home, "no.sock"));
        return text.Replace("127.0.0.1:29999", "127.0.0.1:1", StringComparison.Ordinal);
    }

    [GeneratedRegex("<HOME_[A-Z]>/.pilot")]
    private static partial Regex HomePattern();

    [GeneratedRegex("<SOCK_[A-Z]>")]
    private static partial Regex SocketPattern();
}
