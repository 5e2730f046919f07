using System.Buffers.Binary;
using System.Data.Common;
using Npgsql;
using Pilot.Protocol;
using Pilot.Rendezvous.Registry;
using Pilot.Rendezvous.Storage;

namespace Pilot.Rendezvous.Server;

/// <summary>Tells the other processes on one PostgreSQL what this one saw, and takes over what they saw. Runs on the writer's thread, every two seconds.</summary>
internal sealed class SharedExchange(PostgresEventStore store, RegistryService registry, SteadyClock clock, TimeProvider? time = null) : IDisposable
{
    private const int SweepEvery = 60; // exchanges
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(2);

    private readonly Guid _server = Guid.NewGuid();
    private readonly TimeProvider _time = time ?? TimeProvider.System;
    private readonly Dictionary<uint, SharedSign> _unsent = []; // what could not be sent is sent later: the last sign of each node is enough
    private SharedPresence? _presence;
    private NpgsqlConnection? _connection;
    private long _last;
    private int _count;

    /// <summary>Number of the embedded beacon among its peers.</summary>
    public uint BeaconId => BinaryPrimitives.ReadUInt32BigEndian(_server.ToByteArray()) | 1;

    /// <summary>Address of the embedded beacon that others can reach; null when it has none.</summary>
    public UdpEndpoint? BeaconAddress { get; set; }

    /// <summary>Called with the embedded beacons of the other processes.</summary>
    public Action<UdpEndpoint[]>? PeersKnown { get; set; }

    /// <exception cref="StoreException">The database is away.</exception>
    public void Run()
    {
        if (_last != 0 && _time.GetElapsedTime(_last) < Interval)
        {
            return;
        }

        _last = _time.GetTimestamp();
        DateTimeOffset now = clock.Now;
        _presence ??= new SharedPresence(_server);
        List<SharedBeacon> own = registry.Look(core =>
        {
            foreach (SharedSign sign in core.TakeSigns(now))
            {
                _unsent[sign.Node] = sign;
            }

            return core.OwnBeacons(now);
        });
        if (BeaconAddress is { } address)
        {
            own.Add(new SharedBeacon(BeaconId, address.ToString(), address.Ip, now, Embedded: true));
        }

        try
        {
            (List<SharedSign> signs, List<SharedBeacon> beacons) = Exchange(_presence, own);
            _unsent.Clear();
            registry.Look(core =>
            {
                core.Merge(signs, beacons.Where(b => !b.Embedded), now);
                return true;
            });
            PeersKnown?.Invoke([.. beacons.Where(b => b.Embedded).Select(b => UdpEndpoint.TryParse(b.Address, out UdpEndpoint peer) ? peer : default).Where(p => p.Port != 0)]);
            if (++_count % SweepEvery == 0)
            {
                SharedPresence.Sweep(_connection!);
            }
        }
        catch (Exception e) when (IsOfTheDatabase(e))
        {
            _connection?.Dispose();
            _connection = null;
            throw e as StoreException ?? new StoreException($"the database is not available: {e.Message}", e);
        }
    }

    // A connection that the database closed since the last exchange says nothing about now.
    private (List<SharedSign> Signs, List<SharedBeacon> Beacons) Exchange(SharedPresence presence, List<SharedBeacon> own)
    {
        if (_connection is not null)
        {
            try
            {
                return presence.Exchange(_connection, _unsent.Values, own);
            }
            catch (Exception e) when (IsOfTheDatabase(e))
            {
                _connection.Dispose();
                _connection = null;
            }
        }

        _connection = store.ConnectMore();
        return presence.Exchange(_connection, _unsent.Values, own);
    }

    private static bool IsOfTheDatabase(Exception e) => e is DbException or IOException or TimeoutException or InvalidOperationException or StoreException;

    public void Dispose() => _connection?.Dispose();
}
