using System.Globalization;
using System.Text;

namespace Pilot.Engine.Trust;

/// <summary>Texts that strangers write and users read (spec 05 section 10.2).</summary>
public static class TrustText
{
    /// <summary>The text without control, format and unpaired surrogate characters, so that it cannot steer a terminal; line breaks become blanks.</summary>
    public static string Printable(string text)
    {
        var result = new StringBuilder(text.Length);
        foreach (Rune rune in text.EnumerateRunes())
        {
            UnicodeCategory category = Rune.GetUnicodeCategory(rune);
            if (rune.Value is '\n' or '\r' or '\t' || category is UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator)
            {
                result.Append(' ');
            }
            else if (category is not (UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.Surrogate or UnicodeCategory.PrivateUse))
            {
                result.Append(rune.ToString());
            }
        }

        return result.ToString();
    }

    /// <summary>The text, cut to <see cref="TrustLimits.MaxTextLength"/> without splitting a surrogate pair.</summary>
    internal static string Cut(string text)
    {
        if (text.Length <= TrustLimits.MaxTextLength)
        {
            return text;
        }

        int length = TrustLimits.MaxTextLength;
        return text[..(char.IsHighSurrogate(text[length - 1]) ? length - 1 : length)];
    }
}
