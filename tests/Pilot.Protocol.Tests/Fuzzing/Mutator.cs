namespace Pilot.Protocol.Tests.Fuzzing;

/// <summary>Makes hostile inputs from good ones, reproducibly.</summary>
internal sealed class Mutator(int seed, byte[][] corpus)
{
    private static readonly byte[] Interesting = [0x00, 0x01, 0x7F, 0x80, 0xFF, (byte)'"', (byte)'\\', (byte)'{', (byte)'}', (byte)'[', (byte)',', (byte)'-', (byte)'.', (byte)'e', 0xC3, 0xED];

    private readonly Random _random = new(seed);

    /// <summary>The next input: a good one, a truncated one, or one with 1 to 8 changes.</summary>
    public byte[] Next()
    {
        byte[] input = corpus[_random.Next(corpus.Length)];
        switch (_random.Next(12))
        {
            case 0:
                return [.. input];
            case 1:
                return input[..(input.Length == 0 ? 0 : _random.Next(input.Length))];
            case 2:
                byte[] noise = new byte[_random.Next(0, 200)];
                _random.NextBytes(noise);
                input[..Math.Min(4, input.Length)].AsSpan(0, Math.Min(noise.Length, Math.Min(4, input.Length))).CopyTo(noise);
                return noise;
        }

        var bytes = new List<byte>(input);
        for (int changes = _random.Next(1, 9); changes > 0; changes--)
        {
            Change(bytes);
        }

        return [.. bytes];
    }

    private void Change(List<byte> bytes)
    {
        int at = bytes.Count == 0 ? 0 : _random.Next(bytes.Count);
        switch (bytes.Count == 0 ? 3 : _random.Next(7))
        {
            case 0:
                bytes[at] ^= (byte)(1 << _random.Next(8));
                break;
            case 1:
                bytes[at] = (byte)_random.Next(256);
                break;
            case 2:
                bytes[at] = Interesting[_random.Next(Interesting.Length)];
                break;
            case 3:
                bytes.Insert(at, Interesting[_random.Next(Interesting.Length)]);
                break;
            case 4:
                bytes.RemoveRange(at, Math.Min(_random.Next(1, 9), bytes.Count - at));
                break;
            case 5: // repeat a piece
                bytes.InsertRange(at, bytes.GetRange(at, Math.Min(_random.Next(1, 17), bytes.Count - at)));
                break;
            default: // a piece of another input
                byte[] other = corpus[_random.Next(corpus.Length)];
                int from = _random.Next(other.Length + 1);
                bytes.InsertRange(at, other[from..Math.Min(other.Length, from + _random.Next(1, 33))]);
                break;
        }
    }
}
