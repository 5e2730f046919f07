using System.Buffers.Binary;
using Pilot.Protocol;

namespace Pilot.Engine.Tests.Simulation;

/// <summary>
/// Somebody on the path who sees every datagram and sends anything with any source address, but can neither stop
/// datagrams nor knows a key of others. Mixes all kinds of spec chapter 01: replays, forgeries, mutations.
/// </summary>
internal sealed class Attacker
{
    private const int Memory = 400;
    private readonly Simulation _simulation;
    private readonly SimRandom _random;
    private readonly List<SimDatagram> _captured = [];
    private readonly Identity _identity;
    private readonly SimNode[] _victims;

    public Attacker(Simulation simulation, params SimNode[] victims)
    {
        _simulation = simulation;
        _victims = victims;
        _random = simulation.Network.Random.Child("attacker");
        Host = simulation.Network.AddHost("mallory", port: 6666);
        byte[] seed = new byte[32];
        _random.Fill(seed);
        _identity = new Identity(seed);
        Host.Received = (_, bytes) => BytesReceived += bytes.Length;
        simulation.Network.Tap += Capture;
    }

    public SimHost Host { get; }

    /// <summary>What victims sent to the attacker's own address.</summary>
    public long BytesReceived { get; private set; }

    public long BytesFromOwnAddress { get; private set; }

    public int Sent { get; private set; }

    public void Attack(TimeSpan duration, TimeSpan interval)
    {
        Instant end = _simulation.Network.Now + duration;
        _simulation.Network.After(interval, Next);

        void Next()
        {
            if (_simulation.Network.Now < end)
            {
                Shoot();
                _simulation.Network.After(interval, Next);
            }
        }
    }

    private void Capture(SimDatagram datagram)
    {
        if (_captured.Count < Memory)
        {
            _captured.Add(datagram);
        }
        else
        {
            // Some very old ones stay: replays from before a rekey.
            _captured[_random.Next(Memory)] = datagram;
        }
    }

    private void Shoot()
    {
        SimNode victim = _victims[_random.Next(_victims.Length)];
        SimNode claimed = _victims[_random.Next(_victims.Length)];
        UdpEndpoint target = Reachable(victim);
        byte[]? bytes = Forge(_random.Next(16), victim, claimed, ref target);
        if (bytes is null)
        {
            return;
        }

        UdpEndpoint source = _random.Next(4) switch
        {
            0 => Reachable(claimed),
            1 => _simulation.Beacon,
            2 => new UdpEndpoint(Reachable(claimed).Ip, (ushort)(1 + _random.Next(65_000))),
            _ => Host.Local,
        };
        if (source == Host.Local)
        {
            BytesFromOwnAddress += bytes.Length;
        }

        Sent++;
        _simulation.Network.Inject(source, target, bytes);
    }

    private static UdpEndpoint Reachable(SimNode node) => node.Node?.Mapping ?? node.Host.Local;

    private byte[]? Forge(int kind, SimNode victim, SimNode claimed, ref UdpEndpoint target)
    {
        switch (kind)
        {
            case 0 or 1:
                // Replay, from whatever address comes next, to whom it was meant for.
                return Replay(DatagramKind.AuthenticatedKeyExchange, ref target);
            case 2 or 3:
                return Replay(DatagramKind.Encrypted, ref target);
            case 4:
                return Mutate(Replay(DatagramKind.Encrypted, ref target));
            case 5:
                return Mutate(Replay(DatagramKind.AuthenticatedKeyExchange, ref target));
            case 6:
                byte[]? frame = Replay(DatagramKind.Encrypted, ref target);
                if (frame is not null)
                {
                    BinaryPrimitives.WriteUInt64BigEndian(frame.AsSpan(12), ulong.MaxValue - (ulong)_random.Next(5));
                }

                return frame;
            case 7:
                return Plaintext(victim, claimed);
            case 8:
                byte[] key = new byte[TunnelFrame.KeyExchangeSize];
                _random.Fill(key);
                "PILK"u8.CopyTo(key);
                BinaryPrimitives.WriteUInt32BigEndian(key.AsSpan(4), claimed.NodeId);
                return key.AsSpan(0, 40).ToArray();
            case 9:
                return ForgedExchange(claimed);
            case 10:
                byte[] reply = new byte[32];
                return reply.AsSpan(0, new BeaconPunchCommand(Host.Local).Write(reply)).ToArray();
            case 11:
                byte[]? inner = Replay(_random.Next(2) == 0 ? DatagramKind.Encrypted : DatagramKind.AuthenticatedKeyExchange, ref target);
                return inner is null ? null : Relayed(claimed, inner);
            case 12:
                return Relayed(claimed, ForgedExchange(claimed));
            case 13:
                return "PILP"u8.ToArray();
            case 14:
                byte[] noise = new byte[1 + _random.Next(200)];
                _random.Fill(noise);
                return noise;
            default:
                // A PILS under a known id that no key opens.
                byte[] junk = new byte[70 + _random.Next(100)];
                _random.Fill(junk);
                "PILS"u8.CopyTo(junk);
                BinaryPrimitives.WriteUInt32BigEndian(junk.AsSpan(4), claimed.NodeId);
                return junk;
        }
    }

    private byte[]? Replay(DatagramKind kind, ref UdpEndpoint target)
    {
        SimDatagram[] fitting = [.. _captured.Where(datagram => TunnelFrame.Classify(datagram.Bytes) == kind)];
        if (fitting.Length == 0)
        {
            return null;
        }

        SimDatagram chosen = fitting[_random.Next(fitting.Length)];
        target = chosen.Destination;
        return [.. chosen.Bytes];
    }

    private byte[]? Mutate(byte[]? bytes)
    {
        for (int i = 1 + _random.Next(4); bytes is not null && i > 0; i--)
        {
            bytes[4 + _random.Next(bytes.Length - 4)] ^= (byte)(1 + _random.Next(255));
        }

        return bytes;
    }

    private byte[] ForgedExchange(SimNode claimed)
    {
        byte[] x25519 = new byte[32];
        _random.Fill(x25519);
        byte[] frame = new byte[TunnelFrame.MarkedKeyExchangeSize];
        int length = AuthenticatedKeyExchange.Write(frame, claimed.NodeId, x25519, _identity, ExchangeMark.Request, 0);
        return frame.AsSpan(0, length).ToArray();
    }

    /// <summary>PILT with RST, FIN, SYN, a pong or data for the streams that exist.</summary>
    private byte[] Plaintext(SimNode victim, SimNode claimed)
    {
        var connection = victim.Node?.Connections.FirstOrDefault();
        PacketFlags[] flags = [PacketFlags.Rst, PacketFlags.Fin, PacketFlags.Syn, PacketFlags.Ack, PacketFlags.Fin | PacketFlags.Ack];
        byte[] packet = new byte[4 + Packet.HeaderSize + 4];
        "PILT"u8.CopyTo(packet);
        int length = Packet.Write(
            packet.AsSpan(4),
            new PacketHeader
            {
                Protocol = (PacketProtocol)(1 + _random.Next(3)),
                Flags = flags[_random.Next(flags.Length)],
                Source = PilotAddress.OfNode(claimed.NodeId),
                Destination = PilotAddress.OfNode(victim.NodeId),
                SourcePort = connection?.RemotePort ?? 7,
                DestinationPort = connection?.LocalPort ?? 7,
                Sequence = _random.NextUInt32(),
                Acknowledgement = _random.NextUInt32(),
            },
            "boom"u8);
        return packet.AsSpan(0, 4 + length).ToArray();
    }

    private static byte[] Relayed(SimNode sender, byte[] frame)
    {
        byte[] deliver = new byte[BeaconRelayDeliver.HeaderSize + frame.Length];
        BeaconRelayDeliver.WriteHeader(deliver, sender.NodeId);
        frame.CopyTo(deliver, BeaconRelayDeliver.HeaderSize);
        return deliver;
    }
}
