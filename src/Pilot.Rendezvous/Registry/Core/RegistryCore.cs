using System.Security.Cryptography;
using System.Text;
using Pilot.Protocol.Registry;

namespace Pilot.Rendezvous.Registry;

/// <summary>
/// The registry's decisions. No I/O, no clock, no cryptography, no serialisation: a request and its verified signature go in, a response object and
/// events come out, and the events are applied to the state. One caller at a time. The rules stand in the other files of this class, by subject.
/// </summary>
internal sealed partial class RegistryCore
{
    private RegistryOptions _options;
    private byte[] _adminToken;
    private readonly ExchangeKeys _exchange = new();
    private readonly Dictionary<string, Func<Turn, object>> _handlers;
    private List<Action>? _takeBack;

    public RegistryCore(RegistryOptions options, DateTimeOffset now)
    {
        _options = options;
        _adminToken = Encoding.UTF8.GetBytes(options.AdminToken);
        State = new RegistryState(now);
        Started = now;
        NextTick = now + options.ReapInterval;
        _limits = new RequestLimits(options);
        _handlers = new(StringComparer.Ordinal)
        {
            ["register"] = Register,
            ["lookup"] = Lookup,
            ["resolve"] = Resolve,
            ["resolve_hostname"] = ResolveHostname,
            ["check_trust"] = CheckTrust,
            ["punch"] = Punch,
            ["set_hostname"] = SetHostname,
            ["set_visibility"] = SetVisibility,
            ["set_tags"] = SetTags,
            ["set_task_exec"] = SetTaskExec,
            ["rotate_key"] = RotateKey,
            ["report_trust"] = ReportTrust,
            ["revoke_trust"] = RevokeTrust,
            ["request_handshake"] = RequestHandshake,
            ["poll_handshakes"] = PollHandshakes,
            ["respond_handshake"] = RespondHandshake,
            ["heartbeat"] = Heartbeat,
            ["deregister"] = Deregister,
            ["get_polo_score"] = GetPoloScore,
            ["set_polo_score"] = SetPoloScore,
            ["update_polo_score"] = UpdatePoloScore,
            ["beacon_register"] = BeaconRegister,
            ["beacon_list"] = BeaconList,
            ["list_networks"] = ListNetworks,
            ["list_nodes"] = ListNodes,
            ["subscribe_replication"] = SubscribeReplication,
        };
        AddNetworkTypes();
    }

    public RegistryState State { get; private set; }

    public DateTimeOffset Started { get; }

    /// <summary>Called with every event after it was applied.</summary>
    public Action<RegistryEvent>? Observer { get; set; }

    /// <summary>Called with every refusal: connection, known message type (empty otherwise), and the text before masking.</summary>
    public Action<RegistryConnection, string, Refusal>? Refused { get; set; }

    /// <summary>Requests that reached dispatch, unknown types and errors included.</summary>
    public long RequestCount { get; private set; }

    /// <summary>The reference's rule: one report is trust in both directions.</summary>
    public bool OneConsentIsTrust => !Has(RegistryPolicy.DirectionalConsent);

    /// <summary>Takes other tokens, limits and allowed beacons from now on. Policy and role stay what they were at the start.</summary>
    public void Reconfigure(RegistryOptions options)
    {
        bool sameLimits = options.Limits == _options.Limits;
        _options = options with { Policy = _options.Policy, Standby = _options.Standby };
        _adminToken = Encoding.UTF8.GetBytes(options.AdminToken);
        if (!sameLimits)
        {
            _limits = new RequestLimits(_options);
        }
    }

    private bool Has(RegistryPolicy rule) => (_options.Policy & rule) != 0;

    /// <summary>
    /// What was decided is stored. What is decided from here on is answered when it is, and not before; when it cannot be, <see cref="Replace"/> takes back
    /// what the decisions noted in memory as told: a message delivered, a claim settled.
    /// </summary>
    public void Settle() => (_takeBack ??= []).Clear();

    /// <summary>Puts another state of the same history in place of the present one, which takes over what lived in memory only.</summary>
    public void Replace(RegistryState state)
    {
        for (int i = (_takeBack?.Count ?? 0) - 1; i >= 0; i--)
        {
            _takeBack![i]();
        }

        _takeBack?.Clear();
        state.Remember(State);
        State = state;
    }

    /// <summary>True when the request may change durable state. Those that may not are decided at once; the others wait for the store.</summary>
    public bool MayChange(RegistryConnection connection, RegistryRequest request, SignatureVerdict verdict) => request.Type switch
    {
        "heartbeat" or "lookup" or "resolve" or "resolve_hostname" or "check_trust" or "punch" or "get_polo_score" or "list_nodes" or "list_networks"
            or "beacon_list" or "beacon_register" or "subscribe_replication" => ProofChanges(connection, verdict),
        "poll_handshakes" => State.InboxOf(request.GetUInt32("node_id")) is not null || ProofChanges(connection, verdict),
        _ => _handlers.ContainsKey(request.Type) && (!_networkTypes.Contains(request.Type) || ProofChanges(connection, verdict)),
    };

    private bool ProofChanges(RegistryConnection connection, SignatureVerdict verdict) =>
        verdict.State == SignatureState.Valid
        && State.TryGetLive(verdict.Signer, out NodeRecord? node)
        && (!node.Proven || (verdict.Fresh && !node.SignsFresh) || connection.Pending?.Node == node.Id);

    /// <summary>Decides a request whose signature was verified, and applies what it changes. The result is a response record or an <see cref="ErrorResponse"/>.</summary>
    public object Execute(DateTimeOffset now, RegistryConnection connection, RegistryRequest request, in Admission admission, SignatureVerdict verdict)
    {
        RequestCount++;
        if (admission.Refusal is not null)
        {
            return Refuse(connection, request, admission.Refusal);
        }

        if (verdict.Mac is { } mac && State.Nodes.GetValueOrDefault(verdict.Signer)?.Mac != mac)
        {
            verdict = verdict with { State = SignatureState.MacRefused }; // worthless since it was verified: another key, deregistered, offered anew elsewhere
        }

        var turn = new Turn(now, connection, request, verdict, CheckAdminToken(request)) { RegisterRetryAfter = admission.RegisterRetryAfter };
        if (AcceptIdentity(turn) is { } limited)
        {
            return Refuse(connection, request, limited);
        }

        if (verdict.State == SignatureState.MacRefused)
        {
            return Refuse(connection, request, Refusal.SignatureNeeded);
        }

        Commit(turn);
        object result = _handlers.TryGetValue(request.Type, out Func<Turn, object>? handler)
            ? handler(turn)
            : new Refusal("unknown message type", RegistryErrorCode.UnknownType);
        Commit(turn);
        return result is Refusal refusal ? Refuse(connection, request, refusal) : result;
    }

    private ErrorResponse Refuse(RegistryConnection connection, RegistryRequest request, Refusal refusal)
    {
        Refused?.Invoke(connection, _handlers.ContainsKey(request.Type) ? request.Type : "", refusal);
        return refusal.ToResponse();
    }

    /// <summary>Applies an event from outside the rules: replay of a store, or set-up of a test.</summary>
    public void Apply(RegistryEvent happened)
    {
        State.Apply(happened);
        Observer?.Invoke(happened);
    }

    private void Commit(Turn turn)
    {
        foreach (RegistryEvent happened in turn.Events)
        {
            Apply(happened);
        }

        turn.Events.Clear();
    }

    private AdminState CheckAdminToken(RegistryRequest request) =>
        !request.HasString("admin_token") ? AdminState.Absent
        : _adminToken.Length == 0 ? AdminState.Disabled
        : IsToken(request.GetString("admin_token"), _adminToken) ? AdminState.Valid
        : AdminState.Wrong;

    private static bool IsToken(string given, byte[] token) => CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(given), token);

    /// <summary>Check of a request that the node itself must have signed (spec 03 section 4.3); null when it passes.</summary>
    private Refusal? CheckSigned(Turn turn, NodeRecord node, bool adminMay = false)
    {
        Refusal? refusal = CheckSignature(turn, node);
        return refusal is not null && adminMay && turn.Admin == AdminState.Valid ? null : refusal;
    }

    private Refusal? CheckSignature(Turn turn, NodeRecord node)
    {
        SignatureVerdict verdict = turn.Verdict;
        return verdict.State switch
        {
            SignatureState.Outdated => Refusal.Unauthorized($"{RequestProof.SignatureMember} required: node {node.Id} has used it before"),
            SignatureState.Missing => Refusal.Unauthorized("signature required for authenticated node"),
            SignatureState.BadEncoding => new Refusal(verdict.EncodingError, RegistryErrorCode.Invalid),
            SignatureState.Valid when verdict.Signer == node.Id && verdict.Key == node.Key => CheckExpiry(turn, node),
            _ => Refusal.Unauthorized("signature verification failed"),
        };
    }

    private Refusal? CheckExpiry(Turn turn, NodeRecord node) =>
        Has(RegistryPolicy.KeyExpiry) && IsExpired(node, turn.Now) ? Expired(node) : null;

    private static bool IsExpired(NodeRecord node, DateTimeOffset now) => node.KeyExpires is { } end && now >= end;

    private static Refusal Expired(NodeRecord node) =>
        new($"node {node.Id}: key expired at {Rfc3339(node.KeyExpires!.Value)}", RegistryErrorCode.Expired);

    private static string Rfc3339(DateTimeOffset time) => time.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", System.Globalization.CultureInfo.InvariantCulture);
}
