using System.Reflection;
using System.Runtime.InteropServices;
using System.Security.Cryptography;

namespace Pilot.Protocol;

/// <summary>
/// The functions of OpenSSL's libcrypto 3 that the framework does not expose: Ed25519, X25519, and AES-GCM contexts that live
/// longer than one message. The only native code of this library; <see cref="Ed25519"/>, <see cref="X25519"/> and
/// <see cref="TunnelCipher"/> are its only callers, so another library can replace it there.
/// </summary>
internal static unsafe partial class Libcrypto
{
    public const int X25519Type = 1034; // EVP_PKEY_X25519 = NID_X25519 (openssl/obj_mac.h)
    public const int Ed25519Type = 1087; // EVP_PKEY_ED25519 = NID_ED25519
    public const int GetTag = 0x10; // EVP_CTRL_AEAD_GET_TAG (openssl/evp.h)
    public const int SetTag = 0x11; // EVP_CTRL_AEAD_SET_TAG

    private const string Library = "libcrypto";

    // The static constructor also runs before the first native call, which makes the resolver known in time.
#pragma warning disable CA1810
    static Libcrypto() => NativeLibrary.SetDllImportResolver(typeof(Libcrypto).Assembly, Resolve);
#pragma warning restore CA1810

    [LibraryImport(Library)]
    public static partial nint EVP_PKEY_new_raw_private_key(int type, nint engine, byte* key, nuint length);

    [LibraryImport(Library)]
    public static partial nint EVP_PKEY_new_raw_public_key(int type, nint engine, byte* key, nuint length);

    [LibraryImport(Library)]
    public static partial int EVP_PKEY_get_raw_public_key(nint pkey, byte* key, nuint* length);

    [LibraryImport(Library)]
    public static partial void EVP_PKEY_free(nint pkey);

    [LibraryImport(Library)]
    public static partial nint EVP_PKEY_CTX_new(nint pkey, nint engine);

    [LibraryImport(Library)]
    public static partial void EVP_PKEY_CTX_free(nint context);

    [LibraryImport(Library)]
    public static partial int EVP_PKEY_derive_init(nint context);

    [LibraryImport(Library)]
    public static partial int EVP_PKEY_derive_set_peer(nint context, nint peer);

    [LibraryImport(Library)]
    public static partial int EVP_PKEY_derive(nint context, byte* secret, nuint* length);

    [LibraryImport(Library)]
    public static partial nint EVP_MD_CTX_new();

    [LibraryImport(Library)]
    public static partial void EVP_MD_CTX_free(nint context);

    [LibraryImport(Library)]
    public static partial int EVP_DigestSignInit(nint context, nint* keyContext, nint digest, nint engine, nint pkey);

    [LibraryImport(Library)]
    public static partial int EVP_DigestSign(nint context, byte* signature, nuint* signatureLength, byte* message, nuint length);

    [LibraryImport(Library)]
    public static partial int EVP_DigestVerifyInit(nint context, nint* keyContext, nint digest, nint engine, nint pkey);

    [LibraryImport(Library)]
    public static partial int EVP_DigestVerify(nint context, byte* signature, nuint signatureLength, byte* message, nuint length);

    [LibraryImport(Library)]
    public static partial nint EVP_aes_256_gcm();

    [LibraryImport(Library)]
    public static partial nint EVP_CIPHER_CTX_new();

    [LibraryImport(Library)]
    public static partial void EVP_CIPHER_CTX_free(nint context);

    [LibraryImport(Library)]
    public static partial int EVP_CipherInit_ex(nint context, nint cipher, nint engine, byte* key, byte* iv, int encrypt);

    [LibraryImport(Library)]
    public static partial int EVP_CipherUpdate(nint context, byte* output, int* outputLength, byte* input, int inputLength);

    [LibraryImport(Library)]
    public static partial int EVP_CipherFinal_ex(nint context, byte* output, int* outputLength);

    [LibraryImport(Library)]
    public static partial int EVP_CIPHER_CTX_ctrl(nint context, int type, int argument, void* pointer);

    [LibraryImport(Library)]
    public static partial void ERR_clear_error();

    /// <summary>For a failure that no input can cause (out of memory, a libcrypto without the algorithm).</summary>
    public static CryptographicException Failure(string operation)
    {
        ERR_clear_error();
        return new CryptographicException($"libcrypto: {operation} failed");
    }

    private static nint Resolve(string name, Assembly assembly, DllImportSearchPath? searchPath)
    {
        if (name != Library)
        {
            return 0;
        }

        foreach (string candidate in Candidates())
        {
            if (NativeLibrary.TryLoad(candidate, assembly, searchPath, out nint handle))
            {
                return handle;
            }
        }

        throw new DllNotFoundException($"OpenSSL 3 is needed; none of these could be loaded: {string.Join(", ", Candidates())}");
    }

    private static string[] Candidates() =>
        OperatingSystem.IsWindows() ? ["libcrypto-3-x64.dll", "libcrypto-3-arm64.dll", "libcrypto-3.dll"]
        : OperatingSystem.IsMacOS() ? [
            "libcrypto.3.dylib",
            "/opt/homebrew/opt/openssl@3/lib/libcrypto.3.dylib",
            "/usr/local/opt/openssl@3/lib/libcrypto.3.dylib",
            "/opt/local/lib/libcrypto.3.dylib",
        ]
        : ["libcrypto.so.3"];
}
