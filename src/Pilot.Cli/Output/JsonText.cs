using System.Collections;
using System.Globalization;
using System.Text;
using System.Text.Json;

namespace Pilot.Cli.Output;

/// <summary>
/// JSON text as the scripts of chapter 07 section 2.1 expect it: keys sorted bytewise at every level, no
/// spaces, <c>&lt; &gt; &amp;</c> and U+2028/2029 escaped, everything else raw UTF-8, numbers as shortest decimals.
/// </summary>
internal static class JsonText
{
    public static string Compact(object? value) => Write(value, indent: 0);

    /// <summary>Indented by two spaces, without a final newline.</summary>
    public static string Indented(object? value) => Write(value, indent: 2);

    private static string Write(object? value, int indent)
    {
        StringBuilder text = new();
        Write(text, value, indent, depth: 0);
        return text.ToString();
    }

    private static void Write(StringBuilder text, object? value, int indent, int depth)
    {
        switch (value)
        {
            case null:
                text.Append("null");
                break;
            case string s:
                WriteString(text, s);
                break;
            case bool b:
                text.Append(b ? "true" : "false");
                break;
            case double d:
                text.Append(Number(d));
                break;
            case int or long or uint or ulong or short or ushort or byte:
                text.Append(((IFormattable)value).ToString(null, CultureInfo.InvariantCulture));
                break;
            case JsonMap map:
                WriteObject(text, map.Sorted(), indent, depth);
                break;
            case JsonElement element:
                WriteElement(text, element, indent, depth);
                break;
            case IEnumerable items:
                WriteArray(text, items, indent, depth);
                break;
            default:
                throw new InvalidOperationException($"no JSON form for {value.GetType()}");
        }
    }

    private static void WriteElement(StringBuilder text, JsonElement element, int indent, int depth)
    {
        switch (element.ValueKind)
        {
            case JsonValueKind.Object:
                List<KeyValuePair<string, object?>> members = [];
                foreach (JsonProperty property in element.EnumerateObject())
                {
                    members.Add(new(property.Name, property.Value));
                }

                KeyValuePair<string, object?>[] sorted = [.. members];
                JsonMap.SortByKey(sorted);
                WriteObject(text, sorted, indent, depth);
                break;
            case JsonValueKind.Array:
                WriteArray(text, Elements(element), indent, depth);
                break;
            case JsonValueKind.String:
                WriteString(text, element.GetString()!);
                break;
            case JsonValueKind.Number:
                text.Append(element.TryGetInt64(out long integer)
                    ? integer.ToString(CultureInfo.InvariantCulture)
                    : Number(element.GetDouble()));
                break;
            case JsonValueKind.True:
                text.Append("true");
                break;
            case JsonValueKind.False:
                text.Append("false");
                break;
            default:
                text.Append("null");
                break;
        }
    }

    private static IEnumerable<object?> Elements(JsonElement array)
    {
        foreach (JsonElement item in array.EnumerateArray())
        {
            yield return item;
        }
    }

    private static void WriteObject(StringBuilder text, KeyValuePair<string, object?>[] members, int indent, int depth)
    {
        if (members.Length == 0)
        {
            text.Append("{}");
            return;
        }

        text.Append('{');
        for (int i = 0; i < members.Length; i++)
        {
            if (i > 0)
            {
                text.Append(',');
            }

            NewLine(text, indent, depth + 1);
            WriteString(text, members[i].Key);
            text.Append(indent > 0 ? ": " : ":");
            Write(text, members[i].Value, indent, depth + 1);
        }

        NewLine(text, indent, depth);
        text.Append('}');
    }

    private static void WriteArray(StringBuilder text, IEnumerable items, int indent, int depth)
    {
        bool any = false;
        text.Append('[');
        foreach (object? item in items)
        {
            if (any)
            {
                text.Append(',');
            }

            any = true;
            NewLine(text, indent, depth + 1);
            Write(text, item, indent, depth + 1);
        }

        if (any)
        {
            NewLine(text, indent, depth);
        }

        text.Append(']');
    }

    private static void NewLine(StringBuilder text, int indent, int depth)
    {
        if (indent > 0)
        {
            text.Append('\n').Append(' ', indent * depth);
        }
    }

    private static void WriteString(StringBuilder text, string value)
    {
        text.Append('"');
        for (int i = 0; i < value.Length; i++)
        {
            char c = value[i];
            switch (c)
            {
                case '"':
                    text.Append("\\\"");
                    break;
                case '\\':
                    text.Append("\\\\");
                    break;
                case '\n':
                    text.Append("\\n");
                    break;
                case '\r':
                    text.Append("\\r");
                    break;
                case '\t':
                    text.Append("\\t");
                    break;
                case '\b':
                    text.Append("\\b");
                    break;
                case '\f':
                    text.Append("\\f");
                    break;
                case < ' ' or '<' or '>' or '&' or '\u2028' or '\u2029':
                    text.Append("\\u").Append(((int)c).ToString("x4", CultureInfo.InvariantCulture));
                    break;
                default:
                    if (char.IsSurrogate(c))
                    {
                        if (i + 1 < value.Length && char.IsSurrogatePair(c, value[i + 1]))
                        {
                            text.Append(c).Append(value[++i]);
                        }
                        else
                        {
                            text.Append('\uFFFD');
                        }
                    }
                    else
                    {
                        text.Append(c);
                    }

                    break;
            }
        }

        text.Append('"');
    }

    /// <summary>Shortest decimal; exponent form only outside 1e-6 … 1e21, as in the reference's output.</summary>
    internal static string Number(double value)
    {
        if (!double.IsFinite(value))
        {
            return "0"; // JSON has no other spelling; our own code never produces it
        }

        double magnitude = Math.Abs(value);
        if (magnitude is not 0 and (< 1e-6 or >= 1e21))
        {
            string text = value.ToString("R", CultureInfo.InvariantCulture).ToLowerInvariant();
            int e = text.IndexOf('e', StringComparison.Ordinal);
            if (e < 0)
            {
                return text;
            }

            // "1e-07" -> "1e-7", "1e+21" stays
            string digits = text[(e + 2)..].TrimStart('0');
            return string.Concat(text.AsSpan(0, e + 2), digits);
        }

        string shortest = value.ToString("R", CultureInfo.InvariantCulture);
        return shortest.Contains('E', StringComparison.Ordinal)
            ? value.ToString("0.#################################", CultureInfo.InvariantCulture)
            : shortest;
    }
}
