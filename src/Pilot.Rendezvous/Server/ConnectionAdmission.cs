using System.Diagnostics;
using System.Net;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;
using Pilot.Protocol;

namespace Pilot.Rendezvous.Server;

/// <summary>
/// Counts a connection of the registry before anything is read from it, its TLS handshake included: an address that opens connections and says nothing
/// takes no more than its share. The handler finds what was admitted among the connection's features.
/// </summary>
internal sealed class ConnectionAdmission(OpenConnections connections, ILogger<ConnectionAdmission> logger)
{
    public async Task ServeAsync(ConnectionContext connection, ConnectionDelegate next)
    {
        UdpEndpoint source = SourceOf(connection);
        OpenConnection? open = connections.TryAdd(connection, source);
        if (open is null)
        {
            if (connections.TellsRefusal(Stopwatch.GetTimestamp(), out int refused))
            {
                logger.LogWarning("connections refused: {Count}, the limit is reached, now for {Address}", refused, source.IpText());
            }

            return;
        }

        connection.Features.Set(open);
        try
        {
            await next(connection);
        }
        finally
        {
            connections.Remove(open);
        }
    }

    private static UdpEndpoint SourceOf(ConnectionContext connection) => connection.RemoteEndPoint is IPEndPoint remote
        ? UdpEndpoint.FromBytes(remote.Address.GetAddressBytes(), (ushort)remote.Port)
        : default;
}
