namespace Pilot.Engine.Trust;

/// <summary>Every number of the trust logic in one place, with unit and source (spec 05 sections 2, 5.2, 9, 10, 14).</summary>
public static class TrustLimits
{
    /// <summary>Port of the direct trust messages (section 2).</summary>
    public const ushort Port = 444;

    /// <summary>Largest direct message that a reference receives whole: one segment, bytes of JSON (section 2).</summary>
    public const int MaxMessageBytes = 4096;

    /// <summary>Most bytes collected on one incoming connection before it is given up (section 2).</summary>
    public const int MaxIncomingBytes = 65_536;

    /// <summary>How long an incoming connection may take to deliver its message (section 2).</summary>
    public static readonly TimeSpan IncomingTimeout = TimeSpan.FromSeconds(10);

    /// <summary>Longest justification or reason in UTF-16 characters: refused from the user, cut when received (section 10.2).</summary>
    public const int MaxTextLength = 1024;

    /// <summary>Oldest accepted message, seconds; exactly this age passes (section 5.1).</summary>
    public const long MaxAgeSeconds = 300;

    /// <summary>Furthest accepted future timestamp, seconds; exactly this passes (section 5.1).</summary>
    public const long MaxFutureSeconds = 30;

    /// <summary>Incoming requests that wait for the user (section 10.2).</summary>
    public const int MaxPending = 256;

    /// <summary>Own requests that wait for a peer. Only local commands add to it.</summary>
    public const int MaxMarks = 1024;

    /// <summary>Records that automatic approval may create; beyond it requests wait as pending.</summary>
    public const int MaxAutomaticTrust = 16_384;

    /// <summary>Life of a pending request and of an outgoing mark (sections 10.2 and 16.5).</summary>
    public static readonly TimeSpan RequestLifetime = TimeSpan.FromDays(7);

    /// <summary>Direct messages of one peer within <see cref="MessageBudgetPeriod"/> (rule B7).</summary>
    public const int MessagesPerPeriod = 10;

    /// <summary>Period of <see cref="MessagesPerPeriod"/>.</summary>
    public static readonly TimeSpan MessageBudgetPeriod = TimeSpan.FromMinutes(1);

    /// <summary>Peers whose message budgets are remembered; trusted ones have as many again for themselves.</summary>
    public const int MaxBudgets = 4096;

    /// <summary>Remembered messages in total (section 14); when full, the oldest go (rule B4).</summary>
    public const int MaxReplayEntries = 8192;

    /// <summary>Remembered messages per sender: above what the budget lets through within <see cref="ReplayLifetime"/>, 10 + 10 × 10.</summary>
    public const int MaxReplayEntriesPerSender = 128;

    /// <summary>How long a message is remembered (section 14); longer than any message is valid.</summary>
    public static readonly TimeSpan ReplayLifetime = TimeSpan.FromMinutes(10);

    /// <summary>Direct accepts of unmarked peers held until their hostname is known (03 section 6.5).</summary>
    public const int MaxHeldAccepts = 16;

    /// <summary>When a command is answered although neither way has confirmed delivery (section 7).</summary>
    public static readonly TimeSpan CommandAnswerLimit = TimeSpan.FromSeconds(5);

    /// <summary>How long a revoke message may take over the existing tunnel before it is torn down (section 10.3).</summary>
    public static readonly TimeSpan RevokeNoticeLimit = TimeSpan.FromSeconds(2);

    /// <summary>First wait before a registry operation that could not be sent is tried again; doubles to <see cref="RegistryRetryLast"/>.</summary>
    public static readonly TimeSpan RegistryRetryFirst = TimeSpan.FromSeconds(1);

    /// <summary>Longest wait between tries of a registry operation.</summary>
    public static readonly TimeSpan RegistryRetryLast = TimeSpan.FromSeconds(30);

    /// <summary>Longest wait between tries of an operation for a peer that the registry does not know (yet).</summary>
    public static readonly TimeSpan AbsentPeerRetryLast = TimeSpan.FromMinutes(5);

    /// <summary>Registry operations kept for sending; beyond it the oldest go.</summary>
    public const int MaxRegistryOperations = 65_536;

    /// <summary>How long changes that a stranger can cause are collected before one save (section 11).</summary>
    public static readonly TimeSpan SaveDelay = TimeSpan.FromMilliseconds(200);

    /// <summary>Poll interval without a reason to hurry (section 9).</summary>
    public static readonly TimeSpan PollInterval = TimeSpan.FromSeconds(15);

    /// <summary>Poll interval for <see cref="FastPollPeriod"/> after a trust action (section 9).</summary>
    public static readonly TimeSpan FastPollInterval = TimeSpan.FromSeconds(2);

    /// <summary>How long a trust action keeps polls fast (section 9).</summary>
    public static readonly TimeSpan FastPollPeriod = TimeSpan.FromSeconds(60);
}
