using System.Net;
using Microsoft.AspNetCore.Connections;

namespace Pilot.Rendezvous.Http;

/// <summary>
/// Closes HTTP connections beyond a number, so that those who look at the dashboard cannot use up the connections of the registry. Some are kept for
/// this machine: its monitoring, or the proxy that speaks for all.
/// </summary>
internal sealed class HttpConnectionLimit(int most, int keptForThisMachine)
{
    private int _open;

    public async Task ServeAsync(ConnectionContext connection, ConnectionDelegate next)
    {
        bool local = connection.RemoteEndPoint is IPEndPoint peer && IPAddress.IsLoopback(peer.Address.IsIPv4MappedToIPv6 ? peer.Address.MapToIPv4() : peer.Address);
        try
        {
            if (Interlocked.Increment(ref _open) <= (local ? most : most - keptForThisMachine))
            {
                await next(connection);
            }
        }
        finally
        {
            Interlocked.Decrement(ref _open);
        }
    }
}
