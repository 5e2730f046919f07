using System.IO.Pipelines;
using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace Pilot.Rendezvous.Sockets;

/// <summary>An address that <see cref="LoopTransport"/> serves.</summary>
internal sealed class LoopEndPoint(IPEndPoint address) : IPEndPoint(address.Address, address.Port);

/// <summary>
/// Kestrel's way to the kernel for the registry's connections, on Linux. Kestrel's own hands every request from thread to thread: waiting, reading, deciding
/// and sending are four pieces of work, and with one request at a time on each of a thousand connections most of the processor goes into waking threads up
/// (docs/performance.md, "Rendezvous under load"). Limits, TLS and handlers stay Kestrel's.
/// </summary>
/// <param name="options">Of the pipe from each socket to its reader.</param>
/// <param name="most">Open connections of an address that is listened on; one more is closed at once, before anything is made for it.</param>
/// <param name="logger">Told of faults.</param>
internal sealed class LoopTransport(PipeOptions options, int most, ILogger logger) : IConnectionListenerFactory, IConnectionListenerFactorySelector
{
    public bool CanBind(EndPoint endpoint) => endpoint is LoopEndPoint;

    /// <exception cref="AddressInUseException">Somebody else listens there.</exception>
    /// <exception cref="SocketException">The address cannot be had.</exception>
    public ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default) =>
        ValueTask.FromResult<IConnectionListener>(new LoopListener((IPEndPoint)endpoint, options, most, logger));
}
