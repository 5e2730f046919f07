using System.Net;
using System.Text.Json;

namespace Pilot.Rendezvous.Startup;

/// <summary>The bound addresses as a JSON file, for scripts and tests that let the system choose the ports.</summary>
internal static class ReadyFile
{
    /// <summary>Writes the file at once (beside, then renamed).</summary>
    public static void Write(string path, IPEndPoint? registry, IPEndPoint beacon, IPEndPoint? http, string? fingerprint)
    {
        string temporary = $"{path}.{Environment.ProcessId}.tmp";
        using (FileStream file = File.Create(temporary))
        {
            using var writer = new Utf8JsonWriter(file);
            writer.WriteStartObject();
            if (registry is not null)
            {
                WriteAddress(writer, "registry", registry);
            }

            WriteAddress(writer, "beacon", beacon);
            if (http is not null)
            {
                WriteAddress(writer, "http", http);
            }

            if (fingerprint is not null)
            {
                writer.WriteString("tls_fingerprint", fingerprint);
            }

            writer.WriteNumber("pid", Environment.ProcessId);
            writer.WriteEndObject();
        }

        File.Move(temporary, path, overwrite: true);
    }

    // Where a client on this machine finds it: all interfaces means loopback too.
    private static void WriteAddress(Utf8JsonWriter writer, string name, IPEndPoint bound)
    {
        bool wildcard = bound.Address.Equals(IPAddress.Any) || bound.Address.Equals(IPAddress.IPv6Any);
        writer.WriteString(name, new IPEndPoint(wildcard ? IPAddress.Loopback : bound.Address, bound.Port).ToString());
        writer.WriteNumber($"{name}_port", bound.Port);
    }
}
