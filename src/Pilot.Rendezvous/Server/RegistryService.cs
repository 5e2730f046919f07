using Pilot.Protocol.Registry;
using Pilot.Rendezvous.Beacon;
using Pilot.Rendezvous.Registry;
using Pilot.Rendezvous.Storage;

namespace Pilot.Rendezvous.Server;

/// <summary>
/// The registry for many connections at once. Parsing, signatures and serialisation run on the caller's thread; only the decision itself,
/// a few microseconds, holds the lock that makes the machine single-writer. What changes durable state goes through the <see cref="WriteLane"/>.
/// </summary>
internal sealed class RegistryService(RegistryMachine machine, SteadyClock clock, VerificationLanes lanes) : IBeaconDirectory
{
    private readonly Lock _owner = new();

    public DateTimeOffset Started { get; } = clock.Now;

    /// <summary>Null when everything is in memory.</summary>
    public WriteLane? Lane { get; private set; }

    /// <summary>Called with every answered request: type (empty when unknown), refused or not, and how long it took.</summary>
    public Action<string, bool, long>? Answered { get; set; }

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

    /// <summary>Lets a store keep what happens from now on.</summary>
    public void Attach(IEventStore store, long position, WriteLaneEvents events) =>
        // Of nodes at other processes nothing was heard meanwhile, which says nothing about them.
        Lane = new WriteLane(store, machine.Core, _owner, position, events with { Reloaded = store.IsShared ? () => machine.Core.Resume(clock.Now) : null });

    /// <summary>Reads under the lock. The function must be quick.</summary>
    public T Look<T>(Func<RegistryCore, T> look)
    {
        lock (_owner)
        {
            return look(machine.Core);
        }
    }

    /// <summary>Answers one request; null when the connection must be closed.</summary>
    public ValueTask<byte[]?> HandleAsync(RegistryConnection connection, byte[] body)
    {
        long start = System.Diagnostics.Stopwatch.GetTimestamp();
        if (!RegistryRequest.TryParse(body, out RegistryRequest? request))
        {
            return ValueTask.FromResult<byte[]?>(null);
        }

        object? response = null;
        Admission admission;
        lock (_owner)
        {
            DateTimeOffset now = clock.Now;
            admission = machine.Core.Admit(now, connection, request!);
            if (admission.Signature.IsNone && !(Lane is not null && admission.Refusal is null && machine.Core.MayChange(connection, request!, default)))
            {
                response = machine.Core.Execute(now, connection, request!, admission, default); // nothing to verify: decided at once
            }
        }

        if (response is not null)
        {
            return ValueTask.FromResult<byte[]?>(Answer(request!, response, start));
        }

        return admission.Signature.Glance() is { } verdict
            ? DecideAsync(connection, request!, admission, verdict, start)
            : new ValueTask<byte[]?>(VerifyAsync(connection, request!, admission, start));
    }

    private async Task<byte[]?> VerifyAsync(RegistryConnection connection, RegistryRequest request, Admission admission, long start)
    {
        SignatureVerdict verdict = await lanes.VerifyAsync(admission.Signature).ConfigureAwait(false);
        return await DecideAsync(connection, request, admission, verdict, start).ConfigureAwait(false);
    }

    private ValueTask<byte[]?> DecideAsync(RegistryConnection connection, RegistryRequest request, Admission admission, SignatureVerdict verdict, long start)
    {
        object response;
        lock (_owner)
        {
            if (Lane is not null && admission.Refusal is null && machine.Core.MayChange(connection, request, verdict))
            {
                return new ValueTask<byte[]?>(ChangeAsync(connection, request, admission, verdict, start));
            }

            response = machine.Core.Execute(clock.Now, connection, request, admission, verdict);
        }

        return ValueTask.FromResult<byte[]?>(Answer(request, response, start));
    }

    /// <summary>Takes the primary's state over; on a standby only.</summary>
    public void Follow(RegistryState state)
    {
        lock (_owner)
        {
            machine.Core.Follow(state, clock.Now);
        }
    }

    /// <summary>Follows a leap of the machine's clock, which makes no node stale. Returns how far it was.</summary>
    public TimeSpan CatchUp()
    {
        lock (_owner)
        {
            TimeSpan leap = clock.CatchUp();
            if (leap > TimeSpan.Zero)
            {
                machine.Core.Resume(clock.Now);
            }

            return leap;
        }
    }

    /// <summary>Other tokens and limits from now on.</summary>
    public void Reconfigure(RegistryOptions options)
    {
        lock (_owner)
        {
            machine.Core.Reconfigure(options);
        }
    }

    public void Disconnect(RegistryConnection connection)
    {
        lock (_owner)
        {
            machine.Disconnect(clock.Now, connection);
        }
    }

    /// <summary>Stores how many requests this process answered; at its end.</summary>
    public void CountRequests()
    {
        if (Lane is { Failure: null } lane)
        {
            _ = lane.RunAsync(() =>
            {
                machine.Core.Apply(new RequestsCounted(machine.Core.RequestCount));
                return WriteLane.Nothing;
            });
        }
    }

    public void Tick()
    {
        if (Lane is not null)
        {
            if (clock.Now >= machine.NextTick && Lane.Failure is null)
            {
                _ = Lane.RunAsync(() =>
                {
                    machine.Tick(clock.Now);
                    return WriteLane.Nothing;
                });
            }

            return;
        }

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

    public byte[]? KeyOf(uint node)
    {
        lock (_owner)
        {
            return machine.KeyOf(node);
        }
    }

    private async Task<byte[]?> ChangeAsync(RegistryConnection connection, RegistryRequest request, Admission admission, SignatureVerdict verdict, long start)
    {
        object response;
        try
        {
            response = await Lane!.RunAsync(() => machine.Core.Execute(clock.Now, connection, request, admission, verdict)).ConfigureAwait(false);
        }
        catch (StoreException e)
        {
            // "cannot" keeps the text visible through the masking of spec 03 section 3.1.
            response = new ErrorResponse { Error = $"cannot store the change: {e.Message}", Code = Unavailable, RetryAfterMs = RetryAfterMilliseconds };
        }

        catch (UnconfirmedException e)
        {
            response = new ErrorResponse { Error = $"cannot confirm the change: {e.Message}", Code = Unconfirmed, RetryAfterMs = RetryAfterMilliseconds };
        }

        return Answer(request, response, start);
    }

    /// <summary>Code of an error answer when the change may have been stored: to be sent again.</summary>
    public const string Unconfirmed = "unconfirmed";

    /// <summary>Code of an error answer while the store takes no writes.</summary>
    public const string Unavailable = "unavailable";

    private const int RetryAfterMilliseconds = 1000;

    private byte[] Answer(RegistryRequest request, object response, long start)
    {
        byte[] body = RegistryMachine.Encode(response);
        Answered?.Invoke(request.Type, response is ErrorResponse, start);
        return body;
    }
}
