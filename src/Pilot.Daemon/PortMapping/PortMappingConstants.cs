namespace Pilot.Daemon.PortMapping;

/// <summary>Numbers of the three protocols and of our use of them.</summary>
internal static class PortMappingConstants
{
    /// <summary>Port of NAT-PMP and PCP servers (RFC 6886 section 3, RFC 6887 section 19.1).</summary>
    public const ushort ServerPort = 5351;

    /// <summary>Port on which clients hear announcements (RFC 6886 section 3.2.1, RFC 6887 section 14.1.3).</summary>
    public const ushort AnnouncementPort = 5350;

    /// <summary>Port of SSDP (UPnP Device Architecture 1.1 section 1.3).</summary>
    public const ushort SsdpPort = 1900;

    /// <summary>Group of SSDP searches, 239.255.255.250.</summary>
    public const uint SsdpGroup = 0xEFFF_FFFA;

    /// <summary>Largest answer of an IGD that is read: a description takes a few KiB.</summary>
    public const int MaxHttpBody = 128 * 1024;

    /// <summary>Largest datagram that is looked at (RFC 6887 section 7: 1100; SSDP answers are shorter than 1500).</summary>
    public const int MaxDatagram = 1500;

    /// <summary>Lease that is asked for (RFC 6886 section 3.3 recommends 7,200 s).</summary>
    public static readonly TimeSpan Lifetime = TimeSpan.FromSeconds(7200);

    /// <summary>Longest lease that is believed; it is renewed at its half (RFC 6887 section 15).</summary>
    public static readonly TimeSpan MaxLifetime = TimeSpan.FromHours(24);

    /// <summary>First wait for an answer, doubled each time (RFC 6886 section 3.1). RFC 6887 waits 3 s first; the gateway is one hop away.</summary>
    public static readonly TimeSpan FirstRetry = TimeSpan.FromMilliseconds(250);

    /// <summary>Sends of one question: 7.75 s in all. RFC 6886 goes on to 64 s; the next round does that.</summary>
    public const int Tries = 5;

    /// <summary>How long the first answer waits for one of a better protocol.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(500);

    /// <summary>When nothing answers, or all refuse, everything is asked again after this.</summary>
    public static readonly TimeSpan RoundInterval = TimeSpan.FromMinutes(10);

    /// <summary>Shortest time between two renewals, also after announcements, which anybody on the link can forge.</summary>
    public static readonly TimeSpan MinRenewal = TimeSpan.FromSeconds(10);

    /// <summary>Limit of the release at the stop.</summary>
    public static readonly TimeSpan ReleaseLimit = TimeSpan.FromSeconds(1);

    /// <summary>Limit of one HTTP request to an IGD.</summary>
    public static readonly TimeSpan HttpLimit = TimeSpan.FromSeconds(5);
}
