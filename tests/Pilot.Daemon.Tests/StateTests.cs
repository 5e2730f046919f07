using Pilot.Daemon.State;
using Pilot.Protocol;

namespace Pilot.Daemon.Tests;

public sealed class StateTests : IDisposable
{
    private readonly TempDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void A_new_identity_is_saved_and_loaded_again()
    {
        var first = IdentityFile.LoadOrCreate(_directory["identity.json"], out var created, out _);
        Assert.True(created);
        Assert.Equal(AtomicFile.FileMode600, File.GetUnixFileMode(_directory["identity.json"]));
        var second = IdentityFile.LoadOrCreate(_directory["identity.json"], out created, out var repaired);
        Assert.False(created);
        Assert.False(repaired);
        Assert.Equal(first.PublicKeyText, second.PublicKeyText);
    }

    [Theory]
    [InlineData("")]
    [InlineData("not json")]
    [InlineData("{}")]
    [InlineData("""{"private_key":"AAAA","public_key":"AAAA"}""")]
    public void A_corrupt_identity_stops_the_start_and_is_kept(string content)
    {
        var path = _directory["identity.json"];
        File.WriteAllText(path, content);
        var exception = Assert.Throws<FatalException>(() => IdentityFile.LoadOrCreate(path, out _, out _));
        Assert.Contains("load identity", exception.Message, StringComparison.Ordinal);
        Assert.Contains(path, exception.Message, StringComparison.Ordinal);
        Assert.Equal(content, File.ReadAllText(path));
    }

    [Fact]
    public void An_identity_that_others_can_read_is_repaired()
    {
        var path = _directory["identity.json"];
        IdentityFile.LoadOrCreate(path, out _, out _);
        File.SetUnixFileMode(path, AtomicFile.FileMode600 | UnixFileMode.GroupRead | UnixFileMode.OtherRead);
        IdentityFile.LoadOrCreate(path, out _, out var repaired);
        Assert.True(repaired);
        Assert.Equal(AtomicFile.FileMode600, File.GetUnixFileMode(path));
    }

    [Fact]
    public void A_state_directory_has_one_user_and_a_crash_frees_it()
    {
        var path = _directory["home/identity.json"];
        using (var state = StateDirectory.Open(path, "/run/user's socket"))
        {
            state.WriteInformation();
            var exception = Assert.Throws<FatalException>(() => StateDirectory.Open(path, "/run/other"));
            Assert.Equal(
                $"another daemon already uses the state directory {_directory["home"]} (pid {Environment.ProcessId}, socket /run/user's socket)", exception.Message);
            Assert.Equal("stop it first with: pilotctl daemon stop --socket '/run/user'\\''s socket'", exception.Hint);
        }

        // The lock file stays, as after a crash; it holds nobody off.
        Assert.True(File.Exists(_directory["home/daemon.lock"]));
        using var again = StateDirectory.Open(path, "/run/other");
        Assert.Equal(AtomicFile.DirectoryMode700, File.GetUnixFileMode(_directory["home"]));
    }

    [Fact]
    public void A_home_that_cannot_be_made_is_a_clear_error()
    {
        File.WriteAllText(_directory["file"], "x");
        var exception = Assert.Throws<FatalException>(() => StateDirectory.Open(_directory["file/home/identity.json"], "/run/s"));
        Assert.Contains("state directory", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_last_udp_port_is_remembered_and_nonsense_is_ignored()
    {
        using var state = StateDirectory.Open(_directory["identity.json"], "/run/s");
        Assert.Equal(0, state.ReadLastPort());
        state.WriteLastPort(40123);
        Assert.Equal(40123, state.ReadLastPort());
        File.WriteAllText(_directory["udp-port"], "99999999");
        Assert.Equal(0, state.ReadLastPort());
    }

    [Fact]
    public void An_atomic_write_keeps_the_previous_content_as_backup()
    {
        AtomicFile.Write(_directory["f"], "one"u8, keepBackup: true);
        Assert.False(File.Exists(_directory["f.bak"]));
        AtomicFile.Write(_directory["f"], "two"u8, keepBackup: true);
        Assert.Equal("two", File.ReadAllText(_directory["f"]));
        Assert.Equal("one", File.ReadAllText(_directory["f.bak"]));
        Assert.Equal(["f", "f.bak"], Directory.GetFiles(_directory.Location).Select(Path.GetFileName).Order());
    }

    [Theory]
    [InlineData("trust.json", "")]
    [InlineData("trust.json", "null")]
    [InlineData("trust.json", "{}")]
    [InlineData("trust.json", "[]")]
    [InlineData("trust-ext.json", "")]
    [InlineData("trust-ext.json", "null")]
    [InlineData("trust-ext.json", "{}")]
    [InlineData("account.json", "null")]
    [InlineData("account.json", "[]")]
    public void A_state_file_that_says_nothing_stops_the_start_and_is_kept(string name, string content)
    {
        using var state = StateDirectory.Open(_directory["identity.json"], "/run/s");
        File.WriteAllText(_directory[name], content);
        var exception = Assert.Throws<FatalException>(() => name == "account.json" ? (object?)AccountFile.Load(state.AccountPath) : new TrustStore(state).Load(Identity.Create()));
        Assert.Contains(_directory[name], exception.Message, StringComparison.Ordinal);
        Assert.Equal(content, File.ReadAllText(_directory[name]));
    }

    [Fact]
    public void A_corrupt_trust_file_stops_the_start_and_is_kept()
    {
        using var state = StateDirectory.Open(_directory["identity.json"], "/run/s");
        var store = new TrustStore(state);
        store.Save(store.Load(Identity.Create()).FormatTrustFile(), store.Load(Identity.Create()).FormatExtensionFile());
        File.WriteAllText(state.TrustPath, """{"trusted":[{"node_id":""");
        var exception = Assert.Throws<FatalException>(() => store.Load(Identity.Create()));
        Assert.Contains("trust.json is corrupt", exception.Message, StringComparison.Ordinal);
        Assert.Equal("""{"trusted":[{"node_id":""", File.ReadAllText(state.TrustPath));
    }

    [Theory]
    [InlineData("user@example.com", true)]
    [InlineData("test+tag@sub.domain.org", true)]
    [InlineData("a@b.co", true)]
    [InlineData("", false)]
    [InlineData("noatsign", false)]
    [InlineData("@domain.com", false)]
    [InlineData("user@", false)]
    [InlineData("user@nodot", false)]
    [InlineData("user @example.com", false)]
    [InlineData("user@.example.com", false)]
    [InlineData("user@example.", false)]
    [InlineData("a@b@c.com", false)]
    public void Email_addresses_are_checked(string email, bool valid) => Assert.Equal(valid, AccountFile.Validate(email) is null);

    [Fact]
    public void The_account_survives_and_a_corrupt_one_is_reported()
    {
        AccountFile.Save(_directory["account.json"], "user@example.com");
        Assert.Equal("user@example.com", AccountFile.Load(_directory["account.json"]));
        File.WriteAllText(_directory["account.json"], "{");
        Assert.Throws<FatalException>(() => AccountFile.Load(_directory["account.json"]));
    }
}
