using System.Buffers.Binary;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Text.Json;
using Pilot.Protocol;
using Pilot.Protocol.Registry;

namespace Pilot.Daemon.Registry;

/// <summary>One TCP (or TLS) connection to a registry. One request at a time; ends with the first failure.</summary>
internal sealed class RegistryConnection : IAsyncDisposable
{
    private const int MaxAnswer = 16 * 1024 * 1024; // bytes; references never send above 64 KiB by design, but are not bounded (03 §2.1)
    private const int FirstRoom = 4096; // grown as bytes arrive, never as announced

    private readonly Socket _socket;
    private readonly Stream _stream;
    private readonly CancellationTokenSource _ended = new();
    private readonly object _gate = new();
    private TaskCompletionSource<RegistryAnswer>? _waiting;
    private Task _reader = Task.CompletedTask;
    private readonly string? _fingerprint;
    private RequestSeal? _seal;

    private RegistryConnection(Socket socket, Stream stream, string address, string? fingerprint)
    {
        _fingerprint = fingerprint?.ToLowerInvariant();
        _socket = socket;
        _stream = stream;
        Address = address;
        LocalIp = socket.LocalEndPoint is IPEndPoint local ? UdpEndpoint.FromBytes(local.Address.GetAddressBytes(), 0).Ip : UInt128.Zero;
    }

    /// <summary>The address it goes to, <c>host:port</c>.</summary>
    public string Address { get; }

    /// <summary>The address of ours that it comes from, IPv6 bits.</summary>
    public UInt128 LocalIp { get; }

    /// <summary>Cancelled when the connection is over.</summary>
    public CancellationToken Ended => _ended.Token;

    /// <exception cref="RegistryUnavailableException">No connection, or the certificate is not the pinned one.</exception>
    public static async Task<RegistryConnection> OpenAsync(string address, string? fingerprint, TimeSpan timeout, CancellationToken cancellation)
    {
        var colon = address.LastIndexOf(':');
        var host = address[..colon].Trim('[', ']');
        var port = int.Parse(address.AsSpan(colon + 1), System.Globalization.CultureInfo.InvariantCulture);
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        limit.CancelAfter(timeout);
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
            await socket.ConnectAsync(host, port, limit.Token).ConfigureAwait(false);
            Stream stream = new NetworkStream(socket, ownsSocket: true);
            if (fingerprint is not null)
            {
                stream = await SecureAsync(stream, host, fingerprint, limit.Token).ConfigureAwait(false);
            }

            var connection = new RegistryConnection(socket, stream, address, fingerprint);
            connection._reader = connection.ReadAnswersAsync();
            return connection;
        }
        catch (Exception exception) when (exception is SocketException or IOException or AuthenticationException or OperationCanceledException)
        {
            socket.Dispose();
            cancellation.ThrowIfCancellationRequested();
            var cause = exception is OperationCanceledException ? $"no connection within {timeout.TotalSeconds:0} s" : exception.Message;
            throw new RegistryUnavailableException($"cannot reach registry at {address}: {cause}");
        }
    }

    /// <summary>Gives the connection up: what waits for an answer is asked again on the next one. Any thread.</summary>
    public void Drop(string reason) => End(reason);

    /// <summary>Called when the registry refused a MAC, and this connection signs every request from now on.</summary>
    public Action? MacRefused { get; set; }

    /// <summary>From now on signed requests get the better signature, too: it covers the session that the registry named on this connection.</summary>
    /// <param name="identity">Who signs.</param>
    /// <param name="session">As the registry named it.</param>
    /// <param name="serverKey">The registry's key for MACs; empty when it named none.</param>
    public void SignWith(Identity identity, byte[] session, ReadOnlySpan<byte> serverKey)
    {
        _seal = new RequestSeal(identity, session, _fingerprint);
        if (!serverKey.IsEmpty)
        {
            _seal.Offer(serverKey);
        }
    }

    /// <summary>Sends one request and waits for its answer. After a failure the connection is over.</summary>
    /// <exception cref="RegistryUnavailableException">Lost, or no answer in time.</exception>
    public async Task<RegistryAnswer> ExchangeAsync(RegistryRequest request, TimeSpan timeout, CancellationToken cancellation)
    {
        if (_seal is not { } seal || !request.IsSigned)
        {
            return await ExchangeAsync(request.Type, request.Frame, timeout, cancellation).ConfigureAwait(false);
        }

        var sent = seal.Seal(request);
        var answer = await ExchangeAsync(request.Type, sent.Frame, timeout, cancellation).ConfigureAwait(false);
        if (!seal.IsRefused(sent.Kind, answer))
        {
            return answer;
        }

        MacRefused?.Invoke();
        return await ExchangeAsync(request.Type, seal.Seal(request).Frame, timeout, cancellation).ConfigureAwait(false);
    }

    private async Task<RegistryAnswer> ExchangeAsync(string type, ReadOnlyMemory<byte> frame, TimeSpan timeout, CancellationToken cancellation)
    {
        var waiting = new TaskCompletionSource<RegistryAnswer>(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_gate)
        {
            if (_ended.IsCancellationRequested)
            {
                throw new RegistryUnavailableException($"registry connection to {Address} is closed");
            }

            _waiting = waiting;
        }

        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        limit.CancelAfter(timeout);
        try
        {
            await _stream.WriteAsync(frame, limit.Token).ConfigureAwait(false);
            return await waiting.Task.WaitAsync(limit.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            End("timeout");
            throw new RegistryUnavailableException($"registry at {Address} did not answer {type} within {timeout.TotalSeconds:0} s");
        }
        catch (IOException exception)
        {
            End("write failed");
            throw new RegistryUnavailableException($"registry connection to {Address} lost: {exception.Message}");
        }
        catch (OperationCanceledException)
        {
            End("cancelled");
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        End("closed");
        await _reader.ConfigureAwait(false);
        await _stream.DisposeAsync().ConfigureAwait(false);
        _socket.Dispose();
        _ended.Dispose();
    }

    private static async Task<Stream> SecureAsync(Stream stream, string host, string fingerprint, CancellationToken cancellation)
    {
        // The pin alone decides: chain, name and dates are not checked (03 §2.3).
        var tls = new SslStream(stream, leaveInnerStreamOpen: false, (_, certificate, _, _) =>
            certificate is not null && fingerprint.Equals(Convert.ToHexString(SHA256.HashData(certificate.GetRawCertData())), StringComparison.OrdinalIgnoreCase));
        await tls.AuthenticateAsClientAsync(new SslClientAuthenticationOptions { TargetHost = host }, cancellation).ConfigureAwait(false);
        return tls;
    }

    private async Task ReadAnswersAsync()
    {
        var cause = "closed by the registry";
        try
        {
            var header = new byte[sizeof(uint)];
            while (true)
            {
                await _stream.ReadExactlyAsync(header, _ended.Token).ConfigureAwait(false);
                var length = BinaryPrimitives.ReadUInt32BigEndian(header);
                if (length is 0 or > MaxAnswer)
                {
                    cause = $"sent a frame of {length} bytes";
                    break;
                }

                var answer = Parse(await ReadBodyAsync((int)length).ConfigureAwait(false));
                TaskCompletionSource<RegistryAnswer>? waiting;
                lock (_gate)
                {
                    waiting = _waiting;
                    _waiting = null;
                }

                if (answer is null || waiting is null || !waiting.TrySetResult(answer))
                {
                    cause = answer is null ? "sent something that is no JSON object" : "answered without a question";
                    waiting?.TrySetException(new RegistryUnavailableException($"registry at {Address} {cause}"));
                    break;
                }
            }
        }
        catch (Exception exception) when (exception is IOException or SocketException or OperationCanceledException or ObjectDisposedException)
        {
            cause = exception is OperationCanceledException ? "closed" : exception is EndOfStreamException ? cause : exception.Message;
        }

        End(cause);
    }

    private async Task<ReadOnlyMemory<byte>> ReadBodyAsync(int length)
    {
        var body = new byte[Math.Min(length, FirstRoom)];
        var filled = 0;
        while (true)
        {
            await _stream.ReadExactlyAsync(body.AsMemory(filled), _ended.Token).ConfigureAwait(false);
            filled = body.Length;
            if (filled == length)
            {
                return body;
            }

            Array.Resize(ref body, (int)Math.Min(length, (long)filled * 4));
        }
    }

    /// <summary>Null when the body is not a JSON object. Never throws on input.</summary>
    internal static RegistryAnswer? Parse(ReadOnlyMemory<byte> body)
    {
        try
        {
            using var document = JsonDocument.Parse(ForeignJson.Repair(body));
            return document.RootElement.ValueKind == JsonValueKind.Object ? new RegistryAnswer(document.RootElement.Clone()) : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private void End(string cause)
    {
        TaskCompletionSource<RegistryAnswer>? waiting;
        lock (_gate)
        {
            waiting = _waiting;
            _waiting = null;
            if (!_ended.IsCancellationRequested)
            {
                _ended.Cancel();
            }
        }

        waiting?.TrySetException(new RegistryUnavailableException($"registry connection to {Address}: {cause}"));
    }
}
