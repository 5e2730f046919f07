using Pilot.Engine.Streams;

namespace Pilot.Engine.Tests.Streams;

public sealed class ArrayShelfTests
{
    [Fact]
    public void What_is_needed_now_and_then_stays()
    {
        var shelf = new ArrayShelf<int>();
        int[] one = shelf.Rent(100);
        Assert.Equal(128, one.Length);
        shelf.Return(one);
        for (int i = 0; i < 10; i++)
        {
            shelf.Trim(); // finds it lying here each time
            Assert.Same(one, shelf.Rent(100));
            shelf.Return(one);
            shelf.Trim(); // needed in this interval or the one before
            Assert.Equal(1, shelf.Count);
        }
    }

    [Fact]
    public void What_two_intervals_did_not_need_goes()
    {
        var shelf = new ArrayShelf<int>();
        int[][] rented = [.. Enumerable.Range(0, 10).Select(_ => shelf.Rent(64))];
        foreach (int[] array in rented)
        {
            shelf.Return(array);
        }
        shelf.Trim();
        Assert.Equal(10, shelf.Count); // the interval in which they came
        shelf.Trim();
        int[] used = shelf.Rent(64);
        shelf.Return(used);
        shelf.Trim();
        Assert.Equal(1, shelf.Count); // nine lay here through two whole intervals
        shelf.Trim();
        shelf.Trim();
        Assert.Equal(0, shelf.Count);
        Assert.Equal(64, shelf.Rent(64).Length);
    }
}
