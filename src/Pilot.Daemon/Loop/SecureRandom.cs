using System.Buffers.Binary;
using System.Security.Cryptography;
using Pilot.Engine;

namespace Pilot.Daemon.Loop;

/// <summary>The engine's randomness from the operating system, fetched in blocks. One owner: the loop thread.</summary>
internal sealed class SecureRandom : IRandomSource
{
    private readonly byte[] _block = new byte[512];
    private int _used = 512;

    public void Fill(Span<byte> destination) => RandomNumberGenerator.Fill(destination);

    public uint NextUInt32()
    {
        if (_used + sizeof(uint) > _block.Length)
        {
            RandomNumberGenerator.Fill(_block);
            _used = 0;
        }

        var value = BinaryPrimitives.ReadUInt32LittleEndian(_block.AsSpan(_used));
        _block.AsSpan(_used, sizeof(uint)).Clear();
        _used += sizeof(uint);
        return value;
    }
}
