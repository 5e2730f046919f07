using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Pilot.Rendezvous.Server;

/// <summary>The certificate that new connections get.</summary>
internal sealed class ServingCertificate(X509Certificate2 first)
{
    private X509Certificate2 _current = first;

    public X509Certificate2 Current
    {
        get => Volatile.Read(ref _current);
        set => Volatile.Write(ref _current, value);
    }

    /// <summary>What clients pin.</summary>
    public string Fingerprint => TlsCertificate.Fingerprint(Current);
}

/// <summary>The server certificate: given by the operator, or made once and kept, so that clients can pin it (spec 03 section 2.3).</summary>
internal static class TlsCertificate
{
    private const string CertificateFile = "tls-cert.pem";
    private const string KeyFile = "tls-key.pem";
    private static readonly TimeSpan Validity = TimeSpan.FromDays(3650);

    /// <summary>Lower-case hex SHA-256 of the DER certificate: what clients pin.</summary>
    public static string Fingerprint(X509Certificate2 certificate) => Convert.ToHexStringLower(SHA256.HashData(certificate.RawData));

    /// <summary>Loads the operator's PEM files.</summary>
    /// <exception cref="CryptographicException">They are no certificate and key.</exception>
    /// <exception cref="IOException">They cannot be read.</exception>
    public static X509Certificate2 Load(string certificateFile, string keyFile) => X509Certificate2.CreateFromPemFile(certificateFile, keyFile);

    /// <summary>Loads the certificate kept in a directory, or makes it.</summary>
    public static X509Certificate2 LoadOrCreate(string directory)
    {
        string certificateFile = Path.Combine(directory, CertificateFile);
        string keyFile = Path.Combine(directory, KeyFile);
        if (File.Exists(certificateFile) && File.Exists(keyFile))
        {
            return Load(certificateFile, keyFile);
        }

        Directory.CreateDirectory(directory);
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using X509Certificate2 certificate = Create(key);
        WritePrivate(keyFile, key.ExportPkcs8PrivateKeyPem());
        WritePrivate(certificateFile, certificate.ExportCertificatePem());
        return Load(certificateFile, keyFile);
    }

    private static X509Certificate2 Create(ECDsa key)
    {
        var request = new CertificateRequest("O=Pilot Protocol", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(false, false, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.DigitalSignature | X509KeyUsageFlags.KeyEncipherment, true));
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([new Oid("1.3.6.1.5.5.7.3.1")], false)); // serverAuth
        var names = new SubjectAlternativeNameBuilder();
        names.AddDnsName("localhost");
        names.AddIpAddress(IPAddress.Loopback);
        names.AddIpAddress(IPAddress.IPv6Loopback);
        request.CertificateExtensions.Add(names.Build());
        DateTimeOffset now = DateTimeOffset.UtcNow;
        return request.CreateSelfSigned(now.AddDays(-1), now + Validity);
    }

    // Written beside and renamed, readable by the owner only.
    private static void WritePrivate(string path, string text)
    {
        string temporary = path + ".tmp";
        var options = new FileStreamOptions { Mode = FileMode.Create, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        }

        using (var stream = new FileStream(temporary, options))
        {
            stream.Write(System.Text.Encoding.ASCII.GetBytes(text));
            stream.Flush(flushToDisk: true);
        }

        File.Move(temporary, path, overwrite: true);
    }
}
