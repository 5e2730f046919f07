using Pilot.Engine;
using Pilot.Protocol;

namespace Pilot.Daemon.PortMapping;

internal enum MapperState : byte
{
    /// <summary>Not asked, or it does not answer.</summary>
    Silent,

    /// <summary>Asked whether it speaks this protocol.</summary>
    Asking,

    /// <summary>It speaks this protocol; no mapping is wanted of it.</summary>
    Available,

    /// <summary>A mapping was asked for.</summary>
    Mapping,

    /// <summary>There is a mapping, which is renewed.</summary>
    Mapped,

    /// <summary>The mapping is being deleted.</summary>
    Releasing,

    /// <summary>It answers, but gives no mapping: <see cref="PortMapper.Error"/>.</summary>
    Refused,
}

/// <summary>What a mapper wants sent.</summary>
internal abstract record MapperOutput
{
    /// <summary>A datagram from the socket of this protocol.</summary>
    public sealed record Datagram(UdpEndpoint Destination, byte[] Data) : MapperOutput;

    /// <summary>An HTTP request: GET without <paramref name="Body"/>, else POST of SOAP. Its answer goes to <see cref="PortMapper.OnHttp"/>.</summary>
    public sealed record Http(int Token, Uri Address, string? SoapAction, string? Body) : MapperOutput;
}

/// <summary>The answer to an HTTP request. Status 0: there was none.</summary>
internal readonly record struct HttpAnswer(int Status, byte[] Body);

/// <summary>
/// One protocol's side of one gateway, without sockets and clock: takes datagrams, HTTP answers and the time; gives back what to send and when
/// it wants to be called. Every answer must come from the gateway that was asked.
/// </summary>
internal abstract class PortMapper
{
    private readonly Queue<MapperOutput> _output = new();

    public abstract PortMappingProtocol Protocol { get; }

    public MapperState State { get; protected set; }

    /// <summary>The mapping in force; also while it is renewed.</summary>
    public PortLease? Lease { get; protected set; }

    /// <summary>The gateway's last refusal, for people.</summary>
    public string Error { get; protected set; } = string.Empty;

    /// <summary>When <see cref="HandleTimeout"/> has something to do.</summary>
    public abstract Instant NextDeadline { get; }

    /// <summary>Forgets what was and asks whether the gateway speaks this protocol.</summary>
    public abstract void Discover(Instant now);

    /// <summary>Asks for the mapping. Only when <see cref="MapperState.Available"/>.</summary>
    public abstract void Map(Instant now);

    /// <summary>Deletes the mapping, if there is one.</summary>
    public abstract void Release(Instant now);

    public abstract void HandleTimeout(Instant now);

    /// <summary>Takes a datagram that came to the socket of this protocol.</summary>
    public virtual void OnDatagram(Instant now, UdpEndpoint source, ReadOnlySpan<byte> data)
    {
    }

    /// <summary>Takes the answer to an HTTP request of this mapper.</summary>
    public virtual void OnHttp(Instant now, int token, HttpAnswer answer)
    {
    }

    public bool TryTakeOutput(out MapperOutput output) => _output.TryDequeue(out output!);

    protected void Send(MapperOutput output) => _output.Enqueue(output);
}

/// <summary>Sends of one question, with doubled waits between them.</summary>
internal sealed class RetryTimer
{
    private int _sent;
    private TimeSpan _wait;

    public Instant Deadline { get; private set; } = Instant.Never;

    public bool IsRunning => Deadline != Instant.Never;

    public void Start(Instant now)
    {
        _sent = 0;
        _wait = PortMappingConstants.FirstRetry;
        Deadline = now;
    }

    public void Stop() => Deadline = Instant.Never;

    /// <summary>When due: true to send (again), false when all sends went unanswered (the timer is stopped then).</summary>
    public bool TakeSend(Instant now)
    {
        if (_sent == PortMappingConstants.Tries)
        {
            Stop();
            return false;
        }

        _sent++;
        Deadline = now + _wait;
        _wait *= 2;
        return true;
    }
}
