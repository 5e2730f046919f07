using System.Net;
using System.Net.Sockets;
using Pilot.Protocol;

namespace Pilot.Daemon.Tests;

/// <summary>A beacon that tells everybody its address and forwards nothing.</summary>
internal sealed class FakeBeacon : IAsyncDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _answering;

    public FakeBeacon()
    {
        Socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _answering = AnswerAsync();
    }

    public Socket Socket { get; } = new(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);

    public string Address => Socket.LocalEndPoint!.ToString()!;

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _answering;
        Socket.Dispose();
        _stop.Dispose();
    }

    private async Task AnswerAsync()
    {
        var buffer = new byte[2048];
        try
        {
            while (true)
            {
                var received = await Socket.ReceiveFromAsync(buffer, new IPEndPoint(IPAddress.Any, 0), _stop.Token);
                if (BeaconDiscover.TryParse(buffer.AsSpan(0, received.ReceivedBytes), out _))
                {
                    var source = (IPEndPoint)received.RemoteEndPoint;
                    var length = new BeaconDiscoverReply(UdpEndpoint.FromBytes(source.Address.GetAddressBytes(), (ushort)source.Port)).Write(buffer);
                    await Socket.SendToAsync(buffer.AsMemory(0, length), source, _stop.Token);
                }
            }
        }
        catch (OperationCanceledException)
        {
            // the test is over
        }
    }
}
