using System.Text.Json;
using Pilot.Protocol.Registry;
using Pilot.Rendezvous.Beacon;

namespace Pilot.Rendezvous.Registry;

/// <summary>
/// The registry (spec 03) without sockets: the body of a request frame in, the body of the answer out. Pure: time is an argument, there is no I/O, and
/// the same calls give the same answers. Not thread-safe: one caller at a time. A host that verifies signatures in parallel uses the steps instead.
/// </summary>
public sealed class RegistryMachine : IBeaconDirectory
{
    /// <summary>An empty registry.</summary>
    public RegistryMachine(RegistryOptions options, DateTimeOffset now)
    {
        ArgumentNullException.ThrowIfNull(options);
        Core = new RegistryCore(options, now);
    }

    internal RegistryCore Core { get; }

    /// <summary>Nodes heard of within the stale threshold (as of the last tick).</summary>
    public int LiveNodes => Core.State.LiveCount;

    /// <summary>When to call <see cref="Tick"/> next.</summary>
    public DateTimeOffset NextTick => Core.NextTick;

    /// <summary>Answers one request.</summary>
    /// <param name="now">Time of the host; must not go backwards.</param>
    /// <param name="connection">The connection that the request came on.</param>
    /// <param name="request">Body of the frame: JSON, without the length prefix. The array is kept while the call runs.</param>
    /// <returns>Body of the answer, at most 65536 bytes; null when the connection must be closed without one. See also <see cref="RegistryConnection.CloseRequested"/>.</returns>
    public byte[]? Handle(DateTimeOffset now, RegistryConnection connection, byte[] request)
    {
        ArgumentNullException.ThrowIfNull(connection);
        if (!RegistryRequest.TryParse(request, out RegistryRequest? parsed))
        {
            return null;
        }

        Admission admission = Core.Admit(now, connection, parsed!);
        SignatureVerdict verdict = admission.Signature.Verify();
        return Encode(Core.Execute(now, connection, parsed!, admission, verdict));
    }

    /// <summary>Tells that a connection has ended.</summary>
    public void Disconnect(DateTimeOffset now, RegistryConnection connection)
    {
        ArgumentNullException.ThrowIfNull(connection);
        Core.Disconnect(now, connection);
    }

    /// <summary>Runs the timers: stale nodes, expired messages. Cheap before <see cref="NextTick"/>.</summary>
    public void Tick(DateTimeOffset now) => Core.Tick(now);

    /// <inheritdoc/>
    public bool MayPunch(uint requester, uint target) => Core.MayPunch(requester, target);

    /// <inheritdoc/>
    public bool HasProof(uint node, UInt128 address, DateTimeOffset since) => Core.HasProof(node, address, since);

    /// <inheritdoc/>
    public byte[]? KeyOf(uint node) => Core.KeyOf(node);

    /// <summary>Serialises a response. Stateless, any thread. One that no reference client would accept becomes an error.</summary>
    internal static byte[] Encode(object response)
    {
        byte[] body = JsonSerializer.SerializeToUtf8Bytes(response, RegistryJson.Context.GetTypeInfo(response.GetType())
            ?? throw new InvalidOperationException($"no JSON contract for {response.GetType().Name}"));
        return body.Length <= RegistryFrame.MaxRequestBody ? body : Encode(new ErrorResponse { Error = Refusal.MaskedText, Code = RegistryErrorCode.Internal });
    }
}
