using System.Text.Json.Nodes;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Pilot.Daemon.Registry;
using Pilot.Protocol;
using Pilot.Protocol.Registry;
using RegistryRequest = Pilot.Protocol.Registry.RegistryRequest;

namespace Pilot.Daemon.Tests;

/// <summary>The daemon's side of requests under a MAC: offered with a signature, used once that was accepted, given up when refused.</summary>
public sealed class RegistryMacTests : IAsyncLifetime
{
    private static readonly byte[] Session = [.. Enumerable.Range(0, 16).Select(i => (byte)i)];
    private static readonly byte[] Secret = [.. Enumerable.Range(1, 32).Select(i => (byte)i)];
    private readonly FakeRegistry _registry = new() { Session = Session };
    private readonly CancellationTokenSource _stop = new();
    private readonly RegistryRequests _requests = new(Identity.Create());
    private readonly Warnings _log = new();
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
    public async Task The_first_request_is_signed_and_offers_a_key_that_proves_the_next_ones()
    {
        _registry.ExchangeSecret = Secret;
        var client = Start();
        Assert.Null((await client.SendAsync(_requests.Register("10.0.0.1:4000", null, []))).Error);
        _requests.NodeId = 1;
        Assert.Null((await client.SendAsync(_requests.Heartbeat())).Error);
        Assert.Null((await client.SendAsync(_requests.SetVisibility(false))).Error);
        Assert.Null((await client.SendAsync(_requests.PollHandshakes())).Error);
        var sent = Sent();
        Assert.True(IsSigned(sent[0]));
        Assert.True(sent[0].HasString("mac_key"));
        var key = new byte[32];
        var server = new byte[32];
        X25519.GetPublicKey(Secret, server);
        Assert.True(RequestMac.TryDeriveKey(Secret, server, Convert.FromBase64String(sent[0].GetString("mac_key")), isServer: true, Session, _requests.Identity.PublicKey, key));
        foreach (var request in (RegistryRequest[])[sent[1], sent[3]])
        {
            Assert.True(RequestMac.Verify(key, Session, request));
            Assert.False(request.Has("signature"));
            Assert.False(request.Has("signature_v2"));
        }

        Assert.True(IsSigned(sent[2])); // what others see of a node is signed
        Assert.False(sent[2].Has("mac_key"));
        Assert.True(sent[2].HasString("signature"));
        Assert.Equal([1L, 2L, 3L, 4L], sent.Select(request => request.TryGetInteger("seq", out var number) ? number : 0));
    }

    [Fact]
    public async Task A_refused_offer_is_made_again()
    {
        _registry.ExchangeSecret = Secret;
        var client = Start();
        _requests.NodeId = 9; // not known there
        Assert.True((await client.SendAsync(_requests.Heartbeat())).IsNotFound);
        Assert.Null((await client.SendAsync(_requests.Register("10.0.0.1:4000", null, []))).Error);
        _requests.NodeId = 1;
        Assert.Null((await client.SendAsync(_requests.Heartbeat())).Error);
        var sent = Sent();
        Assert.True(sent[0].HasString("mac_key"));
        Assert.Equal(sent[0].GetString("mac_key"), sent[1].GetString("mac_key"));
        Assert.True(sent[2].HasString("mac"));
    }

    [Fact]
    public async Task A_refused_mac_is_signed_at_once_and_so_is_all_that_follows_and_one_line_says_it()
    {
        _registry.ExchangeSecret = Secret;
        _registry.Script = request => request["mac"] is null ? null : new JsonObject { ["type"] = "error", ["error"] = "signature_v2 required", ["code"] = "signature_needed" };
        var client = Start();
        Assert.Null((await client.SendAsync(_requests.Register("10.0.0.1:4000", null, []))).Error);
        _requests.NodeId = 1;
        Assert.Null((await client.SendAsync(_requests.Heartbeat())).Error);
        Assert.Null((await client.SendAsync(_requests.Heartbeat())).Error);
        Assert.Equal(["key", "mac", "signed", "signed"], Sent().Select(Kind));
        Assert.Equal(1, _log.Count("MAC"));

        // Another connection tries again; the line is not repeated within the hour.
        _registry.Cut();
        Assert.Null((await client.SendAsync(_requests.Heartbeat())).Error);
        Assert.Null((await client.SendAsync(_requests.Heartbeat())).Error);
        Assert.Equal(["key", "mac", "signed"], Sent().Skip(4).Select(Kind));
        Assert.Equal(1, _log.Count("MAC"));
    }

    [Theory]
    [InlineData(false)] // an older registry of ours
    [InlineData(true)] // a key of low order
    public async Task Without_a_usable_key_every_request_is_signed(bool named)
    {
        var client = Start(serverKey: named ? new byte[32] : null);
        Assert.Null((await client.SendAsync(_requests.Register("10.0.0.1:4000", null, []))).Error);
        _requests.NodeId = 1;
        Assert.Null((await client.SendAsync(_requests.Heartbeat())).Error);
        Assert.Equal(["signed", "signed"], Sent().Select(Kind));
        Assert.True(Sent().All(IsSigned));
    }

    private static string Kind(RegistryRequest request) =>
        request.Has("mac") ? "mac" : !request.Has("signature_v2") ? "none" : request.Has("mac_key") ? "key" : "signed";

    private bool IsSigned(RegistryRequest request) => RequestProof.Verify(_requests.Identity.PublicKey, Session, request);

    private List<RegistryRequest> Sent() => [.. _registry.Bodies.Select(body => RegistryRequest.TryParse(body, out var request) ? request! : throw new InvalidOperationException())];

    private RegistryClient Start(byte[]? serverKey = null)
    {
        var client = new RegistryClient(new RegistryClientOptions { Addresses = [_registry.Address] }, _log);
        client.Greet = async (connection, cancellation) =>
        {
            var hello = await connection.ExchangeAsync(RegistryRequests.Hello(), client.RequestTimeout, cancellation);
            var named = new byte[32];
            connection.SignWith(
                _requests.Identity, Convert.FromBase64String(hello.Text("session")),
                serverKey ?? (StandardBase64.TryDecodeExact(hello.Text("session_key"), named) ? named : default(ReadOnlySpan<byte>)));
        };
        _running = client.RunAsync(_stop.Token);
        return client;
    }

    private sealed class Warnings : ILogger
    {
        private readonly List<string> _lines = [];

        public int Count(string word)
        {
            lock (_lines)
            {
                return _lines.Count(line => line.Contains(word, StringComparison.Ordinal));
            }
        }

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => NullLogger.Instance.BeginScope(state);

        public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Warning;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            lock (_lines)
            {
                _lines.Add(formatter(state, exception));
            }
        }
    }
}
