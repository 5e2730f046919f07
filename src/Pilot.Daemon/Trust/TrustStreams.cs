using System.Buffers;
using Pilot.Daemon.Host;
using Pilot.Daemon.Loop;
using Pilot.Engine.Streams;
using Pilot.Engine.Trust;
using Pilot.Protocol.Trust;

namespace Pilot.Daemon.Trust;

/// <summary>One message that comes in on port 444: collected until the JSON is whole, the peer ends, or 10 s are over (05 §2).</summary>
internal sealed class IncomingTrustMessage(NodeHost host, Connection connection, Action<uint, byte[]> received) : IStreamOwner
{
    private readonly ArrayBufferWriter<byte> _collected = new();
    private LoopTimer? _limit;
    private bool _isDone;

    public void Start()
    {
        connection.Owner = this;
        _limit = host.Loop.StartTimer(TrustLimits.IncomingTimeout, Finish);
        OnSignals(connection, ConnectionSignals.Readable);
    }

    public void OnSignals(Connection _, ConnectionSignals signals)
    {
        if (_isDone)
        {
            return;
        }

        var any = false;
        while (connection.ReadableBytes > 0)
        {
            var bytes = connection.PeekRead();
            _collected.Write(bytes);
            connection.Consume(host.Now, bytes.Length);
            any = true;
        }

        if (any)
        {
            host.Touch(connection);
        }

        var isWhole = any && TrustMessage.TryParse(_collected.WrittenSpan, out var message) && message is not null;
        if (isWhole || _collected.WrittenCount > TrustLimits.MaxIncomingBytes || connection.IsReadEnded || (signals & (ConnectionSignals.Failed | ConnectionSignals.Closed)) != 0)
        {
            Finish();
        }
    }

    private void Finish()
    {
        if (_isDone)
        {
            return;
        }

        _isDone = true;
        _limit?.Cancel();
        if (connection.State is not (ConnectionState.Closed or ConnectionState.TimeWait))
        {
            connection.Close(host.Now);
            host.Touch(connection);
        }

        if (_collected.WrittenCount is > 0 and <= TrustLimits.MaxIncomingBytes)
        {
            received(connection.RemoteAddress.Node, _collected.WrittenSpan.ToArray());
        }
    }
}

/// <summary>One message to port 444 of a peer: one segment, FIN when it is acknowledged (05 §2).</summary>
internal sealed class OutgoingTrustMessage(NodeHost host, byte[] message, Action<bool> finished) : IStreamOwner
{
    private bool _isDone;

    public void Start(uint nodeId)
    {
        var connection = host.Node.Dial(host.Now, nodeId, TrustLimits.Port, NodeHost.DefaultDialTimeout, out _);
        if (connection is null)
        {
            Finish(false);
            return;
        }

        connection.Owner = this;
    }

    public void OnSignals(Connection connection, ConnectionSignals signals)
    {
        if ((signals & ConnectionSignals.Opened) != 0)
        {
            connection.Write(host.Now, message);
            connection.Close(host.Now);
            host.Touch(connection);
        }

        if ((signals & ConnectionSignals.Failed) != 0)
        {
            Finish(false);
        }
        else if ((signals & ConnectionSignals.WriteEnded) != 0)
        {
            Finish(true);
        }
        else if ((signals & (ConnectionSignals.Finished | ConnectionSignals.Closed)) != 0)
        {
            Finish(connection.UnacknowledgedBytes == 0 && connection.Error == ConnectionError.None);
        }
    }

    private void Finish(bool delivered)
    {
        if (!_isDone)
        {
            _isDone = true;
            finished(delivered);
        }
    }
}
