using System.Globalization;
using Pilot.Engine;
using Pilot.Protocol;

namespace Pilot.Daemon.PortMapping;

/// <summary>
/// UPnP IGD: SSDP search, description, then the first service that tells an external address; AddAnyPortMapping where there is one, else
/// AddPortMapping with other ports when the wanted one is taken.
/// </summary>
internal sealed class UpnpMapper : PortMapper
{
    private const int MaxPortTries = 4;
    private static readonly TimeSpan RenewalRetry = TimeSpan.FromMinutes(1);

    /// <summary>Waits behind the searches: three, since datagrams get lost (UPnP Device Architecture 1.1 section 1.3.2).</summary>
    private static readonly TimeSpan[] SearchSteps = [TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(2), TimeSpan.FromSeconds(2)];

    private readonly UdpEndpoint _gateway;
    private readonly UdpEndpoint _own;
    private readonly UdpEndpoint[] _searchTargets;
    private readonly ushort _internalPort;
    private readonly IRandomSource _random;
    private IReadOnlyList<IgdService> _services = [];
    private int _service;
    private Uri? _location;
    private Step _step;
    private int _searches;
    private Instant _deadline = Instant.Never;
    private int _token;
    private UdpEndpoint _address;
    private ushort _port;
    private int _portTries;
    private bool _isPermanentOnly;
    private bool _hasNoAddAny;

    /// <param name="gateway">The gateway; nothing is taken from or sent to another host.</param>
    /// <param name="own">Our address toward it.</param>
    /// <param name="internalPort">Our port.</param>
    /// <param name="random">Other ports when the wanted one is taken.</param>
    /// <param name="searchTargets">Where searches go: the SSDP group, and the gateway itself, which many answer too.</param>
    public UpnpMapper(UdpEndpoint gateway, UdpEndpoint own, ushort internalPort, IRandomSource random, params UdpEndpoint[] searchTargets)
    {
        _gateway = gateway;
        _own = own;
        _internalPort = internalPort;
        _random = random;
        _searchTargets = searchTargets;
    }

    private enum Step : byte
    {
        Idle,
        Searching,
        Description,
        Address,
        Adding,
        Deleting,
    }

    public override PortMappingProtocol Protocol => PortMappingProtocol.Upnp;

    public override Instant NextDeadline => Instant.Min(_deadline, Lease?.ExpiresAt ?? Instant.Never);

    public override void Discover(Instant now)
    {
        Lease = null;
        Error = string.Empty;
        _services = [];
        _service = 0;
        State = MapperState.Asking;
        _step = Step.Searching;
        _searches = 0;
        _deadline = now;
        HandleTimeout(now);
    }

    public override void Map(Instant now)
    {
        State = MapperState.Mapping;
        _port = _internalPort;
        _portTries = 0;
        Add();
    }

    public override void Release(Instant now)
    {
        _deadline = Instant.Never;
        if (Lease is null)
        {
            End(MapperState.Silent);
            return;
        }

        State = MapperState.Releasing;
        Post(Step.Deleting, IgdActions.DeletePortMapping, IgdActions.Delete(Current, Lease.External.Port));
    }

    public override void HandleTimeout(Instant now)
    {
        if (Lease is { } lease && now >= lease.ExpiresAt)
        {
            Error = "the mapping ran out and was not renewed";
            End(MapperState.Silent);
        }
        else if (now >= _deadline)
        {
            _deadline = Instant.Never;
            if (_step == Step.Searching)
            {
                Search(now);
            }
            else if (State == MapperState.Mapped)
            {
                Post(Step.Address, IgdActions.GetExternalIPAddress, IgdActions.ExternalAddress(Current));
            }
        }
    }

    public override void OnDatagram(Instant now, UdpEndpoint source, ReadOnlySpan<byte> data)
    {
        // Devices answer from any port.
        if (_step == Step.Searching && source.Ip == _gateway.Ip && SsdpMessages.TryParse(data, _gateway, out var location))
        {
            _deadline = Instant.Never;
            _step = Step.Description;
            _location = location;
            Send(new MapperOutput.Http(++_token, location, null, null));
        }
    }

    public override void OnHttp(Instant now, int token, HttpAnswer answer)
    {
        if (token != _token)
        {
            return; // of a question that is not open any more
        }

        switch (_step)
        {
            case Step.Description:
                OnDescription(answer);
                break;
            case Step.Address:
                OnAddress(now, answer);
                break;
            case Step.Adding:
                OnAdded(now, answer);
                break;
            case Step.Deleting:
                End(MapperState.Silent);
                break;
        }
    }

    private IgdService Current => _services[_service];

    private void Search(Instant now)
    {
        if (_searches == SearchSteps.Length)
        {
            End(MapperState.Silent);
            return;
        }

        _deadline = now + SearchSteps[_searches++];
        foreach (var destination in _searchTargets)
        {
            foreach (var target in SsdpMessages.Targets)
            {
                Send(new MapperOutput.Datagram(destination, SsdpMessages.Search(target)));
            }
        }
    }

    private void OnDescription(in HttpAnswer answer)
    {
        if (answer.Status != 200 || !IgdXml.TryParseDescription(answer.Body, _location!, _gateway, out var services))
        {
            Error = answer.Status == 0 ? "the gateway's description cannot be read" : "the gateway's description names no service for port mappings";
            End(MapperState.Refused);
            return;
        }

        _services = services;
        Post(Step.Address, IgdActions.GetExternalIPAddress, IgdActions.ExternalAddress(Current));
    }

    private void OnAddress(Instant now, in HttpAnswer answer)
    {
        var isKnown = answer.Status == 200 && IgdXml.TryGetElement(answer.Body, "NewExternalIPAddress", out var text)
            && UdpEndpoint.TryParseIp(text, 0, out _address) && !_address.IsUnspecified;
        if (State == MapperState.Mapped)
        {
            if (isKnown)
            {
                _port = Lease!.External.Port;
                _portTries = 0;
                Add();
            }
            else
            {
                RetryRenewal(now);
            }
        }
        else if (isKnown)
        {
            _step = Step.Idle;
            State = MapperState.Available;
        }
        else if (_service + 1 < _services.Count)
        {
            // A router describes services of connections that are not up.
            _service++;
            Post(Step.Address, IgdActions.GetExternalIPAddress, IgdActions.ExternalAddress(Current));
        }
        else
        {
            Error = "the gateway has no external address";
            End(MapperState.Refused);
        }
    }

    private void Add()
    {
        var action = Current.CanChoosePort && !_hasNoAddAny && Lease is null ? IgdActions.AddAnyPortMapping : IgdActions.AddPortMapping;
        var seconds = _isPermanentOnly ? 0 : (uint)PortMappingConstants.Lifetime.TotalSeconds;
        Post(Step.Adding, action, IgdActions.Add(Current, action, _port, _internalPort, _own.IpText(), seconds));
    }

    private void OnAdded(Instant now, in HttpAnswer answer)
    {
        if (answer.Status == 200)
        {
            if (IgdXml.TryGetElement(answer.Body, "NewReservedPort", out var reserved)
                && ushort.TryParse(reserved, NumberStyles.None, CultureInfo.InvariantCulture, out var port) && port != 0)
            {
                _port = port;
            }

            Lease = new PortLease(_address with { Port = _port }, now, PortMappingConstants.Lifetime);
            Error = string.Empty;
            State = MapperState.Mapped;
            _step = Step.Idle;
            _deadline = Lease.RenewAt;
            return;
        }

        var error = IgdActions.ErrorOf(answer);
        switch (error)
        {
            case IgdActions.OnlyPermanentLeasesSupported when !_isPermanentOnly:
                _isPermanentOnly = true;
                Add();
                break;
            case IgdActions.InvalidAction or IgdActions.ActionNotImplemented when Current.CanChoosePort && !_hasNoAddAny:
                _hasNoAddAny = true;
                Add();
                break;
            case IgdActions.ConflictInMappingEntry when ++_portTries < MaxPortTries:
                _port = (ushort)(49_152 + _random.NextUInt32() % 16_384); // the dynamic ports
                Add();
                break;
            default:
                Error = error == 0 ? "no answer to the mapping request" : $"the gateway refuses the mapping (UPnP error {error})";
                if (Lease is null)
                {
                    End(MapperState.Refused);
                }
                else
                {
                    RetryRenewal(now);
                }

                break;
        }
    }

    private void RetryRenewal(Instant now)
    {
        _step = Step.Idle;
        _deadline = now + RenewalRetry;
    }

    private void Post(Step step, string action, string body)
    {
        _step = step;
        Send(new MapperOutput.Http(++_token, Current.Control, IgdActions.Header(Current, action), body));
    }

    private void End(MapperState state)
    {
        Lease = null;
        _step = Step.Idle;
        _deadline = Instant.Never;
        _token++;
        State = state;
    }
}
