namespace Pilot.Protocol.Tests;

/// <summary>The messages between our nodes and our beacons (docs/wire.md): layouts, and that reference receivers see what they know.</summary>
public sealed class BeaconExtensionTests
{
    private static readonly UdpEndpoint Four = UdpEndpoint.FromIPv4(0xCB007107, 40001);
    private static readonly UdpEndpoint Six = new(UInt128.MaxValue / 7, 9001);
    private static readonly byte[] Key = [1, 2, 3];

    public static byte[][] Samples() =>
    [
        Written(b => BeaconDiscoverExtension.Write(b, 7, 1, 2, null)),
        Written(b => BeaconDiscoverExtension.Write(b, 7, 1, 2, new Identity(new byte[32]))),
        Written(b => new BeaconReplyExtension(1, 2, BeaconCapabilities.OtherPort, 3, 4, 5, Four).Write(b, Six)),
        Written(b => new BeaconReplyExtension(1, 2, BeaconCapabilities.None, 0, 0, 0, default).Write(b, Four)),
        Written(b => new BeaconPunchRequestExtension(9).Write(b, new BeaconPunchRequest(5, 6))),
        Written(b => new BeaconPunchCommandExtension(9, 6).Write(b, Six)),
        Written(b => new BeaconPunchRefused(9, 6).Write(b)),
        Written(b => new BeaconRelayStatus(9, 600).Write(b)),
        Written(b => new BeaconProbe(BeaconProbeKind.OtherAddress, 9, 8, Six).Write(b)),
        Written(b => new BeaconProbeAnswer(BeaconProbeKind.OtherPort, 9, null).Write(b)),
        Written(b => new BeaconProbeAnswer(BeaconProbeKind.OtherBeacon, 9, Four with { Port = 0 }).Write(b)),
        Written(b => new HairpinProbe(77).Write(b)),
        Written(b => BeaconSyncChunk.Write(b, 3, 1000, 1, 2, [5, 6, 7], Key)),
        Written(b => BeaconForward.Write(b, BeaconExtensionType.PunchForward, 1000, 5, 6, 9, Four, Key)),
        Written(b => BeaconSyncTrailer.Write(b, BeaconSync.Write(b, 3, [5, 6]), 1000, Key)),
    ];

    [Fact]
    public void Layouts()
    {
        string[] hex = [.. Samples().Select(Convert.ToHexStringLower)];
        Assert.Equal("0100000007" + "50584231" + "00" + "0000000000000001" + "0000000000000002" + new string('0', 2 * 46), hex[0]);
        Assert.Equal(2 * 90, hex[1].Length);
        Assert.Equal("0210" + "24924924924924924924924924924924" + "2329" + "50584231" + "01" + "0000000000000001" + "0000000000000002" + "000300040005" + "04cb0071079c41", hex[2]);
        Assert.Equal("0204cb0071079c41" + "50584231" + "00" + "0000000000000001" + "0000000000000002" + "000000000000" + "000000", hex[3]);
        Assert.Equal("030000000500000006" + "50584231" + "0000000000000009" + new string('0', 2 * 19), hex[4]);
        Assert.Equal("0410" + "24924924924924924924924924924924" + "2329" + "50584231" + "0000000000000009" + "00000006", hex[5]);
        Assert.Equal("08" + "0000000000000009" + "00000006", hex[6]);
        Assert.Equal("0f" + "0000000000000009" + "00000258", hex[7]);
        Assert.Equal("0a" + "50584231" + "02" + "0000000000000009" + "0000000000000008" + "10249249249249249249249249249249242329" + new string('0', 2 * 7), hex[8]);
        Assert.Equal("0b01" + "0000000000000009", hex[9]);
        Assert.Equal("0b83" + "0000000000000009" + "04cb0071070000", hex[10]);
        Assert.Equal("50494c50" + "50584231" + "000000000000004d", hex[11]);
        Assert.StartsWith("09" + "50584231" + "00000003" + "00000000000003e8" + "0001" + "0002" + "0003" + "000000050000000600000007", hex[12]);
        Assert.StartsWith("0c" + "50584231" + "00000000000003e8" + "00000005" + "00000006" + "0000000000000009" + "04cb0071079c41", hex[13]);
        Assert.StartsWith("0700000003000200000005" + "00000006" + "50584231" + "00000000000003e8", hex[14]);
    }

    [Fact]
    public void Answers_are_no_longer_than_their_requests()
    {
        Assert.True(BeaconReplyExtension.MaxSize <= BeaconDiscoverExtension.Size);
        Assert.True(BeaconPunchCommandExtension.MaxSize <= BeaconPunchRequestExtension.Size);
        Assert.True(BeaconPunchRefused.Size <= BeaconPunchRequestExtension.Size);
        // The probe and the note about it both.
        Assert.True(BeaconProbeAnswer.MaxSize + 10 <= BeaconProbe.Size);
    }

    [Fact]
    public void Signature_is_the_keys_over_node_and_cookie()
    {
        var identity = new Identity(new byte[32]);
        byte[] bytes = Written(b => BeaconDiscoverExtension.Write(b, 7, 1, 2, identity));
        Assert.True(BeaconDiscoverExtension.TryParse(bytes, out BeaconDiscoverExtension extension));
        Assert.True(extension.VerifySignature(7, identity.PublicKeySpan));
        Assert.False(extension.VerifySignature(8, identity.PublicKeySpan));
        bytes[18] ^= 1; // the cookie
        Assert.True(BeaconDiscoverExtension.TryParse(bytes, out extension));
        Assert.False(extension.VerifySignature(7, identity.PublicKeySpan));
    }

    [Fact]
    public void Codes_of_messages_between_beacons_are_the_keys()
    {
        foreach (byte[] sample in Samples().Skip(12))
        {
            Assert.True(Verifies(sample, Key));
            Assert.True(Verifies(sample, []));
            Assert.False(Verifies(sample, [1, 2, 4]));
            for (int i = 0; i < sample.Length; i++)
            {
                byte[] changed = [.. sample];
                changed[i] ^= 0x10;
                Assert.False(Verifies(changed, Key), $"byte {i}");
            }
        }
    }

    private static bool Verifies(byte[] bytes, byte[] key) =>
        (BeaconSyncChunk.TryParse(bytes, out BeaconSyncChunk chunk) && chunk.Verify(key))
        || (BeaconForward.TryParse(bytes, BeaconExtensionType.PunchForward, out BeaconForward forward) && forward.Verify(key))
        || (BeaconSync.TryParse(bytes, out BeaconSync sync) && BeaconSyncTrailer.TryVerify(bytes, sync.Count, key, out _));

    private static byte[] Written(Func<byte[], int> write)
    {
        byte[] buffer = new byte[256];
        return buffer[..write(buffer)];
    }
}
