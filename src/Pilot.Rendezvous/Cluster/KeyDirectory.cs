using System.Collections.Concurrent;
using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using Pilot.Protocol;
using Pilot.Rendezvous.Beacon;

namespace Pilot.Rendezvous.Cluster;

/// <summary>
/// What a stand-alone beacon knows of its registry: public keys, asked for in the background and kept for a while. Who trusts whom it cannot ask
/// for, so that only nodes that punch at each other learn endpoints through it.
/// </summary>
internal sealed class KeyDirectory(string host, int port, ILogger logger) : IBeaconDirectory
{
    private const int MaxKeys = 100_000;
    private const int MaxQuestions = 1_000;
    private const int QuestionsPerConnection = 64;
    private static readonly TimeSpan Lifetime = TimeSpan.FromMinutes(10);
    private static readonly TimeSpan NegativeLifetime = TimeSpan.FromSeconds(30);

    private readonly ConcurrentDictionary<uint, (byte[]? Key, long Until)> _keys = [];
    private readonly Channel<uint> _questions = Channel.CreateBounded<uint>(new BoundedChannelOptions(MaxQuestions) { FullMode = BoundedChannelFullMode.DropWrite });

    public bool HasProofs => false;

    public bool MayPunch(uint requester, uint target) => false;

    public bool HasProof(uint node, UInt128 address, DateTimeOffset since) => false;

    public byte[]? KeyOf(uint node)
    {
        long now = Environment.TickCount64;
        if (_keys.TryGetValue(node, out (byte[]? Key, long Until) known) && now < known.Until)
        {
            return known.Key;
        }

        // The entry stands for the question, too: it is asked once in a while, however often a stranger asks.
        if (_keys.Count < MaxKeys)
        {
            _keys[node] = (known.Key, now + (long)NegativeLifetime.TotalMilliseconds);
            _questions.Writer.TryWrite(node);
        }
        else
        {
            Forget(now);
        }

        return known.Key;
    }

    /// <summary>Asks until cancelled.</summary>
    public async Task RunAsync(CancellationToken cancellation)
    {
        while (!cancellation.IsCancellationRequested)
        {
            try
            {
                await _questions.Reader.WaitToReadAsync(cancellation).ConfigureAwait(false);
                using RegistryLink link = await RegistryLink.OpenAsync(host, port, cancellation).ConfigureAwait(false);
                for (int i = 0; i < QuestionsPerConnection && _questions.Reader.TryRead(out uint node); i++)
                {
                    string text = RegistryLink.Text(await link.AskAsync(new { type = "lookup", node_id = node }).ConfigureAwait(false), "public_key");
                    byte[] key = new byte[Ed25519.PublicKeySize];
                    if (StandardBase64.TryDecodeExact(text, key))
                    {
                        _keys[node] = (key, Environment.TickCount64 + (long)Lifetime.TotalMilliseconds);
                    }
                }
            }
            catch (IOException e)
            {
                logger.LogWarning("keys: {Reason}", e.Message);
                await Task.Delay(TimeSpan.FromSeconds(5), cancellation).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
            catch (OperationCanceledException)
            {
                return;
            }
        }
    }

    private void Forget(long now)
    {
        foreach ((uint node, (byte[]? _, long until)) in _keys)
        {
            if (now >= until)
            {
                _keys.TryRemove(node, out _);
            }
        }
    }
}
