using System.Globalization;
using System.Security;
using System.Text;

namespace Pilot.Daemon.PortMapping;

/// <summary>The SOAP requests to an IGD (WANIPConnection:1 section 2.4, WANIPConnection:2 section 2.5).</summary>
internal static class IgdActions
{
    public const string GetExternalIPAddress = "GetExternalIPAddress";
    public const string AddPortMapping = "AddPortMapping";
    public const string AddAnyPortMapping = "AddAnyPortMapping";
    public const string DeletePortMapping = "DeletePortMapping";

    /// <summary>Errors that have an answer of ours.</summary>
    public const int ConflictInMappingEntry = 718;

    public const int OnlyPermanentLeasesSupported = 725;

    /// <summary>AddAnyPortMapping is optional in some devices: invalid action, optional action not implemented.</summary>
    public const int InvalidAction = 401;

    public const int ActionNotImplemented = 602;

    private const string Description = "pilot"; // shown in the router's list

    public static string Header(IgdService service, string action) => $"\"{service.Type}#{action}\"";

    public static string ExternalAddress(IgdService service) => Envelope(service, GetExternalIPAddress);

    /// <param name="service">Whom to ask.</param>
    /// <param name="action"><see cref="AddPortMapping"/> or <see cref="AddAnyPortMapping"/>: same arguments.</param>
    /// <param name="externalPort">Wanted port.</param>
    /// <param name="internalPort">Our port.</param>
    /// <param name="client">Our address, text.</param>
    /// <param name="leaseSeconds">0 = until deleted.</param>
    public static string Add(IgdService service, string action, ushort externalPort, ushort internalPort, string client, uint leaseSeconds) => Envelope(
        service,
        action,
        ("NewRemoteHost", string.Empty),
        ("NewExternalPort", Number(externalPort)),
        ("NewProtocol", "UDP"),
        ("NewInternalPort", Number(internalPort)),
        ("NewInternalClient", client),
        ("NewEnabled", "1"),
        ("NewPortMappingDescription", Description),
        ("NewLeaseDuration", Number(leaseSeconds)));

    public static string Delete(IgdService service, ushort externalPort) => Envelope(
        service, DeletePortMapping, ("NewRemoteHost", string.Empty), ("NewExternalPort", Number(externalPort)), ("NewProtocol", "UDP"));

    /// <summary>The UPnP error of a fault; 0 when there is none to read.</summary>
    public static int ErrorOf(in HttpAnswer answer) =>
        IgdXml.TryGetElement(answer.Body, "errorCode", out var text) && int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var code) ? code : 0;

    private static string Number(uint value) => value.ToString(CultureInfo.InvariantCulture);

    private static string Envelope(IgdService service, string action, params ReadOnlySpan<(string Name, string Value)> arguments)
    {
        var text = new StringBuilder("<?xml version=\"1.0\"?>\r\n<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body>");
        text.Append("<u:").Append(action).Append(" xmlns:u=\"").Append(SecurityElement.Escape(service.Type)).Append("\">");
        foreach (var (name, value) in arguments)
        {
            text.Append('<').Append(name).Append('>').Append(SecurityElement.Escape(value)).Append("</").Append(name).Append('>');
        }

        return text.Append("</u:").Append(action).Append("></s:Body></s:Envelope>\r\n").ToString();
    }
}
