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
    private readonly Dictionary<string, Member> _members;

    private RegistryRequest(byte[] body, Dictionary<string, Member> members)
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
            if (!TryReadMembers(body, out Dictionary<string, Member> members))
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

    /// <summary>Names of the members, in no order.</summary>
    public IReadOnlyCollection<string> Names => _members.Keys;

    /// <summary>Copies the names of the members, in no order, into an array that is long enough.</summary>
    internal void CopyNames(string[] names) => _members.Keys.CopyTo(names, 0);

    /// <summary>True when the member is present, whatever its type.</summary>
    public bool Has(string name) => _members.ContainsKey(name);

    /// <summary>True when the member is present as a string.</summary>
    public bool HasString(string name) => _members.TryGetValue(name, out Member member) && member.Token == JsonTokenType.String;

    /// <summary>A string; empty when missing or of another type.</summary>
    public string GetString(string name)
    {
        if (!_members.TryGetValue(name, out Member member) || member.Token != JsonTokenType.String)
        {
            return "";
        }

        Utf8JsonReader reader = ReaderOf(member);
        reader.Read();
        return JsonText.GetString(ref reader);
    }

    /// <summary>A boolean; false when missing or of another type.</summary>
    public bool GetBoolean(string name) => _members.TryGetValue(name, out Member member) && member.Token == JsonTokenType.True;

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
        if (!_members.TryGetValue(name, out Member member) || member.Token != JsonTokenType.Number)
        {
            return false;
        }

        Utf8JsonReader reader = ReaderOf(member);
        return reader.Read() && reader.TryGetDouble(out value);
    }

    /// <summary>The strings of an array, others skipped; null when the member is missing or no array.</summary>
    public IReadOnlyList<string>? GetStrings(string name)
    {
        if (!_members.TryGetValue(name, out Member member) || member.Token != JsonTokenType.StartArray)
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
        _members.TryGetValue(name, out Member member) ? _body.AsMemory(member.Start, member.Length) : default;

    private static bool TryReadMembers(byte[] body, out Dictionary<string, Member> members)
    {
        members = new Dictionary<string, Member>(StringComparer.Ordinal);
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
            string name = JsonText.GetString(ref reader);
            reader.Read();
            JsonTokenType token = reader.TokenType;
            int start = (int)reader.TokenStartIndex;
            if (!ReadValue(ref reader))
            {
                return false;
            }

            members[name] = new Member(token, start, (int)reader.BytesConsumed - start);
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

    private readonly record struct Member(JsonTokenType Token, int Start, int Length);
}
