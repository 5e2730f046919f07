namespace Pilot.Cli.Output;

/// <summary>
/// A JSON object under construction. Keys are written in bytewise order whatever order they were added in;
/// a key set twice keeps the last value. Values: string, bool, integers, double, <see cref="JsonMap"/>,
/// <see cref="System.Collections.IEnumerable"/> of such values, <see cref="System.Text.Json.JsonElement"/>, null.
/// </summary>
internal sealed class JsonMap
{
    private readonly List<KeyValuePair<string, object?>> _members = [];

    public int Count => _members.Count;

    public object? this[string key]
    {
        get
        {
            int index = IndexOf(key);
            return index < 0 ? null : _members[index].Value;
        }
        set
        {
            int index = IndexOf(key);
            KeyValuePair<string, object?> member = new(key, value);
            if (index < 0)
            {
                _members.Add(member);
            }
            else
            {
                _members[index] = member;
            }
        }
    }

    public bool ContainsKey(string key) => IndexOf(key) >= 0;

    public bool Remove(string key)
    {
        int index = IndexOf(key);
        if (index >= 0)
        {
            _members.RemoveAt(index);
        }

        return index >= 0;
    }

    public KeyValuePair<string, object?>[] Sorted()
    {
        KeyValuePair<string, object?>[] sorted = [.. _members];
        Array.Sort(sorted, static (a, b) => string.CompareOrdinal(a.Key, b.Key));
        return sorted;
    }

    private int IndexOf(string key)
    {
        for (int i = 0; i < _members.Count; i++)
        {
            if (string.Equals(_members[i].Key, key, StringComparison.Ordinal))
            {
                return i;
            }
        }

        return -1;
    }
}
