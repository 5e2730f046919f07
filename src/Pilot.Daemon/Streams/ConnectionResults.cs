using Pilot.Engine;
using Pilot.Engine.Streams;
using Pilot.Ipc;

namespace Pilot.Daemon.Streams;

/// <summary>How streams ended, for <c>conn_result</c>: kept for a minute, at most 4,096 of them.</summary>
internal sealed class ConnectionResults
{
    private const int Capacity = 4096;
    private static readonly TimeSpan Lifetime = TimeSpan.FromSeconds(60);

    private readonly Dictionary<uint, ConnResultData> _results = [];
    private readonly Queue<(uint Id, Instant At)> _order = new();

    public void Add(Instant now, Connection connection, string? reason = null)
    {
        var status = connection.GetStatus();
        if (_results.TryAdd(connection.Id, new ConnResultData
        {
            ConnId = connection.Id,
            Open = false,
            Reason = reason ?? Reason(connection.Error),
            Error = connection.ErrorDetail ?? Text(connection.Error),
            BytesSent = status.BytesSent,
            BytesRecv = status.BytesReceived,
        }))
        {
            _order.Enqueue((connection.Id, now));
        }

        while (_order.TryPeek(out var oldest) && (_order.Count > Capacity || now - oldest.At > Lifetime))
        {
            _results.Remove(_order.Dequeue().Id);
        }
    }

    public ConnResultData? Find(uint id) => _results.GetValueOrDefault(id);

    public static string Reason(ConnectionError error) => error switch
    {
        ConnectionError.None => "closed",
        ConnectionError.Timeout or ConnectionError.PeerGone => "timeout",
        ConnectionError.Aborted => "aborted",
        _ => "reset",
    };

    /// <summary>Text for people (08 §5 where it has one).</summary>
    public static string Text(ConnectionError error) => error switch
    {
        ConnectionError.None => string.Empty,
        ConnectionError.Refused => "connection refused",
        ConnectionError.Timeout => "connection timed out: the peer stopped answering",
        ConnectionError.Reset => "connection reset by peer",
        ConnectionError.Truncated => "the peer closed before all of its data arrived",
        ConnectionError.PeerGone => "the peer is gone",
        ConnectionError.Aborted => "connection aborted",
        ConnectionError.BrokenPipe => "the peer closed before all data was delivered",
        ConnectionError.NotFound => "node not found",
        ConnectionError.Unreachable => "no way to the peer is known",
        ConnectionError.IdleTimeout => "connection closed for being idle",
        _ => $"connection failed: {error}",
    };
}
