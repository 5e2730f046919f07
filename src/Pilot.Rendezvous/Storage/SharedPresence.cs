using System.Data.Common;
using Npgsql;
using NpgsqlTypes;
using Pilot.Rendezvous.Registry;

namespace Pilot.Rendezvous.Storage;

/// <summary>
/// What processes on one PostgreSQL tell each other besides events: signs of life (written in batches, not one by one) and beacons. Unlogged tables: after a
/// crash of the database they are empty, and fill again within one heartbeat.
/// </summary>
internal sealed class SharedPresence(Guid server)
{
    private const int LifetimeSeconds = 600;
    private long _seen;

    public static void CreateTables(DbConnection connection, DbTransaction transaction)
    {
        foreach (string text in (string[])
        [
            "CREATE SEQUENCE IF NOT EXISTS registry_presence_change",
            "CREATE UNLOGGED TABLE IF NOT EXISTS registry_presence(node BIGINT PRIMARY KEY, server UUID NOT NULL, seen_at TIMESTAMPTZ NOT NULL, connected BOOLEAN NOT NULL, proof_ip BYTEA NOT NULL, proof_at TIMESTAMPTZ NOT NULL, change BIGINT NOT NULL)",
            "CREATE INDEX IF NOT EXISTS registry_presence_by_change ON registry_presence(change)",
            "CREATE UNLOGGED TABLE IF NOT EXISTS registry_beacons(id BIGINT, server UUID, address TEXT NOT NULL, source BYTEA NOT NULL, seen_at TIMESTAMPTZ NOT NULL, embedded BOOLEAN NOT NULL, PRIMARY KEY(id, embedded))",
        ])
        {
            using DbCommand command = connection.CreateCommand();
            command.CommandText = text;
            command.Transaction = transaction;
            command.ExecuteNonQuery();
        }
    }

    /// <summary>Writes our signs (one for a node at most) and beacons, and reads what others wrote since the last exchange.</summary>
    public (List<SharedSign> Signs, List<SharedBeacon> Beacons) Exchange(NpgsqlConnection connection, IReadOnlyCollection<SharedSign> signs, IReadOnlyList<SharedBeacon> beacons)
    {
        if (signs.Count > 0)
        {
            // In the order of the ids, so that two processes cannot wait for each other's rows. A sign never overwrites a later one.
            using var write = new NpgsqlCommand(
                """
                INSERT INTO registry_presence(node, server, seen_at, connected, proof_ip, proof_at, change)
                SELECT u.node, @server, u.seen_at, u.connected, u.proof_ip, u.proof_at, nextval('registry_presence_change')
                FROM unnest(@nodes, @seen, @connected, @ips, @proofs) AS u(node, seen_at, connected, proof_ip, proof_at) ORDER BY u.node
                ON CONFLICT (node) DO UPDATE SET server = excluded.server, seen_at = excluded.seen_at, connected = excluded.connected,
                  proof_ip = excluded.proof_ip, proof_at = excluded.proof_at, change = excluded.change
                WHERE registry_presence.seen_at <= excluded.seen_at
                """,
                connection);
            SharedSign[] ordered = [.. signs.OrderBy(s => s.Node)];
            write.Parameters.AddWithValue("server", server);
            write.Parameters.AddWithValue("nodes", NpgsqlDbType.Array | NpgsqlDbType.Bigint, ordered.Select(s => (long)s.Node).ToArray());
            write.Parameters.AddWithValue("seen", NpgsqlDbType.Array | NpgsqlDbType.TimestampTz, ordered.Select(s => s.SeenAt.UtcDateTime).ToArray());
            write.Parameters.AddWithValue("connected", NpgsqlDbType.Array | NpgsqlDbType.Boolean, ordered.Select(s => s.Connected).ToArray());
            write.Parameters.AddWithValue("ips", NpgsqlDbType.Array | NpgsqlDbType.Bytea, ordered.Select(s => Bytes(s.ProofIp)).ToArray());
            write.Parameters.AddWithValue("proofs", NpgsqlDbType.Array | NpgsqlDbType.TimestampTz, ordered.Select(s => s.ProofAt.UtcDateTime).ToArray());
            write.ExecuteNonQuery();
        }

        foreach (SharedBeacon beacon in beacons)
        {
            using var write = new NpgsqlCommand(
                """
                INSERT INTO registry_beacons(id, server, address, source, seen_at, embedded) VALUES (@id, @server, @address, @source, @seen, @embedded)
                ON CONFLICT (id, embedded) DO UPDATE SET server = excluded.server, address = excluded.address, source = excluded.source, seen_at = excluded.seen_at
                WHERE registry_beacons.seen_at <= excluded.seen_at
                """,
                connection);
            write.Parameters.AddWithValue("id", (long)beacon.Id);
            write.Parameters.AddWithValue("server", server);
            write.Parameters.AddWithValue("address", beacon.Address);
            write.Parameters.AddWithValue("source", Bytes(beacon.Source));
            write.Parameters.AddWithValue("seen", beacon.SeenAt.UtcDateTime);
            write.Parameters.AddWithValue("embedded", beacon.Embedded);
            write.ExecuteNonQuery();
        }

        return (ReadSigns(connection), ReadBeacons(connection));
    }

    /// <summary>Drops what is long out of date.</summary>
    public static void Sweep(NpgsqlConnection connection)
    {
        using var sweep = new NpgsqlCommand(
            FormattableString.Invariant($"DELETE FROM registry_presence WHERE seen_at < now() - interval '{LifetimeSeconds} seconds'; DELETE FROM registry_beacons WHERE seen_at < now() - interval '{LifetimeSeconds} seconds'"),
            connection);
        sweep.ExecuteNonQuery();
    }

    private List<SharedSign> ReadSigns(NpgsqlConnection connection)
    {
        // A transaction that took an earlier number may end after a later one: the last numbers are read again.
        const int Overlap = 20_000;
        var signs = new List<SharedSign>();
        using var read = new NpgsqlCommand(
            "SELECT node, seen_at, connected, proof_ip, proof_at, change FROM registry_presence WHERE change > @seen AND server <> @server ORDER BY change", connection);
        read.Parameters.AddWithValue("seen", Math.Max(0, _seen - Overlap));
        read.Parameters.AddWithValue("server", server);
        using NpgsqlDataReader reader = read.ExecuteReader();
        while (reader.Read())
        {
            signs.Add(new SharedSign((uint)reader.GetInt64(0), reader.GetFieldValue<DateTimeOffset>(1), reader.GetBoolean(2), Address(reader.GetFieldValue<byte[]>(3)), reader.GetFieldValue<DateTimeOffset>(4)));
            _seen = Math.Max(_seen, reader.GetInt64(5));
        }

        return signs;
    }

    private List<SharedBeacon> ReadBeacons(NpgsqlConnection connection)
    {
        var beacons = new List<SharedBeacon>();
        using var read = new NpgsqlCommand("SELECT id, address, source, seen_at, embedded FROM registry_beacons WHERE server <> @server AND seen_at > now() - interval '60 seconds'", connection);
        read.Parameters.AddWithValue("server", server);
        using NpgsqlDataReader reader = read.ExecuteReader();
        while (reader.Read())
        {
            beacons.Add(new SharedBeacon((uint)reader.GetInt64(0), reader.GetString(1), Address(reader.GetFieldValue<byte[]>(2)), reader.GetFieldValue<DateTimeOffset>(3), reader.GetBoolean(4)));
        }

        return beacons;
    }

    private static byte[] Bytes(UInt128 address)
    {
        byte[] bytes = new byte[16];
        System.Buffers.Binary.BinaryPrimitives.WriteUInt128BigEndian(bytes, address);
        return bytes;
    }

    private static UInt128 Address(byte[] bytes) => bytes.Length == 16 ? System.Buffers.Binary.BinaryPrimitives.ReadUInt128BigEndian(bytes) : UInt128.Zero;
}
