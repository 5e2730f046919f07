using System.Text;
using Pilot.Protocol;

namespace Pilot.Daemon.State;

/// <summary>The node's Ed25519 key on disk (01 §12).</summary>
internal static class IdentityFile
{
    private const int MaxSize = 64 * 1024; // bytes; a real file has under 300

    /// <summary>Loads the identity, or makes and saves one when there is no file. A file that is there but unusable stops the start: a new key would be a new node.</summary>
    /// <param name="repaired">True when the file was readable by others and its mode was tightened.</param>
    /// <exception cref="FatalException">Corrupt, unreadable, or a new one cannot be saved.</exception>
    public static Identity LoadOrCreate(string path, out bool created, out bool repaired)
    {
        created = false;
        repaired = false;
        if (!File.Exists(path))
        {
            var identity = Identity.Create();
            try
            {
                AtomicFile.Write(path, Encoding.UTF8.GetBytes(identity.ToJson()));
            }
            catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
            {
                throw new FatalException($"cannot save identity {path}: {exception.Message}", exception);
            }

            created = true;
            return identity;
        }

        byte[] content;
        try
        {
            repaired = AtomicFile.Tighten(path);
            if (new FileInfo(path).Length > MaxSize)
            {
                throw new FatalException($"load identity: {path} is too large to be an identity file");
            }

            content = File.ReadAllBytes(path);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new FatalException($"load identity: {exception.Message}", exception);
        }

        if (Identity.TryParseJson(content, out var loaded, out var error) && loaded is not null)
        {
            return loaded;
        }

        throw new FatalException($"load identity: {error} ({path}); restore it from a backup, or move it away to start as a new node");
    }
}
