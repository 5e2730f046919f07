using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text.Json.Nodes;
using Microsoft.Extensions.Logging.Abstractions;
using Pilot.Daemon.Registry;
using Pilot.Protocol;

namespace Pilot.Daemon.Tests;

public sealed class RegistryClientTests : IAsyncLifetime
{
    private readonly FakeRegistry _registry = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly RegistryRequests _requests = new(Identity.Create());
    private Task _running = Task.CompletedTask;

    public ValueTask InitializeAsync() => default;

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _running;
        await _registry.DisposeAsync();
        _stop.Dispose();
    }

    [Fact]
    public async Task Many_requests_are_answered_each_with_its_own_answer()
    {
        var client = Start();
        _registry.Script = request => new JsonObject { ["type"] = "x", ["echo"] = (uint)request["node_id"]! };
        var answers = await Task.WhenAll(Enumerable.Range(1, 200).Select(i => client.SendAsync(RegistryRequests.Lookup((uint)i))));
        Assert.Equal(Enumerable.Range(1, 200).Select(i => (uint)i), answers.Select(answer => answer.Node("echo")));
    }

    [Fact]
    public async Task An_error_answer_is_an_answer_and_keeps_the_connection()
    {
        var client = Start();
        var answer = await client.SendAsync(RegistryRequests.Lookup(99));
        Assert.Equal("node 99: node not found", answer.Error);
        Assert.True(answer.IsNotFound);
        Assert.True(client.IsConnected);
    }

    [Fact]
    public async Task A_repeatable_request_survives_a_lost_connection_and_another_does_not()
    {
        var client = Start();
        await client.SendAsync(RegistryRequests.Lookup(1));
        var cut = 0;
        _registry.Script = request =>
        {
            if ((string)request["type"]! == "lookup" && Interlocked.Exchange(ref cut, 1) == 0)
            {
                _registry.Cut();
            }

            return null;
        };
        Assert.NotNull((await client.SendAsync(RegistryRequests.Lookup(1))).Error);
        Assert.Equal(2, Asked("lookup") - 1);

        _registry.Script = _ =>
        {
            _registry.Cut();
            return null;
        };
        await Assert.ThrowsAsync<RegistryUnavailableException>(() => client.SendAsync(_requests.PollHandshakes()));
        Assert.Equal(1, Asked("poll_handshakes"));
    }

    // Requests are noted before they are handled, types after: a cut comes in between.
    private int Asked(string type) => _registry.Requests.Count(request => (string)request["type"]! == type);

    [Fact]
    public async Task A_silent_registry_is_given_up_after_the_limit_and_reconnected()
    {
        var client = Start(options => options with { RequestTimeout = TimeSpan.FromMilliseconds(200) });
        _registry.Script = request => (string)request["type"]! == "poll_handshakes" ? [] : null;
        var exception = await Assert.ThrowsAsync<RegistryUnavailableException>(() => client.SendAsync(_requests.PollHandshakes()));
        Assert.Contains("did not answer poll_handshakes", exception.Message, StringComparison.Ordinal);
        Assert.NotNull((await client.SendAsync(RegistryRequests.Lookup(5))).Error);
    }

    [Fact]
    public async Task When_our_address_is_gone_the_connection_is_made_again_at_once()
    {
        var client = Start(options => options with { RequestTimeout = TimeSpan.FromMinutes(1) });
        var asked = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _registry.Script = request =>
        {
            if ((string)request["type"]! == "lookup" && asked.TrySetResult())
            {
                return []; // no answer: it went to where we were
            }

            return null;
        };
        var answer = client.SendAsync(RegistryRequests.Lookup(99));
        await asked.Task.WaitAsync(TimeSpan.FromSeconds(20));
        client.AddressesChanged([UdpEndpoint.FromIPv4(0x7F000001, 1), UdpEndpoint.FromIPv4(0x0A000001, 1)]);
        Assert.False(answer.IsCompleted);
        client.AddressesChanged([UdpEndpoint.FromIPv4(0x0A000001, 1)]);
        Assert.Equal("node 99: node not found", (await answer.WaitAsync(TimeSpan.FromSeconds(20))).Error);
    }

    [Fact]
    public async Task While_the_registry_is_away_callers_are_told_at_once()
    {
        var free = FreePort();
        var client = Start(options => options with { Addresses = [$"127.0.0.1:{free}"], FirstBackoff = TimeSpan.FromSeconds(20) });
        await Assert.ThrowsAsync<RegistryUnavailableException>(() => client.SendAsync(RegistryRequests.Lookup(1)));
        var started = Stopwatch.GetTimestamp();
        var exception = await Assert.ThrowsAsync<RegistryUnavailableException>(() => client.SendAsync(RegistryRequests.Lookup(1)));
        Assert.True(Stopwatch.GetElapsedTime(started) < TimeSpan.FromSeconds(5));
        Assert.Contains($"127.0.0.1:{free}", exception.Message, StringComparison.Ordinal);
        Assert.False(client.IsConnected);
    }

    [Fact]
    public async Task The_first_address_that_answers_is_used()
    {
        var client = Start(options => options with { Addresses = [$"127.0.0.1:{FreePort()}", _registry.Address] });
        Assert.NotNull((await client.SendAsync(RegistryRequests.Lookup(1))).Error);
        Assert.Equal(_registry.Address, client.Address);
    }

    [Theory]
    [InlineData(new byte[] { 0, 0, 0, 0 })]
    [InlineData(new byte[] { 0xFF, 0xFF, 0xFF, 0xFF })]
    [InlineData(new byte[] { 0, 0, 0, 2, (byte)'[', (byte)']' })]
    [InlineData(new byte[] { 0, 0, 0, 3, (byte)'{', (byte)'x', (byte)'}' })]
    public async Task Broken_answers_end_the_connection_not_the_client(byte[] answer)
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var broken = Task.Run(async () =>
        {
            using var first = await listener.AcceptSocketAsync();
            await first.ReceiveAsync(new byte[1024]);
            await first.SendAsync(answer);
            using var second = await listener.AcceptSocketAsync();
            await second.ReceiveAsync(new byte[1024]);
            await second.SendAsync(FakeRegistry.Frame(new JsonObject { ["type"] = "lookup_ok", ["node_id"] = 3 }));
            await second.ReceiveAsync(new byte[1024]);
        }, TestContext.Current.CancellationToken);
        var client = Start(options => options with { Addresses = [listener.LocalEndpoint.ToString()!] });
        Assert.Equal(3u, (await client.SendAsync(RegistryRequests.Lookup(3))).Node("node_id"));
        await _stop.CancelAsync();
        await broken;
    }

    [Fact]
    public async Task The_greeting_comes_before_everything_else_on_each_connection()
    {
        var greeted = new ConcurrentQueue<string>();
        var client = Start(greet: async (connection, cancellation) =>
        {
            await connection.ExchangeAsync(_requests.Heartbeat(), TimeSpan.FromSeconds(5), cancellation);
            greeted.Enqueue("x");
        });
        await client.SendAsync(RegistryRequests.Lookup(1));
        _registry.Cut();
        await client.SendAsync(RegistryRequests.Lookup(1));
        Assert.Equal(2, greeted.Count);
        Assert.Equal(["heartbeat", "lookup", "heartbeat", "lookup"], _registry.Types);
    }

    private RegistryClient Start(Func<RegistryClientOptions, RegistryClientOptions>? change = null, Func<RegistryConnection, CancellationToken, Task>? greet = null)
    {
        var options = new RegistryClientOptions { Addresses = [_registry.Address], FirstBackoff = TimeSpan.FromMilliseconds(10) };
        var client = new RegistryClient(change?.Invoke(options) ?? options, NullLogger.Instance) { Greet = greet };
        _running = client.RunAsync(_stop.Token);
        return client;
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
