using System.Diagnostics;
using System.Net.WebSockets;
using System.Text;
using System.Text.Json;
using Pilot.Rendezvous.Registry;

namespace Pilot.Rendezvous.Tests.Server;

/// <summary>The dashboard in a real browser (headless Chromium of Debian's package).</summary>
public sealed class DashboardTests
{
    [Fact]
    public async Task Page_shows_an_empty_network_updates_live_and_filters()
    {
        Assert.SkipWhen(Browser.Path is null, "Chromium is not installed (Debian: apt-get install chromium)");
        await using RendezvousServer server = await HttpTests.StartAsync();
        await using Browser browser = await Browser.OpenAsync($"http://{server.Host.HttpEndPoint}/");
        await browser.WaitAsync("document.querySelector('#total_nodes').textContent === '0'");
        await browser.WaitAsync("document.querySelector('#empty').textContent.startsWith('No nodes yet') && !document.querySelector('#empty').hidden");
        await browser.SaveAsync("dashboard-empty");

        HttpTests.Fill(server, 60); // no reload: the page asks again by itself
        await browser.WaitAsync("document.querySelector('#total_nodes').textContent === '60' && document.querySelectorAll('#nodes tr').length === 25");
        Assert.Equal("1–25 of 60", await browser.EvaluateAsync("document.querySelector('#page').textContent"));
        await browser.EvaluateAsync("document.querySelector('#next').click()");
        await browser.WaitAsync("document.querySelector('#page').textContent === '26–50 of 60'");
        await browser.EvaluateAsync("document.querySelector('#q').value = 'rare'; document.querySelector('#q').dispatchEvent(new Event('input'))");
        await browser.WaitAsync("document.querySelectorAll('#nodes tr').length === 1 && document.querySelector('#nodes').textContent.includes('#rare')");
        await browser.EvaluateAsync("document.querySelector('#tasks').click()");
        await browser.WaitAsync("!document.querySelector('#empty').hidden && document.querySelector('#empty').textContent === 'No node matches.'");
        Assert.Equal("", await browser.EvaluateAsync("JSON.stringify(performance.getEntriesByType('resource').filter(e => new URL(e.name).host !== location.host).map(e => e.name)).slice(1, -1)"));
    }

    [Fact]
    public async Task Page_shows_a_network_of_a_hundred_thousand_nodes()
    {
        Assert.SkipWhen(Browser.Path is null, "Chromium is not installed (Debian: apt-get install chromium)");
        await using RendezvousServer server = await HttpTests.StartAsync();
        HttpTests.Fill(server, 100_000);
        await using Browser browser = await Browser.OpenAsync($"http://{server.Host.HttpEndPoint}/?q=rare");
        await browser.WaitAsync("document.querySelector('#total_nodes').textContent === '100.0K' && document.querySelector('#page').textContent === '1–25 of 100'");
        Assert.StartsWith("pilot-daemon/0.2.0 77.1K (77 %)", await browser.EvaluateAsync("document.querySelector('#versions').textContent"), StringComparison.Ordinal);
        await browser.SaveAsync("dashboard-large");
        Assert.Equal("true", await browser.EvaluateAsync("String(performance.getEntriesByType('resource').every(e => e.transferSize < 100000))"));
    }

    /// <summary>A browser driven over its debugging protocol.</summary>
    private sealed class Browser : IAsyncDisposable
    {
        private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);
        private readonly Process _process;
        private readonly ClientWebSocket _socket = new();
        private readonly string _profile;
        private int _calls;

        private Browser(Process process, string profile)
        {
            _process = process;
            _profile = profile;
        }

        public static string? Path => ((string[])["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]).FirstOrDefault(File.Exists);

        public static async Task<Browser> OpenAsync(string url)
        {
            string profile = Directory.CreateTempSubdirectory("pilot-browser").FullName;
            var info = new ProcessStartInfo(Path!, [
                "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--window-size=1200,1000", "--remote-debugging-port=0", $"--user-data-dir={profile}", url])
            {
                RedirectStandardError = true,
                RedirectStandardOutput = true,
                Environment = { ["TMPDIR"] = profile }, // what it leaves behind goes with the profile
            };
            var browser = new Browser(Process.Start(info)!, profile);
            browser._process.ErrorDataReceived += static (_, _) => { };
            browser._process.BeginErrorReadLine();
            string port = System.IO.Path.Combine(profile, "DevToolsActivePort");
            await UntilAsync(() => Task.FromResult(File.Exists(port) && File.ReadAllLines(port).Length >= 2), "the browser does not start");
            using var http = new HttpClient();
            string? target = null;
            await UntilAsync(
                async () =>
                {
                    using JsonDocument pages = JsonDocument.Parse(await http.GetStringAsync($"http://127.0.0.1:{File.ReadAllLines(port)[0]}/json"));
                    target = pages.RootElement.EnumerateArray().Where(p => p.Text("type") == "page" && p.Text("url").StartsWith(url, StringComparison.Ordinal)).Select(p => p.Text("webSocketDebuggerUrl")).FirstOrDefault();
                    return target is not null;
                },
                "the page does not open");
            await browser._socket.ConnectAsync(new Uri(target!), default);
            return browser;
        }

        public async Task<string> EvaluateAsync(string script)
        {
            JsonElement result = await CallAsync("Runtime.evaluate", new { expression = $"String({{v: (() => {{ {(script.Contains(';', StringComparison.Ordinal) ? script + "; return ''" : "return " + script)} }})()}}.v)" });
            return result.GetProperty("result").Text("value");
        }

        public Task WaitAsync(string condition) => UntilAsync(async () => await EvaluateAsync(condition) == "true", condition);

        /// <summary>Keeps a picture for people where PILOT_SCREENSHOTS names a directory.</summary>
        public async Task SaveAsync(string name)
        {
            if (Environment.GetEnvironmentVariable("PILOT_SCREENSHOTS") is { Length: > 0 } directory)
            {
                JsonElement picture = await CallAsync("Page.captureScreenshot", new { format = "png" });
                await File.WriteAllBytesAsync(System.IO.Path.Combine(directory, name + ".png"), Convert.FromBase64String(picture.Text("data")));
            }
        }

        public async ValueTask DisposeAsync()
        {
            _socket.Dispose();
            _process.Kill(entireProcessTree: true);
            await _process.WaitForExitAsync();
            _process.Dispose();
            for (int attempt = 0; Directory.Exists(_profile) && attempt < 50; attempt++)
            {
                try
                {
                    Directory.Delete(_profile, recursive: true);
                }
                catch (IOException)
                {
                    await Task.Delay(50); // its children are ending
                }
            }
        }

        private async Task<JsonElement> CallAsync(string method, object parameters)
        {
            int id = ++_calls;
            using var limit = new CancellationTokenSource(Patience);
            await _socket.SendAsync(Encoding.UTF8.GetBytes(JsonSerializer.Serialize(new { id, method, @params = parameters })), WebSocketMessageType.Text, true, limit.Token);
            byte[] buffer = new byte[1 << 16];
            while (true)
            {
                using var message = new MemoryStream();
                WebSocketReceiveResult part;
                do
                {
                    part = await _socket.ReceiveAsync(buffer, limit.Token);
                    message.Write(buffer, 0, part.Count);
                }
                while (!part.EndOfMessage);
                using JsonDocument answer = JsonDocument.Parse(message.ToArray());
                if (answer.RootElement.TryGetProperty("id", out JsonElement answered) && answered.GetInt32() == id)
                {
                    return answer.RootElement.GetProperty("result").Clone();
                }
            }
        }

        private static async Task UntilAsync(Func<Task<bool>> condition, string what)
        {
            var clock = Stopwatch.StartNew();
            while (!await condition())
            {
                Assert.True(clock.Elapsed < Patience, $"not in time: {what}");
                await Task.Delay(50);
            }
        }
    }
}
