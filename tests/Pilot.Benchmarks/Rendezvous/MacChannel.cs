using System.Buffers;
using System.Buffers.Text;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Pilot.Protocol;
using Pilot.Protocol.Registry;

namespace Pilot.Benchmarks.Rendezvous;

/// <summary>One connection with its session, as our daemons use it: a fresh signature per node first, then MACs (<see cref="RequestMac"/>).</summary>
internal sealed class MacChannel
{
    private const long FirstSequence = 1_000_000_000; // so that all have ten digits, and a frame is patched in place
    private const string Hello = "{\"type\":\"check_trust\",\"node_id\":0,\"peer_id\":0,\"session_wanted\":true}";

    // One key for all nodes of the run: what the server does is the same, and the generator has other things to do.
    private static readonly byte[] Secret = RandomNumberGenerator.GetBytes(X25519.KeySize);
    private static readonly byte[] Public = PublicHalf();

    private readonly LoadClient _client;
    private readonly byte[] _session;
    private readonly byte[] _server;
    private long _sequence = FirstSequence;

    public MacChannel(LoadClient client)
    {
        _client = client;
        using var answer = JsonDocument.Parse(client.Call(SimulatedNodes.Frame(Hello)));
        _session = answer.RootElement.GetProperty(RequestProof.SessionMember).GetBytesFromBase64();
        _server = answer.RootElement.GetProperty(RequestMac.ServerKeyMember).GetBytesFromBase64();
    }

    /// <summary>Signs a first heartbeat of these nodes, with the offer of a key, and returns their keys.</summary>
    public List<byte[]> Open(IEnumerable<(uint Id, Identity Identity)> nodes)
    {
        var keys = new List<byte[]>();
        foreach (var (id, identity) in nodes)
        {
            var body = RequestProof.Sign(Encoding.ASCII.GetBytes($"{{\"type\":\"heartbeat\",\"node_id\":{id}}}"), _session, ++_sequence, null, identity, Public);
            _client.Send(SimulatedNodes.Frame(Encoding.ASCII.GetString(body)), 1, 0);
            var key = new byte[RequestMac.Size];
            if (!RequestMac.TryDeriveKey(Secret, _server, Public, isServer: false, _session, identity.PublicKey, key))
            {
                throw new BenchmarkException("the server named an unusable key");
            }

            keys.Add(key);
        }

        while (_client.Outstanding > 0)
        {
            _client.Receive(null);
        }

        return _client.Errors == 0 ? keys : throw new BenchmarkException($"fresh signature refused: {_client.LastError}");
    }

    /// <summary>Endless requests with the same members, each with the connection's next number.</summary>
    /// <param name="body">JSON object without <c>seq</c> and <c>mac</c>.</param>
    /// <param name="key">Of the node.</param>
    public RequestSource Requests(string body, byte[] key) => new MacRequest(this, body, key);

    private static byte[] PublicHalf()
    {
        var half = new byte[X25519.KeySize];
        X25519.GetPublicKey(Secret, half);
        return half;
    }

    private sealed class MacRequest : RequestSource
    {
        private readonly MacChannel _channel;
        private readonly byte[] _key;
        private readonly byte[] _frame;
        private readonly byte[] _covered;
        private readonly int _numberInFrame;
        private readonly int _numberCovered;
        private readonly int _macInFrame;
        private readonly byte[] _mac = new byte[RequestMac.Size];

        public MacRequest(MacChannel channel, string body, byte[] key)
        {
            (_channel, _key) = (channel, key);
            var number = Encoding.ASCII.GetBytes(FirstSequence.ToString(CultureInfo.InvariantCulture));
            var sealedBody = RequestMac.Seal(Encoding.ASCII.GetBytes(body), channel._session, FirstSequence, key);
            _frame = SimulatedNodes.Frame(Encoding.ASCII.GetString(sealedBody));
            _numberInFrame = _frame.AsSpan().IndexOf(number);
            _macInFrame = _frame.Length - "=\"}".Length - (Base64.GetMaxEncodedToUtf8Length(RequestMac.Size) - 1);
            var bytes = new ArrayBufferWriter<byte>();
            RequestMac.Write(bytes, channel._session, RegistryRequest.TryParse(sealedBody, out var request) ? request! : throw new BenchmarkException("not a request"));
            _covered = bytes.WrittenSpan.ToArray();
            _numberCovered = _covered.AsSpan().IndexOf(number);
        }

        public override ReadOnlySpan<byte> Next()
        {
            Utf8Formatter.TryFormat(++_channel._sequence, _frame.AsSpan(_numberInFrame), out var digits);
            _frame.AsSpan(_numberInFrame, digits).CopyTo(_covered.AsSpan(_numberCovered));
            HMACSHA256.HashData(_key, _covered, _mac);
            Base64.EncodeToUtf8(_mac, _frame.AsSpan(_macInFrame), out _, out _);
            return _frame;
        }
    }
}
