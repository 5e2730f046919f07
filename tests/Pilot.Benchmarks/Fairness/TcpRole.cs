using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Pilot.Benchmarks.Processes;

namespace Pilot.Benchmarks.Fairness;

/// <summary><c>tcp-sink ADDRESS</c> and <c>tcp-source ADDRESS PORT SECONDS CONTROL</c>: one flow of the kernel's TCP.</summary>
internal static class TcpRole
{
    private const int ChunkSize = 64 * 1024;
    private const int TcpLevel = 6; // IPPROTO_TCP
    private const int CongestionOption = 13; // TCP_CONGESTION, Linux

    /// <summary>Prints the port, reads one connection to its end, prints what came when.</summary>
    public static int Sink(string address)
    {
        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Parse(address), 0));
        listener.Listen(1);
        Console.WriteLine(((IPEndPoint)listener.LocalEndPoint!).Port);
        using var connection = listener.Accept();
        var series = new ByteSeries();
        var chunk = new byte[ChunkSize];
        int count;
        while ((count = connection.Receive(chunk)) > 0)
        {
            series.Add(count, Console.Out);
        }

        series.End(Console.Out);
        return 0;
    }

    /// <summary>Writes for some time with a congestion control of the kernel, then ends the connection.</summary>
    public static int Source(string address, int port, double seconds, string control)
    {
        using var connection = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        connection.SetRawSocketOption(TcpLevel, CongestionOption, Encoding.ASCII.GetBytes(control));
        connection.Connect(new IPEndPoint(IPAddress.Parse(address), port));
        var chunk = new byte[ChunkSize];
        var start = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(start).TotalSeconds < seconds)
        {
            connection.Send(chunk);
        }

        connection.Shutdown(SocketShutdown.Send);
        connection.Receive(chunk); // until the other side has read everything
        return 0;
    }
}
