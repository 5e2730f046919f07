using System.Buffers.Binary;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace Pilot.Benchmarks.Rendezvous;

/// <summary>One connection of the load generator, from a loopback address of its own. Owned by one thread.</summary>
internal sealed class LoadClient : IDisposable
{
    private const int BufferSize = 16 * 1024;
    private const int OkProbe = 40; // bytes at the start of an answer in which its kind shows

    private readonly Queue<long> _sent = new();
    private readonly byte[] _buffer = new byte[BufferSize];
    private int _filled;

    public LoadClient(IPEndPoint server, int number)
    {
        // 127.1.0.1 … 127.250.250.250: one address per client, so that per-address limits stay on.
        var local = new IPAddress([127, (byte)(1 + (number / 62500)), (byte)(1 + (number / 250 % 250)), (byte)(1 + (number % 250))]);
        Socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        Socket.Bind(new IPEndPoint(local, 0));
        Socket.Connect(server);
    }

    public Socket Socket { get; }

    public int Outstanding => _sent.Count;

    /// <summary>Answers that were errors.</summary>
    public long Errors { get; private set; }

    /// <summary>Text of the last error.</summary>
    public string? LastError { get; private set; }

    /// <summary>Sends frames at once; each counts from <paramref name="due"/>.</summary>
    public void Send(ReadOnlySpan<byte> frames, int count, long due)
    {
        for (var i = 0; i < count; i++)
        {
            _sent.Enqueue(due);
        }

        while (!frames.IsEmpty)
        {
            frames = frames[Socket.Send(frames)..];
        }
    }

    /// <summary>Sends one frame and waits for its answer's body. Nothing else may be under way.</summary>
    public byte[] Call(ReadOnlySpan<byte> frame)
    {
        Socket.Send(frame);
        var prefix = new byte[sizeof(uint)];
        ReceiveExactly(prefix);
        var body = new byte[BinaryPrimitives.ReadUInt32BigEndian(prefix)];
        ReceiveExactly(body);
        return body;
    }

    private void ReceiveExactly(Span<byte> to)
    {
        while (!to.IsEmpty)
        {
            var received = Socket.Receive(to);
            to = received > 0 ? to[received..] : throw new BenchmarkException("the server closed a connection");
        }
    }

    /// <summary>Reads what is there and hands the time of each answered request (ticks of the stopwatch) to a sink. Returns the number of answers.</summary>
    public int Receive(List<long>? latencies)
    {
        var received = Socket.Receive(_buffer.AsSpan(_filled));
        if (received == 0)
        {
            throw new BenchmarkException("the server closed a connection");
        }

        _filled += received;
        var now = Stopwatch.GetTimestamp();
        int at = 0, answers = 0;
        while (_filled - at >= 4)
        {
            var length = (int)BinaryPrimitives.ReadUInt32BigEndian(_buffer.AsSpan(at));
            if (_filled - at < 4 + length)
            {
                break;
            }

            var body = _buffer.AsSpan(at + 4, length);
            if (body[..Math.Min(OkProbe, length)].IndexOf("\"error\""u8) >= 0 || body[..Math.Min(OkProbe, length)].IndexOf("\"code\""u8) >= 0)
            {
                Errors++;
                LastError = System.Text.Encoding.UTF8.GetString(body);
            }

            latencies?.Add(now - _sent.Dequeue());
            if (latencies is null)
            {
                _sent.Dequeue();
            }

            at += 4 + length;
            answers++;
        }

        _buffer.AsSpan(at, _filled - at).CopyTo(_buffer);
        _filled -= at;
        return answers;
    }

    public void Dispose() => Socket.Dispose();
}
