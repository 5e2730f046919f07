using System.Buffers;
using System.Text.Json;

namespace Pilot.Protocol.Registry;

/// <summary>
/// A request as the server reads it, by the lenient rules of spec 03 section 3: members are case-sensitive, the last duplicate wins, numbers are
/// doubles, and a missing member, a wrong JSON type, a negative number or one that is too large reads as 0, false or empty.
/// </summary>
public sealed class RegistryRequest
{
    private const int MaxDepth = 10000; // spec 03 section 2.1

    private readonly byte[] _body;
    private readonly MemberTable _members;

    private RegistryRequest(byte[] body, MemberTable members)
    {
        _body = body;
        _members = members;
        Type = GetString("type");
    }

    /// <summary>Member <c>type</c>; empty when missing.</summary>
    public string Type { get; }

    /// <summary>Reads the body of a frame. False when the connection must be closed without an answer: not JSON, not an object (<c>null</c> counts as an empty one), a number outside the double range, too deep. Never throws. The body is copied.</summary>
    public static bool TryParse(ReadOnlySequence<byte> body, out RegistryRequest? request) => TryParse(body.ToArray(), out request);

    /// <summary>Reads the body of a frame; the array is kept.</summary>
    public static bool TryParse(byte[] body, out RegistryRequest? request)
    {
        ArgumentNullException.ThrowIfNull(body);
        request = null;
        try
        {
            if (!TryReadMembers(body, out MemberTable members))
            {
                return false;
            }

            request = new RegistryRequest(body, members);
            return true;
        }
        catch (JsonException)
        {
            return false;
        }
    }

    /// <summary>Number of members.</summary>
    internal int Count => _members.Count;

    /// <summary>Copies the names of the members, in no order, into an array that is long enough.</summary>
    internal void CopyNames(string[] names) => _members.CopyNames(names);

    /// <summary>True when the member is present, whatever its type.</summary>
    public bool Has(string name) => _members.TryGet(name, out _);

    /// <summary>True when the member is present as a string.</summary>
    public bool HasString(string name) => _members.TryGet(name, out Member member) && member.Token == JsonTokenType.String;

    /// <summary>A string; empty when missing or of another type.</summary>
    public string GetString(string name)
    {
        if (!_members.TryGet(name, out Member member) || member.Token != JsonTokenType.String)
        {
            return "";
        }

        Utf8JsonReader reader = ReaderOf(member);
        reader.Read();
        return KnownNames.Read(ref reader);
    }

    /// <summary>A boolean; false when missing or of another type.</summary>
    public bool GetBoolean(string name) => _members.TryGet(name, out Member member) && member.Token == JsonTokenType.True;

    /// <summary>A node or beacon id: fraction cut off; 0 when missing, of another type, negative or above 2^32-1.</summary>
    public uint GetUInt32(string name) => TryGetNumber(name, out double value) && value is >= 0 and <= uint.MaxValue ? (uint)value : 0;

    /// <summary>A network id: as <see cref="GetUInt32"/> with the limit 2^16-1.</summary>
    public ushort GetUInt16(string name) => TryGetNumber(name, out double value) && value is >= 0 and <= ushort.MaxValue ? (ushort)value : (ushort)0;

    /// <summary>A signed integer, fraction cut off, saturated at the range of long. False when missing or not a number.</summary>
    public bool TryGetInteger(string name, out long value)
    {
        bool ok = TryGetNumber(name, out double number);
        value = (long)number; // saturates since .NET 9
        return ok;
    }

    /// <summary>A number as a double. False when missing or not a number.</summary>
    public bool TryGetNumber(string name, out double value)
    {
        value = 0;
        if (!_members.TryGet(name, out Member member) || member.Token != JsonTokenType.Number)
        {
            return false;
        }

        Utf8JsonReader reader = ReaderOf(member);
        return reader.Read() && reader.TryGetDouble(out value);
    }

    /// <summary>The strings of an array, others skipped; null when the member is missing or no array.</summary>
    public IReadOnlyList<string>? GetStrings(string name)
    {
        if (!_members.TryGet(name, out Member member) || member.Token != JsonTokenType.StartArray)
        {
            return null;
        }

        var strings = new List<string>();
        Utf8JsonReader reader = ReaderOf(member);
        reader.Read();
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (reader.TokenType == JsonTokenType.String)
            {
                strings.Add(JsonText.GetString(ref reader));
            }
            else
            {
                reader.Skip();
            }
        }

        return strings;
    }

    /// <summary>The JSON text of a member, for members with a structure of their own; empty when missing. Valid JSON, but strings may hold invalid UTF-8.</summary>
    public ReadOnlyMemory<byte> GetRaw(string name) =>
        _members.TryGet(name, out Member member) ? _body.AsMemory(member.Start, member.Length) : default;

    private static bool TryReadMembers(byte[] body, out MemberTable members)
    {
        members = new MemberTable();
        var reader = new Utf8JsonReader(body, new JsonReaderOptions { MaxDepth = MaxDepth });
        if (!reader.Read())
        {
            return false;
        }

        if (reader.TokenType == JsonTokenType.Null)
        {
            reader.Read(); // throws when something stands behind it
            return true;
        }

        if (reader.TokenType != JsonTokenType.StartObject)
        {
            return false;
        }

        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string name = KnownNames.Read(ref reader);
            reader.Read();
            JsonTokenType token = reader.TokenType;
            int start = (int)reader.TokenStartIndex;
            if (!ReadValue(ref reader))
            {
                return false;
            }

            members.Set(new Member(name, token, start, (int)reader.BytesConsumed - start));
        }

        reader.Read(); // throws when something stands behind the object
        return true;
    }

    // Walks over one value of any depth; false when a number in it does not fit a double.
    private static bool ReadValue(ref Utf8JsonReader reader)
    {
        int depth = reader.CurrentDepth;
        while (true)
        {
            if (reader.TokenType == JsonTokenType.Number && (!reader.TryGetDouble(out double number) || !double.IsFinite(number)))
            {
                return false;
            }

            if (reader.TokenType is not (JsonTokenType.StartObject or JsonTokenType.StartArray or JsonTokenType.PropertyName)
                && reader.CurrentDepth == depth)
            {
                return true;
            }

            reader.Read();
        }
    }

    private Utf8JsonReader ReaderOf(Member member) =>
        new(_body.AsSpan(member.Start, member.Length), new JsonReaderOptions { MaxDepth = MaxDepth });

    internal readonly record struct Member(string Name, JsonTokenType Token, int Start, int Length);

    /// <summary>The few members of an honest request in an array; an index when they are many, so that a hostile one costs no more than its bytes.</summary>
    private sealed class MemberTable
    {
        private const int Usual = 8;
        private const int MostWithoutIndex = 16;

        private Member[] _members = new Member[Usual];
        private Dictionary<string, int>? _index;

        public int Count { get; private set; }

        public bool TryGet(string name, out Member member)
        {
            int at = Find(name);
            member = at >= 0 ? _members[at] : default;
            return at >= 0;
        }

        /// <summary>Adds a member, or puts it in the place of the earlier one of its name.</summary>
        public void Set(in Member member)
        {
            int at = Find(member.Name);
            if (at >= 0)
            {
                _members[at] = member;
                return;
            }

            if (Count == _members.Length)
            {
                Array.Resize(ref _members, Count * 2);
            }

            _members[Count] = member;
            _index?.Add(member.Name, Count);
            Count++;
            if (Count == MostWithoutIndex)
            {
                _index = new Dictionary<string, int>(StringComparer.Ordinal);
                for (int i = 0; i < Count; i++)
                {
                    _index.Add(_members[i].Name, i);
                }
            }
        }

        public void CopyNames(string[] names)
        {
            for (int i = 0; i < Count; i++)
            {
                names[i] = _members[i].Name;
            }
        }

        private int Find(string name)
        {
            if (_index is not null)
            {
                return _index.TryGetValue(name, out int at) ? at : -1;
            }

            for (int i = 0; i < Count; i++)
            {
                if (_members[i].Name == name)
                {
                    return i;
                }
            }

            return -1;
        }
    }

    /// <summary>Names and types that every server reads all day: one string for each, instead of a new one per request.</summary>
    private static class KnownNames
    {
        private const int Longest = 20; // bytes

        private static readonly (byte[] Bytes, string Text)[][] ByLength = Group(
        [
            "type", "node_id", "signature", RequestProof.SignatureMember, RequestProof.SequenceMember, RequestProof.ServerMember, RequestProof.SessionWantedMember,
            RequestMac.Member, RequestMac.NodeKeyMember, "peer_id", "requester_id", "hostname", "public", "public_key", "listen_addr", "owner", "lan_addrs",
            "protocol_version", "software", "tags", "heartbeat", "poll_handshakes", "resolve", "resolve_hostname", "lookup", "check_trust", "register",
            "report_trust", "beacon_list", "list_nodes",
        ]);

        public static string Read(ref Utf8JsonReader reader)
        {
            if (!reader.ValueIsEscaped && !reader.HasValueSequence && reader.ValueSpan.Length <= Longest)
            {
                foreach ((byte[] bytes, string text) in ByLength[reader.ValueSpan.Length])
                {
                    if (reader.ValueSpan.SequenceEqual(bytes))
                    {
                        return text;
                    }
                }
            }

            return JsonText.GetString(ref reader);
        }

        private static (byte[] Bytes, string Text)[][] Group(string[] names) =>
        [
            .. Enumerable.Range(0, Longest + 1).Select(length => names.Where(n => n.Length == length).Select(n => (System.Text.Encoding.ASCII.GetBytes(n), n)).ToArray()),
        ];
    }
}
