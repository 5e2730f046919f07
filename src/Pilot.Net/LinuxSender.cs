using System.Runtime.InteropServices;
using Pilot.Protocol;

namespace Pilot.Net;

/// <summary>The send half: one sendmsg with UDP_SEGMENT for a run of equal-size datagrams, sendmmsg where the kernel does not take that. Allocates nothing per call.</summary>
internal sealed unsafe class LinuxSender : IDisposable
{
    /// <summary>Datagrams of one GSO call (UDP_MAX_SEGMENTS of kernels before 6.7).</summary>
    public const int MaxSegments = 64;

    /// <summary>Bytes of one GSO call: what fits one IPv4 datagram.</summary>
    public const int MaxBytes = 65_507;

    // A refusal (EINVAL, EMSGSIZE in newer kernels) of larger segments may mean only that this path's MTU is smaller: 1280 (RFC 8200, section 5) less IPv6 and UDP headers.
    private const int AlwaysFits = 1232;

    private const int BatchSize = 64; // datagrams of one sendmmsg
    private const int FullWaitMilliseconds = 1; // for room in the socket's buffer, before a datagram counts as lost

    private readonly int _descriptor;
    private readonly bool _isIPv6;
    private readonly byte* _memory;
    private readonly LinuxSocketCalls.BatchMessage* _messages;
    private readonly LinuxSocketCalls.Vector* _vectors;
    private readonly byte* _name;
    private readonly byte* _control;
    private bool _disposed;

    public LinuxSender(int descriptor, bool isIPv6, bool segmentation)
    {
        _descriptor = descriptor;
        _isIPv6 = isIPv6;
        UsesSegmentation = segmentation;
        var messages = BatchSize * sizeof(LinuxSocketCalls.BatchMessage);
        var vectors = BatchSize * sizeof(LinuxSocketCalls.Vector);
        _memory = (byte*)NativeMemory.AllocZeroed((nuint)(messages + vectors + 32 + ControlSpace));
        _messages = (LinuxSocketCalls.BatchMessage*)_memory;
        _vectors = (LinuxSocketCalls.Vector*)(_memory + messages);
        _name = _memory + messages + vectors;
        _control = _name + 32;
        *(LinuxSocketCalls.ControlHeader*)_control = new LinuxSocketCalls.ControlHeader
        {
            Length = (nuint)(sizeof(LinuxSocketCalls.ControlHeader) + sizeof(ushort)),
            Level = LinuxSocketCalls.UdpLevel,
            Type = LinuxSocketCalls.OptionSegment,
        };
    }

    /// <summary>False from the moment that the kernel refused it.</summary>
    public bool UsesSegmentation { get; private set; }

    /// <summary>Datagrams that could not be sent.</summary>
    public long Errors { get; private set; }

    private static int ControlSpace => LinuxSocketCalls.AlignControl(sizeof(LinuxSocketCalls.ControlHeader) + sizeof(ushort));

    /// <summary>Sends datagrams of <paramref name="segmentSize"/> bytes (the last may be shorter) to one destination.</summary>
    public void Send(UdpEndpoint destination, ReadOnlySpan<byte> data, int segmentSize)
    {
        if (data.IsEmpty)
        {
            return;
        }

        segmentSize = Math.Clamp(segmentSize, 1, data.Length);
        var nameLength = LinuxSocketAddress.Write(new Span<byte>(_name, LinuxSocketCalls.AddressSizeIPv6), destination, _isIPv6);
        if (nameLength == 0)
        {
            Errors += Count(data.Length, segmentSize);
            return;
        }

        var most = Math.Min(MaxSegments, MaxBytes / segmentSize) * segmentSize; // 0 when not even one fits: the kernel will say so
        fixed (byte* start = data)
        {
            var at = start;
            var rest = data.Length;
            while (rest > 0)
            {
                if (!UsesSegmentation || rest <= segmentSize || most <= segmentSize)
                {
                    SendPlain(at, rest, segmentSize, nameLength);
                    return;
                }

                var length = Math.Min(rest, most);
                SendSegmented(at, length, segmentSize, nameLength);
                at += length;
                rest -= length;
            }
        }
    }

    public void Dispose()
    {
        if (!_disposed)
        {
            _disposed = true;
            NativeMemory.Free(_memory);
        }
    }

    private static int Count(int length, int segmentSize) => (length + segmentSize - 1) / segmentSize;

    private void SendSegmented(byte* data, int length, int segmentSize, int nameLength)
    {
        *(ushort*)(_control + sizeof(LinuxSocketCalls.ControlHeader)) = (ushort)segmentSize;
        _vectors[0] = new LinuxSocketCalls.Vector { Base = data, Length = (nuint)length };
        var message = new LinuxSocketCalls.Message
        {
            Name = _name,
            NameLength = (uint)nameLength,
            Vectors = _vectors,
            VectorCount = 1,
            Control = _control,
            ControlLength = (nuint)ControlSpace,
        };
        var waited = false;
        while (LinuxSocketCalls.SendMessage(_descriptor, &message, LinuxSocketCalls.DoNotWait) < 0)
        {
            var error = Marshal.GetLastPInvokeError();
            if (error == LinuxSocketCalls.ErrorInterrupted || (IsFull(error) && WaitOnce(ref waited)))
            {
                continue;
            }

            if (IsRefusal(error))
            {
                // It is GSO that was refused only when the same bytes go out without it.
                var sentPlain = SendPlain(data, length, segmentSize, nameLength);
                UsesSegmentation &= !sentPlain || error == LinuxSocketCalls.ErrorMessageSize
                    || (error == LinuxSocketCalls.ErrorInvalid && segmentSize > AlwaysFits);
                return;
            }

            Errors += Count(length, segmentSize);
            return;
        }
    }

    /// <summary>One sendmmsg per up to 64 datagrams. True when at least one was sent.</summary>
    private bool SendPlain(byte* data, int length, int segmentSize, int nameLength)
    {
        var any = false;
        var waited = false;
        while (length > 0)
        {
            var count = 0;
            var taken = 0;
            for (; count < BatchSize && taken < length; count++)
            {
                var size = Math.Min(segmentSize, length - taken);
                _vectors[count] = new LinuxSocketCalls.Vector { Base = data + taken, Length = (nuint)size };
                _messages[count].Message = new LinuxSocketCalls.Message
                {
                    Name = _name,
                    NameLength = (uint)nameLength,
                    Vectors = _vectors + count,
                    VectorCount = 1,
                };
                taken += size;
            }

            data += taken;
            length -= taken;
            for (var next = 0; next < count;)
            {
                var sent = LinuxSocketCalls.SendMessages(_descriptor, _messages + next, (uint)(count - next), LinuxSocketCalls.DoNotWait);
                if (sent > 0)
                {
                    any = true;
                    next += sent;
                    continue;
                }

                var error = Marshal.GetLastPInvokeError();
                if (error == LinuxSocketCalls.ErrorInterrupted || (IsFull(error) && WaitOnce(ref waited)))
                {
                    continue;
                }

                // The first one of the rest failed (the kernel stops there); the others get their own try.
                Errors++;
                next++;
            }
        }

        return any;
    }

    private static bool IsFull(int error) => error is LinuxSocketCalls.ErrorTryAgain or LinuxSocketCalls.ErrorNoBuffers;

    private static bool IsRefusal(int error) => error is LinuxSocketCalls.ErrorInputOutput or LinuxSocketCalls.ErrorInvalid
        or LinuxSocketCalls.ErrorNoProtocolOption or LinuxSocketCalls.ErrorNotSupported or LinuxSocketCalls.ErrorMessageSize;

    /// <summary>Lets the device take some of the queue, once per call: the loop has other work, and what is lost here is a loss like any other.</summary>
    private bool WaitOnce(ref bool waited)
    {
        if (waited)
        {
            return false;
        }

        waited = true;
        var entry = new Libc.PollEntry { Descriptor = _descriptor, Events = LinuxSocketCalls.CanWrite };
        _ = Libc.Poll(&entry, 1, FullWaitMilliseconds);
        return true;
    }
}
