namespace Pilot.Ipc;

/// <summary>
/// Constants of the native local protocol (spec chapter 08 section 10): UTF-8 JSON, one object per line, over the daemon's
/// Unix domain socket. The first byte of such a connection is <c>{</c>, which tells it from the reference's binary protocol.
/// </summary>
public static class IpcProtocol
{
    /// <summary>Version that <c>hello</c> reports. Raised only for changes that an older client would misread.</summary>
    public const int Version = 1;

    /// <summary>Longest line in bytes, without the newline (08 §10.1). A longer line ends the connection.</summary>
    public const int MaxLineLength = 1024 * 1024;

    /// <summary>Socket path used when neither flag, <c>PILOT_SOCKET</c> nor config.json name one (07 §3.2).</summary>
    public const string DefaultSocketPath = "/tmp/pilot.sock";

    /// <summary>Greatest payload of one datagram in bytes: what fits one relayed UDP datagram (02 §16.1).</summary>
    public const int MaxDatagram = 65428;

    /// <summary>Feature names that <c>hello</c> and <c>info</c> list; a client asks for nothing that is not listed.</summary>
    public static IReadOnlyList<string> Features { get; } =
    [
        "raw", "progress", "conn_result", "datagrams", "trust_events", "handshake_by_name", "ping", "shutdown", "net", "path", "punch_events",
    ];
}
