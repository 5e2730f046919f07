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
        SortByKey(sorted);
        return sorted;
    }

    /// <summary>Insertion sort: members are few, and the framework's sort of pairs would have to be compiled at every start.</summary>
    public static void SortByKey(KeyValuePair<string, object?>[] members)
    {
        for (int i = 1; i < members.Length; i++)
        {
            KeyValuePair<string, object?> member = members[i];
            int place = i;
            while (place > 0 && string.CompareOrdinal(members[place - 1].Key, member.Key) > 0)
            {
                members[place] = members[place - 1];
                place--;
            }

            members[place] = member;
        }
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
