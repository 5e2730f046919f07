using System.Buffers.Binary;
using System.Diagnostics;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using Pilot.Protocol;

namespace Pilot.Benchmarks.Rendezvous;

/// <summary>Many identities registered at one server, ten per source address as the limit on registrations allows.</summary>
internal sealed class SimulatedNodes
{
    private const int PerAddress = 10;
    private const int ParallelConnections = 256; // what waits for the store at one moment shares a commit

    private readonly Identity[] _identities;
    private readonly uint[] _ids;

    private SimulatedNodes(Identity[] identities)
    {
        _identities = identities;
        _ids = new uint[identities.Length];
    }

    public int Count => _identities.Length;

    /// <summary>Derived from their numbers: the same in every run.</summary>
    public static SimulatedNodes Create(int count) =>
        new([.. Enumerable.Range(0, count).AsParallel().AsOrdered().Select(i => new Identity(SHA256.HashData(Encoding.ASCII.GetBytes($"load{i}"))))]);

    /// <summary>Registers all and returns the registrations per second.</summary>
    public double Register(IPEndPoint server)
    {
        ThreadPool.SetMinThreads(ParallelConnections, ParallelConnections); // they block, and the pool grows by one or two a second only
        var start = Stopwatch.GetTimestamp();
        var groups = (_identities.Length + PerAddress - 1) / PerAddress;
        Parallel.For(0, groups, new ParallelOptions { MaxDegreeOfParallelism = ParallelConnections }, group =>
        {
            using var client = new LoadClient(server, group);
            var first = group * PerAddress;
            var last = Math.Min(first + PerAddress, _identities.Length);
            using var stream = new System.Net.Sockets.NetworkStream(client.Socket);
            for (var i = first; i < last; i++)
            {
                stream.Write(Frame($"{{\"type\":\"register\",\"listen_addr\":\":4000\",\"public_key\":\"{_identities[i].PublicKeyText}\",\"owner\":\"node{i}@example.com\",\"hostname\":\"node-{i}\"}}"));
            }

            var prefix = new byte[4];
            for (var i = first; i < last; i++)
            {
                stream.ReadExactly(prefix);
                var body = new byte[BinaryPrimitives.ReadUInt32BigEndian(prefix)];
                stream.ReadExactly(body);
                using var answer = System.Text.Json.JsonDocument.Parse(body);
                _ids[i] = answer.RootElement.TryGetProperty("node_id", out var id)
                    ? id.GetUInt32()
                    : throw new BenchmarkException($"registration refused: {Encoding.UTF8.GetString(body)}");
            }
        });
        return _identities.Length / Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    public (uint Id, Identity Identity) this[int node] => (_ids[node], _identities[node]);

    /// <summary>Takes the ids of an earlier run, from a file; false when there is none for this many nodes.</summary>
    public bool TryLoad(string file)
    {
        var bytes = File.Exists(file) ? File.ReadAllBytes(file) : [];
        if (bytes.Length != _ids.Length * sizeof(uint))
        {
            return false;
        }

        Buffer.BlockCopy(bytes, 0, _ids, 0, bytes.Length);
        return true;
    }

    public void Save(string file)
    {
        var bytes = new byte[_ids.Length * sizeof(uint)];
        Buffer.BlockCopy(_ids, 0, bytes, 0, bytes.Length);
        File.WriteAllBytes(file, bytes);
    }

    public byte[] Heartbeat(int node) =>
        Frame($"{{\"type\":\"heartbeat\",\"node_id\":{_ids[node]},\"signature\":\"{_identities[node].SignText($"heartbeat:{_ids[node]}")}\"}}");

    /// <summary>A signed request whose signature the server has not seen: it must be verified.</summary>
    public byte[] Resolve(int node, int target) =>
        Frame($"{{\"type\":\"resolve\",\"requester_id\":{_ids[node]},\"node_id\":{_ids[target]},\"signature\":\"{_identities[node].SignText($"resolve:{_ids[node]}:{_ids[target]}")}\"}}");

    public byte[] Visibility(int node) =>
        Frame($"{{\"type\":\"set_visibility\",\"public\":true,\"node_id\":{_ids[node]},\"signature\":\"{_identities[node].SignText($"set_visibility:{_ids[node]}")}\"}}");

    /// <summary>A registration of a known key: it moves the endpoint, and is stored every time.</summary>
    public byte[] Return(int node) =>
        Frame($"{{\"type\":\"register\",\"listen_addr\":\":4000\",\"public_key\":\"{_identities[node].PublicKeyText}\"}}");

    public byte[] CheckTrust(int node, int peer) => Frame($"{{\"type\":\"check_trust\",\"node_id\":{_ids[node]},\"peer_id\":{_ids[peer]}}}");

    public static byte[] Frame(string body)
    {
        var frame = new byte[4 + Encoding.UTF8.GetByteCount(body)];
        BinaryPrimitives.WriteUInt32BigEndian(frame, (uint)(frame.Length - 4));
        Encoding.UTF8.GetBytes(body, frame.AsSpan(4));
        return frame;
    }
}
