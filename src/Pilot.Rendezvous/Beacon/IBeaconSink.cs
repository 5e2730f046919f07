using Pilot.Protocol;

namespace Pilot.Rendezvous.Beacon;

/// <summary>From where a beacon sends.</summary>
public enum BeaconOrigin
{
    /// <summary>The socket that nodes know.</summary>
    Main,

    /// <summary>The same address, a port that is never told.</summary>
    Hidden,

    /// <summary>The other address, a port that is never told.</summary>
    HiddenElsewhere,

    /// <summary>The first told port.</summary>
    Told,
}

/// <summary>Takes the datagrams that a beacon sends. The bytes are valid during the call only.</summary>
public interface IBeaconSink
{
    /// <summary>Sends one datagram; losing it is allowed.</summary>
    void Send(UdpEndpoint destination, ReadOnlySpan<byte> datagram);

    /// <summary>Sends one datagram from another socket; losing it is allowed.</summary>
    void Send(BeaconOrigin origin, UdpEndpoint destination, ReadOnlySpan<byte> datagram)
    {
        if (origin == BeaconOrigin.Main)
        {
            Send(destination, datagram);
        }
    }
}

/// <summary>The sockets that a beacon has besides the one that nodes know.</summary>
/// <param name="Port1">A port of the same address that answers extended DISCOVERs; 0 = none.</param>
/// <param name="Port2">Another one.</param>
/// <param name="Port3">Another one.</param>
/// <param name="OtherEndpoint">An endpoint at another address that answers them; default = none.</param>
/// <param name="HasHidden">There is a socket at the same address whose port is never told.</param>
/// <param name="HasHiddenElsewhere">There is one at the other address.</param>
public sealed record BeaconPlaces(ushort Port1, ushort Port2, ushort Port3, UdpEndpoint OtherEndpoint, bool HasHidden, bool HasHiddenElsewhere)
{
    /// <summary>Only the main socket.</summary>
    public static BeaconPlaces None { get; } = new(0, 0, 0, default, false, false);
}
