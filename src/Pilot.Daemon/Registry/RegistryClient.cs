using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using Pilot.Protocol;

namespace Pilot.Daemon.Registry;

/// <summary>Times and sizes of the registry client.</summary>
internal sealed record RegistryClientOptions
{
    /// <summary>Addresses <c>host:port</c>; the first that answers is used, the one that worked last comes first.</summary>
    public required IReadOnlyList<string> Addresses { get; init; }

    /// <summary>SHA-256 of the TLS certificate in hex; null = plain TCP.</summary>
    public string? Fingerprint { get; init; }

    /// <summary>Limit per request (00 §3).</summary>
    public TimeSpan RequestTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Limit per connection attempt (03 §2.4).</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>First and last wait between connection attempts (00 §3).</summary>
    public TimeSpan FirstBackoff { get; init; } = TimeSpan.FromSeconds(1);

    public TimeSpan LastBackoff { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Requests that may wait; more are refused at once.</summary>
    public int MaxQueued { get; init; } = 1024;
}

/// <summary>
/// The daemon's one connection to the registry: a queue of requests, one on the wire at a time, reconnecting for ever with growing waits.
/// Never used on the packet path; callers are asynchronous.
/// </summary>
internal sealed class RegistryClient(RegistryClientOptions options, ILogger logger)
{
    private readonly Channel<Pending> _queue = Channel.CreateBounded<Pending>(new BoundedChannelOptions(options.MaxQueued) { SingleReader = true });
    private static readonly TimeSpan RefusalNotice = TimeSpan.FromHours(1);

    private readonly object _gate = new();
    private long? _refusalTold;
    private int _preferred;
    private bool _isBackingOff;
    private RegistryConnection? _connection;
    private string _lastError = "not connected yet";

    /// <summary>Called after each new connection, before any queued request: greets the registry on it. Throws <see cref="RegistryUnavailableException"/> to give the connection up.</summary>
    public Func<RegistryConnection, CancellationToken, Task>? Greet { get; set; }

    /// <summary>Called when a connection is over.</summary>
    public Action<string>? Lost { get; set; }

    /// <summary>True while there is a greeted connection.</summary>
    public bool IsConnected { get; private set; }

    /// <summary>Address in use, or the one to be tried next.</summary>
    public string Address => options.Addresses[_preferred];

    /// <summary>Cause of the last failure; empty while connected.</summary>
    public string LastError => IsConnected ? string.Empty : _lastError;

    public TimeSpan RequestTimeout => options.RequestTimeout;

    /// <summary>Sends a request. An error that the registry answers is returned, not thrown.</summary>
    /// <exception cref="RegistryUnavailableException">The registry cannot be asked.</exception>
    public async Task<RegistryAnswer> SendAsync(RegistryRequest request, CancellationToken cancellation = default)
    {
        if (request.Frame.Length - sizeof(uint) > RegistryRequests.MaxBody)
        {
            throw new RegistryUnavailableException($"{request.Type} is larger than a registry takes");
        }

        var pending = new Pending(request);
        lock (_gate)
        {
            if (_isBackingOff)
            {
                throw new RegistryUnavailableException(_lastError);
            }

            if (!_queue.Writer.TryWrite(pending))
            {
                throw new RegistryUnavailableException("too many registry requests waiting");
            }
        }

        try
        {
            return await pending.Answer.Task.WaitAsync(options.RequestTimeout * 2, cancellation).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            throw new RegistryUnavailableException($"registry at {Address} did not answer {request.Type}: too many requests before it");
        }
    }

    /// <summary>Sends a request, and throws what the registry refuses.</summary>
    /// <exception cref="RegistryErrorException">Refused.</exception>
    /// <exception cref="RegistryUnavailableException">Could not be asked.</exception>
    public async Task<RegistryAnswer> AskAsync(RegistryRequest request, CancellationToken cancellation)
    {
        var answer = await SendAsync(request, cancellation).ConfigureAwait(false);
        return answer.Error is null ? answer : throw new RegistryErrorException(answer);
    }

    /// <summary>This host has these addresses now. A connection from one that is gone hears nothing more: it is made again at once. Any thread.</summary>
    public void AddressesChanged(IReadOnlyList<UdpEndpoint> own)
    {
        if (Volatile.Read(ref _connection) is { } connection && !own.Any(address => address.Ip == connection.LocalIp))
        {
            connection.Drop("this host's address is gone");
        }
    }

    /// <summary>Works until cancelled.</summary>
    public async Task RunAsync(CancellationToken cancellation)
    {
        var wait = TimeSpan.Zero;
        Pending? repeat = null;
        while (!cancellation.IsCancellationRequested)
        {
            try
            {
                await using var connection = await ConnectAsync(cancellation).ConfigureAwait(false);
                Volatile.Write(ref _connection, connection);
                connection.MacRefused = () => TellRefusal(connection.Address);
                if (Greet is { } greet)
                {
                    await greet(connection, cancellation).ConfigureAwait(false);
                }

                wait = TimeSpan.Zero;
                SetConnected(connection.Address);
                repeat = await ServeAsync(connection, repeat, cancellation).ConfigureAwait(false);
                SetLost($"registry connection to {connection.Address} lost");
            }
            catch (RegistryUnavailableException exception)
            {
                SetLost(exception.Message);
                wait = NextWait(wait);
                Refuse(exception.Message, ref repeat);
                logger.LogWarning("registry unavailable, next attempt in {Wait} s: {Error}", wait.TotalSeconds.ToString("0.0", System.Globalization.CultureInfo.InvariantCulture), exception.Message);
                await Task.Delay(wait, cancellation).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                lock (_gate)
                {
                    _isBackingOff = false;
                }
            }
            catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
            {
                break;
            }
        }

        IsConnected = false;
        Refuse("the daemon stops", ref repeat);
    }

    private async Task<RegistryConnection> ConnectAsync(CancellationToken cancellation)
    {
        var errors = new List<string>();
        for (var i = 0; i < options.Addresses.Count; i++)
        {
            var index = (_preferred + i) % options.Addresses.Count;
            try
            {
                var connection = await RegistryConnection.OpenAsync(options.Addresses[index], options.Fingerprint, options.ConnectTimeout, cancellation).ConfigureAwait(false);
                _preferred = index;
                return connection;
            }
            catch (RegistryUnavailableException exception)
            {
                errors.Add(exception.Message);
            }
        }

        throw new RegistryUnavailableException(string.Join("; ", errors));
    }

    /// <summary>Serves the queue on one connection until that ends. Returns the request that is to be repeated on the next one.</summary>
    private async Task<Pending?> ServeAsync(RegistryConnection connection, Pending? repeat, CancellationToken cancellation)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellation, connection.Ended);
        while (true)
        {
            Pending pending;
            try
            {
                pending = repeat ?? await _queue.Reader.ReadAsync(either.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
            {
                return null;
            }

            try
            {
                pending.Attempts++;
                var answer = await connection.ExchangeAsync(pending.Request, options.RequestTimeout, cancellation).ConfigureAwait(false);
                pending.Answer.TrySetResult(answer);
                repeat = null;
            }
            catch (RegistryUnavailableException exception)
            {
                logger.LogWarning("{Error}", exception.Message);
                if (pending.Request.IsRepeatable && pending.Attempts == 1)
                {
                    return pending;
                }

                pending.Answer.TrySetException(exception);
                return null;
            }
            catch (OperationCanceledException)
            {
                pending.Answer.TrySetException(new RegistryUnavailableException("the daemon stops"));
                throw;
            }
        }
    }

    // Once an hour at most: a man in the middle could cause it on every connection.
    private void TellRefusal(string address)
    {
        if (_refusalTold is { } told && System.Diagnostics.Stopwatch.GetElapsedTime(told) < RefusalNotice)
        {
            return;
        }

        _refusalTold = System.Diagnostics.Stopwatch.GetTimestamp();
        logger.LogWarning("registry at {Address} refused a request's MAC; this connection signs every request now. If it happens again, somebody may be changing what is sent", address);
    }

    private TimeSpan NextWait(TimeSpan wait)
    {
        var next = wait == TimeSpan.Zero ? options.FirstBackoff : wait * 2;
        if (next > options.LastBackoff)
        {
            next = options.LastBackoff;
        }

        return next * (0.9 + (Random.Shared.NextDouble() * 0.2));
    }

    private void SetConnected(string address)
    {
        lock (_gate)
        {
            _isBackingOff = false;
            IsConnected = true;
        }

        logger.LogInformation("registry connected at {Address}", address);
    }

    private void SetLost(string error)
    {
        var wasConnected = IsConnected;
        IsConnected = false;
        _lastError = error;
        if (wasConnected)
        {
            Lost?.Invoke(error);
        }
    }

    /// <summary>While waiting for the next attempt nothing is queued: callers are told at once.</summary>
    private void Refuse(string error, ref Pending? repeat)
    {
        lock (_gate)
        {
            _isBackingOff = true;
        }

        repeat?.Answer.TrySetException(new RegistryUnavailableException(error));
        repeat = null;
        while (_queue.Reader.TryRead(out var pending))
        {
            pending.Answer.TrySetException(new RegistryUnavailableException(error));
        }
    }

    private sealed class Pending(RegistryRequest request)
    {
        public RegistryRequest Request { get; } = request;

        public TaskCompletionSource<RegistryAnswer> Answer { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public int Attempts { get; set; }
    }
}
