using System.Buffers;
using Pilot.Protocol;

namespace Pilot.Engine;

/// <summary>Small finished datagrams (key exchange, beacon messages, pings, datagrams) that leave before stream data.</summary>
internal sealed class ControlQueue
{
    private readonly Queue<(UdpEndpoint Destination, byte[] Buffer, int Length, bool MayFragment)> _queue = new();

    public int Count => _queue.Count;

    /// <summary>Datagrams dropped because the queue was full.</summary>
    public long Dropped { get; private set; }

    public void Enqueue(UdpEndpoint destination, ReadOnlySpan<byte> datagram)
    {
        Span<byte> place = Reserve(destination, datagram.Length);
        if (!place.IsEmpty)
        {
            datagram.CopyTo(place);
        }
    }

    /// <summary>A place for a datagram, to be filled before the node is asked again; empty when the queue is full.</summary>
    public Span<byte> Reserve(UdpEndpoint destination, int length, bool mayFragment = false)
    {
        if (_queue.Count >= TunnelConstants.MaxControlFrames)
        {
            Dropped++;
            return default;
        }

        byte[] buffer = ArrayPool<byte>.Shared.Rent(length);
        _queue.Enqueue((destination, buffer, length, mayFragment));
        return buffer.AsSpan(0, length);
    }

    /// <summary>Copies the next datagram out; 0 if there is none. One that does not fit the buffer is dropped.</summary>
    public int TryDequeue(Span<byte> destination, out UdpEndpoint endpoint, out bool mayFragment)
    {
        while (_queue.TryDequeue(out var item))
        {
            bool fits = item.Length <= destination.Length;
            if (fits)
            {
                item.Buffer.AsSpan(0, item.Length).CopyTo(destination);
            }

            ArrayPool<byte>.Shared.Return(item.Buffer);
            if (fits)
            {
                endpoint = item.Destination;
                mayFragment = item.MayFragment;
                return item.Length;
            }

            Dropped++;
        }

        endpoint = default;
        mayFragment = false;
        return 0;
    }
}
