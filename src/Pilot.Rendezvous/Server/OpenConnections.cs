using System.Collections.Concurrent;
using System.Diagnostics;
using Microsoft.AspNetCore.Connections;
using Pilot.Protocol;

namespace Pilot.Rendezvous.Server;

/// <summary>The open connections of the registry: counts per address, and deadlines that one sweep watches, so that a request arms no timer of its own.</summary>
internal sealed class OpenConnections(ConnectionLimits limits)
{
    private static readonly long TellInterval = Stopwatch.Frequency; // one second

    /// <summary>May be replaced while the server runs; connections that are open stay.</summary>
    public ConnectionLimits Limits { get; set; } = limits;

    private readonly ConcurrentDictionary<OpenConnection, byte> _open = new();
    private readonly Dictionary<UInt128, int> _perAddress = [];
    private readonly Lock _counting = new();
    private int _count;
    private int _refusedUntold;
    private long? _toldAt;

    public int Count => Volatile.Read(ref _count);

    /// <summary>Admits a connection; null when a limit is reached.</summary>
    public OpenConnection? TryAdd(ConnectionContext context, UdpEndpoint source)
    {
        UInt128 address = AddressKey(source);
        lock (_counting)
        {
            int held = _perAddress.GetValueOrDefault(address);
            if (_count >= Limits.MaxConnections || held >= Limits.MaxPerAddress)
            {
                return null;
            }

            _perAddress[address] = held + 1;
            _count++;
        }

        var connection = new OpenConnection(context, source, address);
        _open[connection] = 0;
        return connection;
    }

    /// <summary>Counts a refused connection. True when it is time to tell: strangers decide how many there are, so each is not told by itself.</summary>
    /// <param name="now">Time stamp of <see cref="Stopwatch"/>.</param>
    /// <param name="refused">Those since it was told last, this one included.</param>
    public bool TellsRefusal(long now, out int refused)
    {
        lock (_counting)
        {
            refused = ++_refusedUntold;
            if (_toldAt is { } told && now - told < TellInterval)
            {
                return false;
            }

            (_toldAt, _refusedUntold) = (now, 0);
            return true;
        }
    }

    public void Remove(OpenConnection connection)
    {
        if (!_open.TryRemove(connection, out _))
        {
            return;
        }

        lock (_counting)
        {
            _count--;
            int held = _perAddress[connection.Address] - 1;
            if (held == 0)
            {
                _perAddress.Remove(connection.Address);
            }
            else
            {
                _perAddress[connection.Address] = held;
            }
        }
    }

    /// <summary>Aborts connections whose deadline has passed. Returns how many.</summary>
    public int AbortOverdue()
    {
        long now = Stopwatch.GetTimestamp();
        int aborted = 0;
        foreach (OpenConnection connection in _open.Keys)
        {
            if (connection.IsOverdue(now))
            {
                connection.Abort();
                aborted++;
            }
        }

        return aborted;
    }

    /// <summary>Ends all connections once the requests at hand are answered.</summary>
    public void Drain()
    {
        foreach (OpenConnection connection in _open.Keys)
        {
            connection.Drain();
        }
    }

    private static UInt128 AddressKey(UdpEndpoint source) => source.IsIPv4 ? source.Ip : source.Ip >> 64 << 64;
}

/// <summary>One admitted connection and the time by which its peer must have done the next thing.</summary>
internal sealed class OpenConnection(ConnectionContext context, UdpEndpoint source, UInt128 address)
{
    private long _deadline = long.MaxValue;

    public UdpEndpoint Source { get; } = source;

    /// <summary>What its source counts as.</summary>
    public UInt128 Address { get; } = address;

    public void Arm(TimeSpan timeout) =>
        Volatile.Write(ref _deadline, Stopwatch.GetTimestamp() + (long)(timeout.TotalSeconds * Stopwatch.Frequency));

    public void Disarm() => Volatile.Write(ref _deadline, long.MaxValue);

    public bool IsOverdue(long now) => now > Volatile.Read(ref _deadline);

    /// <summary>Wakes the connection's reader, which then ends.</summary>
    public void Drain() => context.Transport.Input.CancelPendingRead();

    public void Abort() => context.Abort(new ConnectionAbortedException("deadline passed"));
}
