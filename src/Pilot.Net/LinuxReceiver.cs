using System.Runtime.InteropServices;
using Pilot.Protocol;

namespace Pilot.Net;

/// <summary>The receive half: one recvmmsg per call, each message perhaps several datagrams joined by GRO. Allocates nothing per call.</summary>
internal sealed unsafe class LinuxReceiver : IDisposable
{
    private const int NameRoom = 32; // sockaddr_in6 is 28
    private const int ControlRoom = 64; // one UDP_GRO message is 24 with 64-bit words, one time stamp 32
    private const int MaxErrors = 64; // per call: pending ICMP errors that are taken off before giving up until the next wake-up

    private readonly int _descriptor;
    private byte* _memory; // headers, then vectors, names and controls; made for the first batch and kept
    private LinuxSocketCalls.BatchMessage* _messages;
    private LinuxSocketCalls.Vector* _vectors;
    private byte* _names;
    private byte* _controls;
    private int _capacity;

    public LinuxReceiver(int descriptor) => _descriptor = descriptor;

    /// <summary>Fills the batch with what is waiting; false when nothing was.</summary>
    public bool Receive(ReceiveBatch batch)
    {
        batch.Count = 0;
        Prepare(batch);
        for (var errors = 0; errors < MaxErrors; errors++)
        {
            int count;
            fixed (byte* buffer = batch.Buffer)
            {
                // The buffer is pinned for good, so its address outlives this block.
                Arm(buffer, batch);
                count = LinuxSocketCalls.ReceiveMessages(_descriptor, _messages, (uint)batch.Messages.Length, LinuxSocketCalls.DoNotWait, null);
            }

            if (count >= 0)
            {
                Collect(batch, count);
                if (batch.Count > 0 || count == 0)
                {
                    return batch.Count > 0;
                }

                continue; // only truncated ones: look for more
            }

            if (Marshal.GetLastPInvokeError() == LinuxSocketCalls.ErrorTryAgain)
            {
                return false;
            }

            // An ICMP error of an earlier datagram (taken off by reading it) or a signal: the next datagram counts.
        }

        return false;
    }

    public void Dispose()
    {
        NativeMemory.Free(_memory);
        _memory = null;
        _capacity = 0;
    }

    private void Prepare(ReceiveBatch batch)
    {
        if (_capacity >= batch.Messages.Length)
        {
            return;
        }

        var count = batch.Messages.Length;
        NativeMemory.Free(_memory);
        var each = sizeof(LinuxSocketCalls.BatchMessage) + sizeof(LinuxSocketCalls.Vector) + NameRoom + ControlRoom;
        _memory = (byte*)NativeMemory.AllocZeroed((nuint)(count * each));
        _messages = (LinuxSocketCalls.BatchMessage*)_memory;
        _vectors = (LinuxSocketCalls.Vector*)(_messages + count);
        _names = (byte*)(_vectors + count);
        _controls = _names + (count * NameRoom);
        _capacity = count;
        for (var i = 0; i < count; i++)
        {
            _messages[i].Message = new LinuxSocketCalls.Message
            {
                Name = _names + (i * NameRoom),
                Vectors = _vectors + i,
                VectorCount = 1,
                Control = _controls + (i * ControlRoom),
            };
        }
    }

    /// <summary>The kernel overwrites lengths and flags, so they are set before each call.</summary>
    private void Arm(byte* buffer, ReceiveBatch batch)
    {
        for (var i = 0; i < batch.Messages.Length; i++)
        {
            ref var message = ref _messages[i].Message;
            message.NameLength = NameRoom;
            message.ControlLength = ControlRoom;
            message.Flags = 0;
            _vectors[i].Base = buffer + ((nint)i * batch.MessageSize);
            _vectors[i].Length = (nuint)batch.MessageSize;
        }
    }

    private void Collect(ReceiveBatch batch, int count)
    {
        for (var i = 0; i < count; i++)
        {
            ref var message = ref _messages[i].Message;
            var name = new ReadOnlySpan<byte>(message.Name, (int)Math.Min(message.NameLength, NameRoom));
            if ((message.Flags & LinuxSocketCalls.Truncated) != 0 || !LinuxSocketAddress.TryRead(name, out UdpEndpoint source))
            {
                continue;
            }

            var length = (int)_messages[i].Length;
            ReadControl(message, length, out var segmentSize, out var arrivedAt);
            batch.Messages[batch.Count++] = new ReceivedMessage(source, i * batch.MessageSize, length, segmentSize) { ArrivedAt = arrivedAt };
        }
    }

    private static void ReadControl(in LinuxSocketCalls.Message message, int length, out int segmentSize, out long arrivedAt)
    {
        segmentSize = length;
        arrivedAt = 0;
        var header = sizeof(LinuxSocketCalls.ControlHeader);
        var rest = (int)message.ControlLength;
        var at = message.Control;
        while (rest >= header)
        {
            var control = *(LinuxSocketCalls.ControlHeader*)at;
            var whole = (int)Math.Min(control.Length, (nuint)rest);
            if (whole < header)
            {
                return;
            }

            if (control.Level == LinuxSocketCalls.UdpLevel && control.Type == LinuxSocketCalls.OptionCoalesce && whole >= header + sizeof(int))
            {
                var size = *(int*)(at + header);
                segmentSize = size > 0 && size < length ? size : length;
            }
            else if (control.Level == LinuxSocketCalls.SocketLevel && control.Type == LinuxSocketCalls.OptionTimestamp && whole >= header + (2 * sizeof(nint)))
            {
                arrivedAt = (*(nint*)(at + header) * 1_000_000_000L) + *(nint*)(at + header + sizeof(nint)); // struct timespec
            }

            var step = LinuxSocketCalls.AlignControl(whole);
            at += step;
            rest -= step;
        }
    }
}
