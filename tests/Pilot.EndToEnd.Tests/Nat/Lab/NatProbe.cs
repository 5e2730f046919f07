using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using Pilot.EndToEnd.Tests.Nat.Wire;

namespace Pilot.EndToEnd.Tests.Nat.Lab;

/// <summary>What a NAT does, as plain sockets see it (RFC 5780's questions).</summary>
internal sealed record Measured(Dependence Mapping, Dependence Filtering, bool PreservesPort, bool Hairpins);

/// <summary>
/// Measures a NAT with nothing but UDP sockets and four server ports (two addresses, two ports each): the proof of the lab that knows nothing of
/// how the lab is built. Waits for no timeouts: packets of one path stay in order, so a packet that must arrive marks the end of those that may.
/// </summary>
internal sealed class NatProbe : IDisposable
{
    private const int FirstPort = 5001;
    private const int SecondPort = 5002;
    private const byte Fence = 0xff;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10); // nothing is lost here unless it is meant to be
    private static readonly TimeSpan Silence = TimeSpan.FromSeconds(0.5); // of what is meant to be

    private readonly Socket[] _servers; // first address first port, first address second port, second address first port

    public NatProbe(NatLab lab)
    {
        _servers =
        [
            lab.Server.Machine.OpenUdp(new IPEndPoint(NatLab.ServerAddress, FirstPort)),
            lab.Server.Machine.OpenUdp(new IPEndPoint(NatLab.ServerAddress, SecondPort)),
            lab.Server.Machine.OpenUdp(new IPEndPoint(NatLab.SecondServerAddress, FirstPort)),
        ];
    }

    public void Dispose()
    {
        foreach (Socket server in _servers)
        {
            server.Dispose();
        }
    }

    public async Task<Measured> MeasureAsync(Site site)
    {
        using Socket first = site.OpenUdp();
        IPEndPoint seen = await SeenAsync(first, 0);
        IPEndPoint otherPort = await SeenAsync(first, 1);
        IPEndPoint otherAddress = await SeenAsync(first, 2);
        Dependence mapping = seen.Equals(otherAddress) ? Dependence.EndpointIndependent
            : seen.Equals(otherPort) ? Dependence.AddressDependent : Dependence.AddressAndPortDependent;
        bool preserves = seen.Port == ((IPEndPoint)first.LocalEndPoint!).Port;

        using Socket second = site.OpenUdp(); // has sent to the first server only
        IPEndPoint outside = await SeenAsync(second, 0);
        await _servers[1].SendToAsync(new byte[] { 1 }, outside);
        await _servers[2].SendToAsync(new byte[] { 2 }, outside);
        HashSet<byte> arrived = await UntilFenceAsync(second, outside);
        Dependence filtering = arrived.Contains(2) ? Dependence.EndpointIndependent
            : arrived.Contains(1) ? Dependence.AddressDependent : Dependence.AddressAndPortDependent;

        // Both sockets are known to the first server; each writes to the other's outside endpoint, so that no filter of the NAT stands between them.
        await second.SendToAsync(new byte[] { 3 }, seen);
        await first.SendToAsync(new byte[] { 3 }, outside);
        await second.SendToAsync(new byte[] { 3 }, seen);
        HashSet<byte> looped = await UntilFenceAsync(first, seen);
        return new Measured(mapping, filtering, preserves, looped.Contains(3));
    }

    /// <summary>The source address by which server <paramref name="server"/> sees the socket.</summary>
    public async Task<IPEndPoint> SeenAsync(Socket socket, int server) =>
        await TrySeeAsync(socket, server, Patience) ?? throw new TimeoutException("the probe did not arrive");

    /// <summary>Whether nothing of the socket reaches the server.</summary>
    public async Task<bool> IsBlockedAsync(Socket socket, int server) => await TrySeeAsync(socket, server, Silence) is null;

    private async Task<IPEndPoint?> TrySeeAsync(Socket socket, int server, TimeSpan patience)
    {
        Drain(socket);
        byte[] buffer = new byte[64];
        int token = Random.Shared.Next();
        BinaryPrimitives.WriteInt32BigEndian(buffer, token);
        await socket.SendToAsync(buffer.AsMemory(0, 4), _servers[server].LocalEndPoint!);
        using CancellationTokenSource limit = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        limit.CancelAfter(patience);
        try
        {
            while (true)
            {
                SocketReceiveFromResult got = await _servers[server].ReceiveFromAsync(buffer, SocketFlags.None, new IPEndPoint(IPAddress.Any, 0), limit.Token);
                if (got.ReceivedBytes == 4 && BinaryPrimitives.ReadInt32BigEndian(buffer) == token)
                {
                    return (IPEndPoint)got.RemoteEndPoint;
                }
            }
        }
        catch (OperationCanceledException) when (!TestContext.Current.CancellationToken.IsCancellationRequested)
        {
            return null;
        }
    }

    /// <summary>Whether a packet of the first server to an outside endpoint still reaches the socket; <paramref name="fence"/> must be another one that does.</summary>
    public async Task<bool> ReachesAsync(Socket socket, IPEndPoint outside, Socket fence, IPEndPoint fenceOutside)
    {
        Drain(socket);
        await _servers[0].SendToAsync(new byte[] { 1 }, outside);
        await UntilFenceAsync(fence, fenceOutside);
        return socket.Available > 0;
    }

    private static void Drain(Socket socket)
    {
        byte[] buffer = new byte[64];
        while (socket.Available > 0)
        {
            socket.Receive(buffer);
        }
    }

    private async Task<HashSet<byte>> UntilFenceAsync(Socket socket, IPEndPoint outside)
    {
        await _servers[0].SendToAsync(new[] { Fence }, outside);
        HashSet<byte> arrived = [];
        byte[] buffer = new byte[64];
        using CancellationTokenSource limit = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        limit.CancelAfter(Patience);
        while (true)
        {
            SocketReceiveFromResult got = await socket.ReceiveFromAsync(buffer, SocketFlags.None, new IPEndPoint(IPAddress.Any, 0), limit.Token);
            if (buffer[0] == Fence)
            {
                return arrived;
            }

            arrived.Add(buffer[0]);
        }
    }
}
