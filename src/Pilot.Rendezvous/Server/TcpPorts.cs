using System.IO.Pipelines;
using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Pilot.Rendezvous.Http;
using Pilot.Rendezvous.Sockets;

namespace Pilot.Rendezvous.Server;

/// <summary>The TCP ports of a server: the registry's, and the dashboard's if there is one.</summary>
internal sealed class TcpPorts(IPEndPoint registry, IPEndPoint? http, ServingCertificate? certificate, int maxConnections, int maxVisitors)
{
    private const int ReceiveBufferPerConnection = 128 * 1024; // more than one largest frame, so that a slow reader of ours cannot stall a frame
    private const int VisitorsPerPlaceOfThisMachine = 10; // one place in so many is kept for it
    private const int VisitorBacklog = 64; // these are accepted before they are counted

    private ListenOptions? _registry;
    private ListenOptions? _http;

    /// <summary>Address of the registry, once it is bound.</summary>
    public IPEndPoint Registry => _registry!.IPEndPoint!;

    /// <summary>Address of the dashboard, once it is bound; null without one.</summary>
    public IPEndPoint? Http => _http?.IPEndPoint;

    /// <summary>Lets a server listen on them.</summary>
    public void AddTo(WebApplicationBuilder builder)
    {
        builder.WebHost.UseKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBufferSize = ReceiveBufferPerConnection;
            ListenForRequests(kestrel);
            if (http is not null)
            {
                ListenForVisitors(kestrel, http);
            }
        });

        builder.Services.Configure<SocketTransportOptions>(o => o.Backlog = VisitorBacklog);

        // After Kestrel's own, before which it is asked.
        builder.Services.AddSingleton<IConnectionListenerFactory>(services => new LoopTransport(
            new PipeOptions(
                readerScheduler: certificate is null ? PipeScheduler.Inline : PipeScheduler.ThreadPool, // a TLS handshake would keep the others waiting
                writerScheduler: PipeScheduler.Inline,
                pauseWriterThreshold: ReceiveBufferPerConnection,
                resumeWriterThreshold: ReceiveBufferPerConnection / 2,
                useSynchronizationContext: false),
            maxConnections + DescriptorBudget.AboutToBeRefused,
            services.GetRequiredService<ILogger<LoopTransport>>()));
    }

    /// <summary>Listens on an address; any address of IPv6 is any of IPv4 as well.</summary>
    public static void Listen(KestrelServerOptions kestrel, IPEndPoint address, Action<ListenOptions> configure)
    {
        if (address.Address.Equals(IPAddress.IPv6Any))
        {
            kestrel.ListenAnyIP(address.Port, configure);
        }
        else
        {
            kestrel.Listen(address, configure);
        }
    }

    private void ListenForRequests(KestrelServerOptions kestrel)
    {
        void Configure(ListenOptions listen)
        {
            _registry = listen;
            var admission = listen.ApplicationServices.GetRequiredService<ConnectionAdmission>();
            listen.Use(next => connection => admission.ServeAsync(connection, next));
            if (certificate is not null)
            {
                listen.UseHttps(https => https.ServerCertificateSelector = (_, _) => certificate.Current);
            }

            listen.UseConnectionHandler<RegistryConnectionHandler>();
        }

        if (OperatingSystem.IsLinux())
        {
            kestrel.Listen((EndPoint)new LoopEndPoint(registry), Configure);
        }
        else
        {
            Listen(kestrel, registry, Configure);
        }
    }

    private void ListenForVisitors(KestrelServerOptions kestrel, IPEndPoint address)
    {
        var limit = new HttpConnectionLimit(maxVisitors, keptForThisMachine: maxVisitors / VisitorsPerPlaceOfThisMachine);
        Listen(kestrel, address, listen =>
        {
            _http = listen;
            listen.Use(next => connection => limit.ServeAsync(connection, next));
        });
    }
}
