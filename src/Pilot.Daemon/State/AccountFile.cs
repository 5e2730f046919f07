using System.Text.Json;

namespace Pilot.Daemon.State;

/// <summary><c>account.json</c>: the e-mail address that the registry keeps as owner (07 §3, §8). Optional for our daemon.</summary>
internal static class AccountFile
{
    /// <summary>The stored address, or null when there is none.</summary>
    /// <exception cref="FatalException">The file is there but unusable.</exception>
    public static string? Load(string path)
    {
        if (!File.Exists(path))
        {
            return null;
        }

        try
        {
            using var document = JsonDocument.Parse(File.ReadAllBytes(path));
            if (document.RootElement.ValueKind != JsonValueKind.Object)
            {
                throw new FatalException($"load account: {path} does not hold a JSON object");
            }

            return document.RootElement.TryGetProperty("email", out var email)
                && email.ValueKind == JsonValueKind.String
                && !string.IsNullOrEmpty(email.GetString())
                ? email.GetString()
                : null;
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException or IOException or UnauthorizedAccessException) // InvalidOperation: no valid Unicode
        {
            throw new FatalException($"load account: {path}: {exception.Message}", exception);
        }
    }

    public static void Save(string path, string email)
    {
        using var stream = new MemoryStream();
        using (var writer = new Utf8JsonWriter(stream))
        {
            writer.WriteStartObject();
            writer.WriteString("email"u8, email);
            writer.WriteEndObject();
        }

        AtomicFile.Write(path, stream.ToArray());
    }

    /// <summary>Checks an address in the order of 07 §8. Null when it is fine, else the text.</summary>
    public static string? Validate(string email)
    {
        if (email.Length == 0)
        {
            return "email address is required";
        }

        if (email.Contains(' ', StringComparison.Ordinal))
        {
            return "email address must not contain spaces";
        }

        var at = email.IndexOf('@', StringComparison.Ordinal);
        if (at < 1)
        {
            return "email address must contain @";
        }

        if (email.IndexOf('@', at + 1) >= 0)
        {
            return "email address must contain exactly one @";
        }

        var domain = email[(at + 1)..];
        if (domain.Length == 0)
        {
            return "email address must have a domain after @";
        }

        if (!domain.Contains('.', StringComparison.Ordinal))
        {
            return "email domain must contain a dot";
        }

        return domain.StartsWith('.') || domain.EndsWith('.') ? "email domain must not start or end with a dot" : null;
    }
}
