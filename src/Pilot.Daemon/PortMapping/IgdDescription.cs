using System.Diagnostics.CodeAnalysis;
using System.Xml;
using Pilot.Protocol;

namespace Pilot.Daemon.PortMapping;

/// <summary>A service of an IGD that makes port mappings.</summary>
/// <param name="Type">For example <c>urn:schemas-upnp-org:service:WANIPConnection:2</c>.</param>
/// <param name="Control">Where its actions are posted to; on the gateway.</param>
internal sealed record IgdService(string Type, Uri Control)
{
    /// <summary>Version 2 has AddAnyPortMapping (WANIPConnection:2 section 2.5.22).</summary>
    public bool CanChoosePort => Type.EndsWith("WANIPConnection:2", StringComparison.Ordinal);
}

/// <summary>The XML of an IGD. No document type, no entities, no outside references, bounded size.</summary>
internal static class IgdXml
{
    private const int MaxServices = 8;
    private const int MaxText = 512;

    private static readonly string[] ServiceTypes =
    [
        "urn:schemas-upnp-org:service:WANIPConnection:2",
        "urn:schemas-upnp-org:service:WANIPConnection:1",
        "urn:schemas-upnp-org:service:WANPPPConnection:1",
    ];

    /// <summary>Reads the services of a device description, the preferred one first. False when it has none or is no XML.</summary>
    /// <param name="data">The body.</param>
    /// <param name="location">Where it came from; relative addresses count from there.</param>
    /// <param name="gateway">Addresses on other hosts are left out.</param>
    /// <param name="services">At least one.</param>
    public static bool TryParseDescription(byte[] data, Uri location, UdpEndpoint gateway, [NotNullWhen(true)] out IReadOnlyList<IgdService>? services)
    {
        var found = new List<IgdService>();
        string? type = null;
        string? control = null;
        var isRead = TryRead(data, (name, text) =>
        {
            switch (name)
            {
                case "service":
                    (type, control) = (null, null);
                    break;
                case "serviceType":
                    type = text;
                    break;
                case "controlURL":
                    control = text;
                    break;
                default:
                    return;
            }

            if (type is not null && control is not null && found.Count < MaxServices && Array.IndexOf(ServiceTypes, type) >= 0
                && Uri.TryCreate(location, control, out var address) && SsdpMessages.IsOn(address, gateway))
            {
                found.Add(new IgdService(type, address));
                (type, control) = (null, null);
            }
        });
        services = isRead && found.Count > 0 ? [.. found.OrderBy(service => Array.IndexOf(ServiceTypes, service.Type))] : null;
        return services is not null;
    }

    /// <summary>The text of one element of a SOAP answer. False when it is not there, or the body is no XML.</summary>
    public static bool TryGetElement(byte[] data, string element, [NotNullWhen(true)] out string? value)
    {
        string? found = null;
        var isRead = TryRead(data, (name, text) => found ??= name == element ? text : null);
        value = isRead ? found : null;
        return value is not null;
    }

    /// <summary>Calls for every element begun (empty text) and for every text in one, with the element's local name.</summary>
    private static bool TryRead(byte[] data, Action<string, string> visit)
    {
        if (data.Length is 0 or > PortMappingConstants.MaxHttpBody)
        {
            return false;
        }

        try
        {
            using var reader = XmlReader.Create(new MemoryStream(data, writable: false), new XmlReaderSettings
            {
                DtdProcessing = DtdProcessing.Prohibit,
                XmlResolver = null,
                MaxCharactersInDocument = PortMappingConstants.MaxHttpBody,
                MaxCharactersFromEntities = 0,
                IgnoreComments = true,
                IgnoreProcessingInstructions = true,
                IgnoreWhitespace = true,
            });
            var name = string.Empty;
            while (reader.Read())
            {
                switch (reader.NodeType)
                {
                    case XmlNodeType.Element:
                        name = reader.LocalName;
                        if (name == "service")
                        {
                            visit(name, string.Empty);
                        }

                        break;
                    case XmlNodeType.Text or XmlNodeType.CDATA when name.Length > 0 && reader.Value.Length <= MaxText:
                        visit(name, reader.Value.Trim());
                        break;
                    case XmlNodeType.EndElement:
                        name = string.Empty;
                        break;
                }
            }

            return true;
        }
        catch (Exception exception) when (exception is XmlException or ArgumentException or InvalidOperationException)
        {
            return false; // what a broken or hostile device sends; the caller tries the next way
        }
    }
}
