using System.Runtime.InteropServices;

namespace Pilot.Engine.Streams;

/// <summary>
/// A piece of a stream's buffer. It has the shape of the system's <c>struct iovec</c>, so that a host reads and writes a row of pieces in
/// one system call, with no copy in between. Valid until the next call on the connection.
/// </summary>
/// <param name="Address">First byte.</param>
/// <param name="Length">Bytes.</param>
[StructLayout(LayoutKind.Sequential)]
public readonly record struct BufferPiece(nint Address, nuint Length);
