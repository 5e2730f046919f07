using System.Text;
using Pilot.Ipc;

namespace Pilot.Daemon.Tests;

public sealed class LineBufferTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(1000)]
    public void Lines_come_out_whole_however_the_bytes_arrive(int step)
    {
        using var buffer = new LineBuffer(20_000);
        var expected = Enumerable.Range(0, 50).Select(i => new string((char)('a' + (i % 26)), i * 97 % 5000)).ToList();
        var bytes = Encoding.ASCII.GetBytes(string.Join('\n', expected) + "\nrest");
        var lines = new List<string>();
        for (var offset = 0; offset < bytes.Length;)
        {
            var room = buffer.GetMemory();
            var count = Math.Min(Math.Min(step, room.Length), bytes.Length - offset);
            bytes.AsSpan(offset, count).CopyTo(room.Span);
            buffer.Advance(count);
            offset += count;
            while (buffer.TryReadLine(out var line))
            {
                lines.Add(Encoding.ASCII.GetString(line));
            }
        }

        Assert.Equal(expected, lines);
        Assert.Equal("rest"u8.ToArray(), buffer.Remaining.ToArray());
        var taken = new byte[3];
        Assert.Equal(3, buffer.TakeRemaining(taken));
        Assert.Equal("t"u8.ToArray(), buffer.Remaining.ToArray());
    }

    [Fact]
    public void A_line_at_the_limit_passes_and_one_byte_more_does_not()
    {
        Assert.Equal(100, Feed(new string('x', 100) + "\n"));
        Assert.Equal(-1, Feed(new string('x', 101) + "\n"));
        Assert.Equal(-1, Feed(new string('x', 101)));
    }

    [Fact]
    public void A_carriage_return_before_the_newline_is_dropped() => Assert.Equal(2, Feed("ab\r\n"));

    private static int Feed(string text)
    {
        using var buffer = new LineBuffer(100);
        Encoding.ASCII.GetBytes(text).CopyTo(buffer.GetMemory());
        buffer.Advance(text.Length);
        var found = buffer.TryReadLine(out var line);
        Assert.Equal(!found, buffer.LineTooLong);
        return found ? line.Length : -1;
    }
}
