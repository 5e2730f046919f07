using System.Net.Sockets;
using Pilot.Net.Polling;

namespace Pilot.Daemon.Tests;

/// <summary>Both pollers behave alike.</summary>
public sealed class PollerTests
{
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(20);

    public static TheoryData<string> Kinds => OperatingSystem.IsLinux() ? ["epoll", "poll"] : ["poll"];

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Readable_writable_and_hang_up_are_told(string kind)
    {
        using var poller = Create(kind);
        var (left, right) = Pair();
        using (left)
        {
            poller.Add((int)left.Handle, 7, Interest.Read);
            Assert.Empty(Wait(poller, TimeSpan.Zero));

            right.Send("x"u8);
            var readable = Assert.Single(Wait(poller, Soon));
            Assert.Equal(7, readable.Token);
            Assert.True(readable.IsReadable);
            Assert.False(readable.IsHangUp);

            poller.Modify((int)left.Handle, 8, Interest.Read | Interest.Write);
            var both = Assert.Single(Wait(poller, Soon));
            Assert.Equal(8, both.Token);
            Assert.True(both.IsWritable);

            // Half closed is not hung up.
            left.Receive(new byte[1]);
            right.Shutdown(SocketShutdown.Send);
            poller.Modify((int)left.Handle, 8, Interest.HangUp);
            Assert.Empty(Wait(poller, TimeSpan.Zero));

            right.Dispose();
            Assert.True(Assert.Single(Wait(poller, Soon)).IsHangUp);

            // A resting descriptor is silent even now; and it can come back.
            poller.Modify((int)left.Handle, 8, Interest.None);
            Assert.Empty(Wait(poller, TimeSpan.Zero));
            poller.Modify((int)left.Handle, 9, Interest.Read);
            Assert.Equal(9, Assert.Single(Wait(poller, Soon)).Token);
            poller.Remove((int)left.Handle);
            Assert.Empty(Wait(poller, TimeSpan.Zero));
        }
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public async Task A_wake_up_ends_a_wait_from_another_thread(string kind)
    {
        using var poller = Create(kind);
        for (var i = 0; i < 100; i++)
        {
            var waiting = Task.Run(() => Wait(poller, Soon), TestContext.Current.CancellationToken);
            poller.Wake();
            poller.Wake();
            Assert.Empty(await waiting.WaitAsync(TimeSpan.FromSeconds(10), TestContext.Current.CancellationToken));
        }
    }

    private static IPoller Create(string kind) => kind == "epoll" ? new EpollPoller() : new PollPoller();

    private static Readiness[] Wait(IPoller poller, TimeSpan timeout)
    {
        var ready = new Readiness[8];
        return ready[..poller.Wait(ready, timeout)];
    }

    private static (Socket Left, Socket Right) Pair()
    {
        using var directory = new TempDirectory();
        using var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        var endpoint = new UnixDomainSocketEndPoint(directory["s"]);
        listener.Bind(endpoint);
        listener.Listen();
        var right = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        right.Connect(endpoint);
        var left = listener.Accept();
        left.Blocking = false;
        return (left, right);
    }
}
