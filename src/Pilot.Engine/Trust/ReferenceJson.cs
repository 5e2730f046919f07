using System.Text;

namespace Pilot.Engine.Trust;

/// <summary>Writes JSON strings exactly as the reference does (spec 05 sections 3 and 11).</summary>
internal static class ReferenceJson
{
    public static void AppendString(StringBuilder target, string text)
    {
        target.Append('"');
        foreach (Rune rune in text.EnumerateRunes())
        {
            switch (rune.Value)
            {
                case '"':
                    target.Append("\\\"");
                    break;
                case '\\':
                    target.Append("\\\\");
                    break;
                case '\b':
                    target.Append("\\b");
                    break;
                case '\f':
                    target.Append("\\f");
                    break;
                case '\n':
                    target.Append("\\n");
                    break;
                case '\r':
                    target.Append("\\r");
                    break;
                case '\t':
                    target.Append("\\t");
                    break;
                case < 0x20 or '<' or '>' or '&' or 0x2028 or 0x2029:
                    target.Append($"\\u{rune.Value:x4}");
                    break;
                default:
                    target.Append(rune.ToString());
                    break;
            }
        }

        target.Append('"');
    }
}
