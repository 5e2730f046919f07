using Pilot.Daemon.Host;
using Pilot.Daemon.Loop;
using Pilot.Engine.Streams;

namespace Pilot.Daemon.Services;

/// <summary>Port 7 (06): sends back what comes in, from the receive buffer straight into the send buffer, at the pace of the reader.</summary>
internal sealed class EchoService(NodeHost host) : IStreamOwner
{
    /// <summary>The virtual port (06).</summary>
    public const ushort Port = 7;

    private const int Backlog = 256;

    public void Start() => host.BindService(Port, Backlog, connection =>
    {
        connection.Owner = this;
        OnSignals(connection, ConnectionSignals.Readable);
    });

    public void OnSignals(Connection connection, ConnectionSignals signals)
    {
        var any = false;
        while (connection.ReadableBytes > 0)
        {
            var taken = connection.Write(host.Now, connection.PeekRead());
            if (taken == 0)
            {
                if (connection.IsWriteClosed)
                {
                    connection.Consume(host.Now, connection.ReadableBytes); // nobody can get it any more
                    any = true;
                }

                break;
            }

            connection.Consume(host.Now, taken);
            any = true;
        }

        if (connection.IsReadEnded && connection.State is not (ConnectionState.Closed or ConnectionState.TimeWait))
        {
            connection.Close(host.Now);
            any = true;
        }

        if (any)
        {
            host.Touch(connection);
        }
    }
}
