using System.Buffers;
using Pilot.Daemon.Ipc;
using Pilot.Engine;
using Pilot.Ipc;

namespace Pilot.Daemon.Commands;

/// <summary>Who wants which events. Any thread; the sessions' own limits keep slow clients from holding anything up.</summary>
internal sealed class EventHub
{
    private readonly object _gate = new();
    private Dictionary<IpcSession, Subscription> _subscriptions = [];

    public void Subscribe(IpcSession session, IReadOnlyList<ushort>? ports, IReadOnlyList<string> events) =>
        Change(copy => copy[session] = new Subscription(ports, events));

    public bool IsSubscribed(IpcSession session) => Volatile.Read(ref _subscriptions).ContainsKey(session);

    public void Remove(IpcSession session)
    {
        if (IsSubscribed(session))
        {
            Change(copy => copy.Remove(session));
        }
    }

    public void Datagram(ReceivedDatagram datagram)
    {
        ReadOnlyMemory<byte> line = default;
        foreach (var (session, subscription) in Volatile.Read(ref _subscriptions))
        {
            if (subscription.Ports is { } ports && (ports.Count == 0 || ports.Contains(datagram.DestinationPort)))
            {
                if (line.IsEmpty)
                {
                    var buffer = new ArrayBufferWriter<byte>(datagram.Data.Length * 4 / 3 + 128);
                    IpcLine.WriteObject(buffer, new DatagramEvent
                    {
                        Src = datagram.Source.ToString(),
                        SrcPort = datagram.SourcePort,
                        DstPort = datagram.DestinationPort,
                        Data = datagram.Data,
                    }, IpcJson.Context.DatagramEvent);
                    line = buffer.WrittenMemory;
                }

                session.SendEvent(line);
            }
        }
    }

    public void Trust(TrustEvent trustEvent) => Publish(IpcEvent.Trust, buffer => IpcLine.WriteObject(buffer, trustEvent, IpcJson.Context.TrustEvent));

    public void Peer(PeerEvent peerEvent) => Publish(IpcEvent.Peer, buffer => IpcLine.WriteObject(buffer, peerEvent, IpcJson.Context.PeerEvent));

    public void Punch(PunchEvent punchEvent) => Publish(IpcEvent.Punch, buffer => IpcLine.WriteObject(buffer, punchEvent, IpcJson.Context.PunchEvent));

    public void Nat(NatEvent natEvent) => Publish(IpcEvent.Nat, buffer => IpcLine.WriteObject(buffer, natEvent, IpcJson.Context.NatEvent));

    private void Publish(string name, Action<IBufferWriter<byte>> write)
    {
        ReadOnlyMemory<byte> line = default;
        foreach (var (session, subscription) in Volatile.Read(ref _subscriptions))
        {
            if (subscription.Events.Contains(name))
            {
                if (line.IsEmpty)
                {
                    var buffer = new ArrayBufferWriter<byte>();
                    write(buffer);
                    line = buffer.WrittenMemory;
                }

                session.SendEvent(line);
            }
        }
    }

    private void Change(Action<Dictionary<IpcSession, Subscription>> change)
    {
        lock (_gate)
        {
            var copy = new Dictionary<IpcSession, Subscription>(_subscriptions);
            change(copy);
            Volatile.Write(ref _subscriptions, copy);
        }
    }

    private sealed record Subscription(IReadOnlyList<ushort>? Ports, IReadOnlyList<string> Events);
}
