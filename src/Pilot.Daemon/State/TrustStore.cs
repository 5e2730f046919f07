using System.Text;
using Pilot.Engine.Trust;
using Pilot.Protocol;

namespace Pilot.Daemon.State;

/// <summary><c>trust.json</c> (readable by a reference) and <c>trust-ext.json</c> (ours), with one backup each (05 §11). A file that cannot be read stops the start and is never overwritten.</summary>
internal sealed class TrustStore(StateDirectory directory)
{
    /// <exception cref="FatalException">A file is there but unreadable.</exception>
    public TrustBook Load(Identity identity)
    {
        IReadOnlyList<TrustedPeer> trusted = [];
        IReadOnlyList<PendingRequest> pending = [];
        var extension = TrustExtension.Empty;
        if (Read(directory.TrustPath) is { } text && !TrustFile.TryParse(text, out trusted, out pending, out var error))
        {
            throw Corrupt(directory.TrustPath, error);
        }

        if (Read(directory.TrustExtensionPath) is { } extensionText && !TrustExtensionFile.TryParse(extensionText, out extension, out error))
        {
            throw Corrupt(directory.TrustExtensionPath, error);
        }

        return new TrustBook(identity, trusted, pending, extension);
    }

    /// <summary>Writes both files. The extension first: its deny list and pinned keys win over the other file.</summary>
    public void Save(string trust, string extension)
    {
        AtomicFile.Write(directory.TrustExtensionPath, Encoding.UTF8.GetBytes(extension), keepBackup: true);
        AtomicFile.Write(directory.TrustPath, Encoding.UTF8.GetBytes(trust), keepBackup: true);
    }

    private static string? Read(string path)
    {
        if (!File.Exists(path))
        {
            return null;
        }

        try
        {
            AtomicFile.Tighten(path);
            return File.ReadAllText(path);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new FatalException($"load trust: {exception.Message}", exception);
        }
    }

    private static FatalException Corrupt(string path, string? error) =>
        new($"load trust: {path} is corrupt: {error}; {(File.Exists(path + ".bak") ? $"restore {path}.bak" : "repair it")} or move it away to start without trust");
}
