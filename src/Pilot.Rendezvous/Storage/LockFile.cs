using System.Globalization;
using System.Text;

namespace Pilot.Rendezvous.Storage;

/// <summary>
/// The file beside a SQLite store that keeps other servers out. Its text says that there is a store, and how many batches it holds at least, so that it
/// shows when some are lost. It is not forced to the disk: after a power failure it says fewer, never more.
/// </summary>
internal sealed class LockFile : IDisposable
{
    private const string Text = "Locked while a rendezvous server uses the store beside it. Batches stored: ";
    private const int Digits = 20;

    private readonly FileStream _file;

    /// <exception cref="IOException">Another process holds it, or it cannot be opened.</exception>
    public LockFile(string path)
    {
        var options = new FileStreamOptions { Mode = FileMode.OpenOrCreate, Access = FileAccess.ReadWrite, Share = FileShare.None, BufferSize = 0 };
        if (!OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        }

        _file = new FileStream(path, options);
        byte[] content = new byte[Text.Length + Digits];
        bool whole = _file.ReadAtLeast(content, content.Length, throwOnEndOfStream: false) == content.Length;
        IsUsed = _file.Length > 0;
        Position = whole && long.TryParse(content.AsSpan(Text.Length), NumberStyles.None, CultureInfo.InvariantCulture, out long position) ? position : 0;
    }

    /// <summary>A server has used the store.</summary>
    public bool IsUsed { get; private set; }

    /// <summary>Batches that were stored, at least.</summary>
    public long Position { get; private set; }

    /// <summary>Notes what is stored now.</summary>
    public void Note(long position)
    {
        byte[] content = Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{Text}{position:D20}\n"));
        try
        {
            _file.Position = 0;
            _file.Write(content);
        }
        catch (IOException)
        {
            // A full disk: what stands there is true still, only less.
            return;
        }

        (IsUsed, Position) = (true, position);
    }

    /// <summary>The store was moved away: the next one begins anew.</summary>
    public void Forget()
    {
        _file.SetLength(0);
        (IsUsed, Position) = (false, 0);
    }

    public void Dispose() => _file.Dispose();
}
