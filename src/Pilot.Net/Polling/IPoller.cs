namespace Pilot.Net.Polling;

/// <summary>What a file descriptor is watched for.</summary>
[Flags]
internal enum Interest : byte
{
    /// <summary>Nothing, not even a hang-up: the descriptor rests.</summary>
    None = 0,

    Read = 1,

    Write = 2,

    /// <summary>Only that the other side closed both directions; always included in the two above.</summary>
    HangUp = 4,
}

/// <summary>What happened on a watched descriptor.</summary>
/// <param name="Token">The caller's number.</param>
/// <param name="IsReadable">Bytes, end of stream or an error can be read.</param>
/// <param name="IsWritable">Bytes (or an error) can be written.</param>
/// <param name="IsHangUp">The other side has closed both directions.</param>
internal readonly record struct Readiness(int Token, bool IsReadable, bool IsWritable, bool IsHangUp);

/// <summary>Waits on many descriptors at once, level-triggered. All members belong to one thread, except <see cref="Wake"/>.</summary>
internal interface IPoller : IDisposable
{
    void Add(int descriptor, int token, Interest interest);

    void Modify(int descriptor, int token, Interest interest);

    void Remove(int descriptor);

    /// <summary>Ends the watch of a descriptor that is closed next, and that nobody else holds.</summary>
    void Forget(int descriptor);

    /// <summary>Waits for readiness, a wake-up or the timeout (infinite when negative). Returns the number of filled entries.</summary>
    int Wait(Span<Readiness> ready, TimeSpan timeout);

    /// <summary>Ends the current or the next wait. From any thread; several wake-ups before a wait count as one.</summary>
    void Wake();
}

/// <summary>Chooses the best one of this system.</summary>
internal static class Poller
{
    public static IPoller Create() => OperatingSystem.IsLinux() ? new EpollPoller() : new PollPoller();
}
