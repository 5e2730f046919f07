using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Pilot.Engine.Trust;
using Pilot.Protocol;
using Pilot.Protocol.Registry;
using Pilot.Rendezvous.Beacon;
using Pilot.Rendezvous.Registry;

namespace Pilot.Engine.Tests.Simulation;

/// <summary>
/// Our rendezvous: the real registry and beacon machines, over simulated TCP (latency, outages) and simulated UDP. Every
/// request and answer is the JSON of spec 03.
/// </summary>
internal sealed class SimRendezvous : ISimRegistry, IBeaconSink
{
    private const ushort FirstPort = 9011;
    private const ushort HiddenPort = 9099;
    private static readonly TimeSpan OneWay = TimeSpan.FromMilliseconds(20);

    private readonly SimNetwork _network;
    private readonly Dictionary<SimNode, RegistryConnection> _connections = [];
    private readonly SimHost _host;
    private readonly SimHost _elsewhere;
    private BeaconPlaces _places = BeaconPlaces.None;
    private RegistryMachine _registry;
    private BeaconMachine _beacon;
    private ushort _nextTcpPort = 30_000;
    private bool _isDown;

    public SimRendezvous(SimNetwork network)
    {
        _network = network;
        _registry = new RegistryMachine(new RegistryOptions(), network.Wall);
        _beacon = new BeaconMachine(new BeaconOptions(), _registry, network.Wall);
        _host = network.AddHost("rendezvous", port: 9001, profile: new LinkProfile { Delay = TimeSpan.FromMilliseconds(5) });
        _host.Received = (source, bytes) =>
        {
            if (!IsDown)
            {
                _beacon.Handle(_network.Wall, source, bytes, this);
            }
        };
        _elsewhere = network.AddHost("rendezvous, other address", port: 9001, profile: new LinkProfile { Delay = TimeSpan.FromMilliseconds(5) });
        SetPlaces(otherPorts: true, otherAddress: true);
        Tick();
    }

    public UdpEndpoint Beacon => _host.Local;

    /// <summary>What the beacon has besides its own socket: ports at its address, another address.</summary>
    public void SetPlaces(bool otherPorts, bool otherAddress)
    {
        _places = new BeaconPlaces(
            otherPorts ? FirstPort : (ushort)0,
            otherPorts ? (ushort)(FirstPort + 1) : (ushort)0,
            otherPorts ? (ushort)(FirstPort + 2) : (ushort)0,
            otherAddress ? _elsewhere.Local : default,
            HasHidden: otherPorts,
            HasHiddenElsewhere: otherAddress);
        _beacon.SetPlaces(_places);
        BeaconEcho echo = _beacon.NewEcho();
        byte[] reply = new byte[BeaconReplyExtension.MaxSize];
        _elsewhere.Received = (source, bytes) => _elsewhere.Send(source, reply.AsSpan(0, IsDown ? 0 : echo.Answer(_network.Wall, source, bytes, reply)));
        for (int i = 0; i < 3; i++)
        {
            ushort port = (ushort)(FirstPort + i);
            _host.OtherPorts[port] = (source, bytes) => _host.Send(port, source, reply.AsSpan(0, IsDown ? 0 : echo.Answer(_network.Wall, source, bytes, reply)));
        }
    }

    /// <summary>Neither registry nor beacon answer; connections are lost.</summary>
    public bool IsDown
    {
        get => _isDown;
        set
        {
            _isDown = value;
            DropConnections();
        }
    }

    /// <summary>Killed and started again, with nothing remembered.</summary>
    public void Restart()
    {
        DropConnections();
        _registry = new RegistryMachine(new RegistryOptions(), _network.Wall);
        _beacon = new BeaconMachine(new BeaconOptions(), _registry, _network.Wall);
        SetPlaces(_places.HasHidden, _places.HasHiddenElsewhere);
    }

    public void Register(SimNode node, Action<uint?> done)
    {
        var request = new RegisterRequest
        {
            ListenAddr = (node.Node?.Mapping ?? node.Host.Local).ToString(),
            PublicKey = node.Identity.PublicKeyText,
            Hostname = node.Hostname,
            NodeId = node.Book.LastNodeId,
        };
        Call(node, request, RegistryJson.Context.RegisterRequest, RegistryJson.Context.RegisterResponse, (response, error) =>
        {
            Assert.True(error is null, $"{node.Name} register: {error}");
            if (response is null)
            {
                done(null);
                return;
            }

            uint id = response.NodeId;
            var visibility = new SetVisibilityRequest { NodeId = id, Public = node.IsPublic, Signature = node.Identity.SignText(Challenge.SetVisibility(id)) };
            Call(node, visibility, RegistryJson.Context.SetVisibilityRequest, RegistryJson.Context.SetVisibilityResponse, (answer, refusal) =>
            {
                // A registry that was restarted in between knows nothing again.
                done(answer is null ? null : id);
            });
        });
    }

    public void Resolve(SimNode node, uint target, Action<ResolveAnswer> done)
    {
        var request = new ResolveRequest { NodeId = target, RequesterId = node.NodeId, Signature = node.Identity.SignText(Challenge.Resolve(node.NodeId, target)) };
        Call(node, request, RegistryJson.Context.ResolveRequest, RegistryJson.Context.ResolveResponse, (response, error) => done(
            error is not null ? new ResolveAnswer(ResolveOutcome.Refused, null, [], error)
            : response is null ? new ResolveAnswer(ResolveOutcome.Unavailable, null, [])
            : new ResolveAnswer(ResolveOutcome.Found, UdpEndpoint.TryParse(response.RealAddr, out UdpEndpoint endpoint) ? endpoint : null, [])));
    }

    public void Lookup(SimNode node, uint target, Action<TrustLookup> done) => Call(
        node, new LookupRequest { NodeId = target }, RegistryJson.Context.LookupRequest, RegistryJson.Context.LookupResponse, (response, error) =>
        {
            byte[] key = new byte[Ed25519.PublicKeySize];
            done(error is not null ? new TrustLookup(true, null, [])
                : response is null || !StandardBase64.TryDecodeExact(response.PublicKey, key) ? TrustLookup.Unavailable
                : new TrustLookup(true, key, response.Networks ?? [], response.Hostname ?? ""));
        });

    public void Send(SimNode node, TrustEffect effect, Action<bool, string?> done)
    {
        uint self = node.NodeId;
        switch (effect)
        {
            case TrustEffect.RequestHandshake { NodeId: 0 } e:
                Acknowledged(
                    new RequestHandshakeRequest { FromNodeId = self, ToHostname = e.Hostname, Justification = e.Justification, Signature = node.Identity.SignText(Challenge.HandshakeByName(self, e.Hostname)) },
                    RegistryJson.Context.RequestHandshakeRequest);
                break;
            case TrustEffect.RequestHandshake e:
                Acknowledged(
                    new RequestHandshakeRequest { FromNodeId = self, ToNodeId = e.NodeId, Justification = e.Justification, Signature = node.Identity.SignText(Challenge.Handshake(self, e.NodeId)) },
                    RegistryJson.Context.RequestHandshakeRequest);
                break;
            case TrustEffect.RespondHandshake e:
                Acknowledged(
                    new RespondHandshakeRequest { NodeId = self, PeerId = e.NodeId, Accept = e.Accept, Signature = node.Identity.SignText(Challenge.Respond(self, e.NodeId)) },
                    RegistryJson.Context.RespondHandshakeRequest);
                break;
            case TrustEffect.ReportTrust e:
                Acknowledged(
                    new ReportTrustRequest { NodeId = self, PeerId = e.NodeId, Signature = node.Identity.SignText(Challenge.ReportTrust(self, e.NodeId)) },
                    RegistryJson.Context.ReportTrustRequest);
                break;
            case TrustEffect.RevokeTrust e:
                Acknowledged(
                    new RevokeTrustRequest { NodeId = self, PeerId = e.NodeId, Signature = node.Identity.SignText(Challenge.RevokeTrust(self, e.NodeId)) },
                    RegistryJson.Context.RevokeTrustRequest);
                break;
            default:
                throw new InvalidOperationException($"not for the registry: {effect}");
        }

        void Acknowledged<T>(T request, JsonTypeInfo<T> type) =>
            Call(node, request, type, RegistryJson.Context.AcknowledgeResponse, (response, error) => done(response is not null || error is not null, error));
    }

    public void Poll(SimNode node, Action<(IReadOnlyList<RelayedRequest> Requests, IReadOnlyList<RelayedResponse> Responses)?> done)
    {
        var request = new PollHandshakesRequest { NodeId = node.NodeId, Signature = node.Identity.SignText(Challenge.PollHandshakes(node.NodeId)) };
        Call(node, request, RegistryJson.Context.PollHandshakesRequest, RegistryJson.Context.PollHandshakesResponse, (response, _) => done(response is null
            ? null
            : ([.. response.Requests.Select(r => new RelayedRequest(r.FromNodeId, r.Justification, r.FromHostname ?? ""))],
               [.. response.Responses.Select(r => new RelayedResponse(r.FromNodeId, r.Accept, r.FromHostname ?? ""))])));
    }

    public void Heartbeat(SimNode node, Action<bool?> done)
    {
        var request = new HeartbeatRequest { NodeId = node.NodeId, Signature = node.Identity.SignText(Challenge.Heartbeat(node.NodeId)) };
        Call(node, request, RegistryJson.Context.HeartbeatRequest, RegistryJson.Context.HeartbeatResponse, (response, error) => done(
            error is not null ? false : response is null ? null : true));
    }

    /// <summary>One request of a client that is no simulated node, and its answer; null while nobody can reach the registry.</summary>
    public byte[]? Exchange(RegistryConnection connection, byte[] request) => IsDown ? null : _registry.Handle(_network.Wall, connection, request);

    /// <summary>What a stranger is told about a name.</summary>
    public void Find(SimNode node, string hostname, Action<uint> done) => Call(
        node,
        new ResolveHostnameRequest { Hostname = hostname, RequesterId = node.NodeId },
        RegistryJson.Context.ResolveHostnameRequest,
        RegistryJson.Context.ResolveHostnameResponse,
        (response, _) => done(response?.NodeId ?? 0));

    void IBeaconSink.Send(UdpEndpoint destination, ReadOnlySpan<byte> datagram) => _host.Send(destination, datagram);

    void IBeaconSink.Send(BeaconOrigin origin, UdpEndpoint destination, ReadOnlySpan<byte> datagram)
    {
        switch (origin)
        {
            case BeaconOrigin.Hidden:
                _host.Send(HiddenPort, destination, datagram);
                break;
            case BeaconOrigin.HiddenElsewhere:
                _elsewhere.Send(HiddenPort, destination, datagram);
                break;
            case BeaconOrigin.Told:
                _host.Send(FirstPort, destination, datagram);
                break;
            default:
                _host.Send(destination, datagram);
                break;
        }
    }

    private void Tick()
    {
        _registry.Tick(_network.Wall);
        _beacon.Tick(_network.Wall, this);
        _network.After(TimeSpan.FromSeconds(5), Tick);
    }

    private void DropConnections()
    {
        foreach (RegistryConnection connection in _connections.Values)
        {
            _registry.Disconnect(_network.Wall, connection);
        }

        _connections.Clear();
    }

    /// <summary>One request and its answer. Both null: the registry could not be reached.</summary>
    private void Call<TRequest, TResponse>(
        SimNode node, TRequest request, JsonTypeInfo<TRequest> requestType, JsonTypeInfo<TResponse> responseType, Action<TResponse?, string?> done)
        where TResponse : class
    {
        byte[] body = JsonSerializer.SerializeToUtf8Bytes(request, requestType);
        _network.After(OneWay, () =>
        {
            byte[]? answer = IsDown ? null : _registry.Handle(_network.Wall, ConnectionOf(node), body);
            _network.After(OneWay, () =>
            {
                if (answer is null || IsDown)
                {
                    done(null, null);
                    return;
                }

                Assert.True(RegistryJson.TryReadResponse(answer, responseType, out TResponse? response, out ErrorResponse? error));
                done(response, error?.Error);
            });
        });
    }

    private RegistryConnection ConnectionOf(SimNode node)
    {
        UInt128 ip = node.Host.Nat?.PublicIp ?? node.Host.Local.Ip;
        if (!_connections.TryGetValue(node, out RegistryConnection? connection) || connection.Source.Ip != ip)
        {
            connection = _connections[node] = new RegistryConnection(new UdpEndpoint(ip, _nextTcpPort++));
        }

        return connection;
    }

    /// <summary>The node's process ended: its TCP connection did too.</summary>
    public void Disconnect(SimNode node)
    {
        if (_connections.Remove(node, out RegistryConnection? connection))
        {
            _registry.Disconnect(_network.Wall, connection);
        }
    }
}
