namespace Pilot.Engine.Tests.Interop;

/// <summary>How one reference process differs from the next: options of the program, and what depends on machine and luck.</summary>
internal sealed record ReferenceSwitches
{
    /// <summary>The option <c>-public</c>: the gates are open (05 §12).</summary>
    public bool IsPublic { get; init; }

    /// <summary>Later exchange frames are compared with the wrong bytes (01 §5.9); off for a release that has repaired it.</summary>
    public bool HasAliasDefect { get; init; } = true;

    /// <summary>A control packet of any form to port 0 is answered (01 §3.7).</summary>
    public bool AnswersPings { get; init; } = true;

    /// <summary>Time between transmission and record of a segment (02 §6.5); zero for a machine where that never shows.</summary>
    public TimeSpan RecordDelay { get; init; }

    /// <summary>Time that the one router takes for a packet (02 §17.2: 30,000 per second); zero for none. With it the default socket buffer overflows under bursts.</summary>
    public TimeSpan PacketTime { get; init; }

    /// <summary>Small remainders wait for acknowledgements (02 §10).</summary>
    public bool HasNagle { get; init; } = true;

    /// <summary>The option <c>-beacon</c> was empty: no punch, no relay.</summary>
    public bool HasNoBeacon { get; init; }

    /// <summary>The listen port is random, so that the registered port is one where nobody listens (04 §5).</summary>
    public bool RegistersWrongPort { get; init; }
}
