using System.Text;
using Pilot.Protocol.Tests.Fuzzing;

namespace Pilot.Client.Tests;

/// <summary>Seeded mutation of a daemon's replies. A failure names the seed and the input.</summary>
public sealed class ReplyFuzzTests
{
    private const int Seed = 20261121;

    [Fact]
    public void No_reply_makes_the_direct_reader_throw()
    {
        Mutator mutator = new(
            Seed,
            [
                .. new[]
                {
                    """{"id":1,"ok":true,"data":{"node_id":2,"list":[1,"x",null]}}""", """{"ok":false,"code":"not_found","error":"no \"x\"","hint":"\ud83d\ude00"}""",
                    """{"event":"peer","error":"\ud800"}""", """{"\udc00":1,"ok":true}""",
                }.Select(Encoding.UTF8.GetBytes),
            ]);
        int read = 0;
        for (int i = 0; i < 30_000; i++)
        {
            byte[] line = mutator.Next();
            try
            {
                read += DirectJson.TryRead(line, out _) ? 1 : 0;
            }
            catch (Exception e)
            {
                Assert.Fail($"seed {Seed} input {i}: {Convert.ToHexString(line)}: {e}");
            }
        }

        Assert.InRange(read, 1_000, 29_000); // both outcomes are reached
    }
}
