using Pilot.Protocol.Registry;
using Pilot.Rendezvous.Beacon;
using Pilot.Rendezvous.Registry;

namespace Pilot.Rendezvous.Server;

/// <summary>
/// The registry for many connections at once. Parsing, signatures and serialisation run on the caller's thread; only the decision itself,
/// a few microseconds, holds the lock that makes the machine single-writer.
/// </summary>
internal sealed class RegistryService(RegistryMachine machine, SteadyClock clock) : IBeaconDirectory
{
    private readonly Lock _owner = new();

    public DateTimeOffset Started { get; } = clock.Now;

    public int LiveNodes
    {
        get
        {
            lock (_owner)
            {
                return machine.LiveNodes;
            }
        }
    }

    /// <summary>Answers one request; null when the connection must be closed.</summary>
    public byte[]? Handle(RegistryConnection connection, byte[] body)
    {
        if (!RegistryRequest.TryParse(body, out RegistryRequest? request))
        {
            return null;
        }

        Admission admission;
        lock (_owner)
        {
            admission = machine.Core.Admit(clock.Now, connection, request!);
        }

        SignatureVerdict verdict = admission.Signature.Verify();
        object response;
        lock (_owner)
        {
            response = machine.Core.Execute(clock.Now, connection, request!, admission, verdict);
        }

        return RegistryMachine.Encode(response);
    }

    public void Disconnect(RegistryConnection connection)
    {
        lock (_owner)
        {
            machine.Disconnect(clock.Now, connection);
        }
    }

    public void Tick()
    {
        lock (_owner)
        {
            machine.Tick(clock.Now);
        }
    }

    public bool MayPunch(uint requester, uint target)
    {
        lock (_owner)
        {
            return machine.MayPunch(requester, target);
        }
    }

    public bool HasProof(uint node, UInt128 address, DateTimeOffset since)
    {
        lock (_owner)
        {
            return machine.HasProof(node, address, since);
        }
    }
}
