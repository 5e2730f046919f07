using Pilot.Protocol;

namespace Pilot.Benchmarks.Yardstick;

/// <summary>What all roles of the bare pipeline agree on.</summary>
internal static class YardstickSettings
{
    /// <summary>Segment sizes of issue "Streams at the speed of the hardware", in payload bytes.</summary>
    public static readonly int[] SegmentSizes = [1350, 4096, 16_000];

    /// <summary>Bytes on the way at most; below the receive buffer even with the kernel's bookkeeping. Larger is not faster.</summary>
    public const int Window = 1024 * 1024;

    /// <summary>The receiver reports after so many bytes.</summary>
    public const int CreditStep = Window / 8;

    /// <summary>Application writes and reads.</summary>
    public const int ChunkSize = 256 * 1024;

    /// <summary>Part of the bytes that only warms up.</summary>
    public const double WarmShare = 0.25;

    public const uint SenderNode = 1;
    public const uint NoncePrefix = 1;

    /// <summary>The key is no secret: nothing but time is measured.</summary>
    public static readonly byte[] Key = new byte[32];

    public static TimeSpan StepPatience => TimeSpan.FromSeconds(60);

    public static TimeSpan CreditPatience => TimeSpan.FromSeconds(5);

    public static int FrameSize(int segmentSize) => segmentSize + TunnelFrame.EncryptedOverhead;
}
