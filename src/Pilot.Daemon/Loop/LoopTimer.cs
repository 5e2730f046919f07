using Pilot.Engine;
using Pilot.Net.Polling;

namespace Pilot.Daemon.Loop;

/// <summary>One callback at a time of the loop's clock. Made by <see cref="EventLoop.StartTimer"/>.</summary>
internal sealed class LoopTimer(Action callback)
{
    private Action? _callback = callback;

    /// <summary>The callback will not run any more.</summary>
    public void Cancel() => _callback = null;

    public void Run()
    {
        var callback = _callback;
        _callback = null;
        callback?.Invoke();
    }

    public bool IsCancelled => _callback is null;
}

/// <summary>A state machine beside the node that wants to be called at times.</summary>
internal interface IDeadlineSource
{
    Instant NextDeadline { get; }

    void HandleTimeout(Instant now);
}

/// <summary>Takes readiness of a watched descriptor, on the loop thread.</summary>
internal interface IReadinessHandler
{
    void OnReady(in Readiness readiness);
}
