using Pilot.Rendezvous.Registry;
using Pilot.Rendezvous.Startup;
using Pilot.Rendezvous.Storage;

namespace Pilot.Rendezvous.Commands;

/// <summary><c>rendezvous backup|restore|import FILE [flags]</c>: the store as one file, beside a running server where that is possible.</summary>
internal sealed class StoreCommand
{
    /// <summary>Stands behind the flags in the help.</summary>
    public const string Usage =
        """
        Commands (with the -data and -store of the server):
          rendezvous backup FILE
            	writes the whole state to a new file; the server may run
          rendezvous restore FILE
            	puts a backup into an empty store
          rendezvous import FILE
            	puts a snapshot of the reference (-store FILE there) into an empty store

        """;

    private static readonly string[] Names = ["backup", "restore", "import"];

    private readonly string _name;
    private readonly string _file;

    private StoreCommand(string name, string file, string[] flags)
    {
        _name = name;
        _file = file;
        Flags = flags;
    }

    /// <summary>The rest of the command line.</summary>
    public string[] Flags { get; }

    /// <summary>The command of a command line; null when it starts the server.</summary>
    /// <exception cref="UsageException">The file is missing.</exception>
    public static StoreCommand? Find(string[] args) => args switch
    {
        [var name, var file, .. var flags] when Names.Contains(name) && !file.StartsWith('-') => new StoreCommand(name, file, flags),
        [var name, ..] when Names.Contains(name) => throw new UsageException($"usage: rendezvous {name} FILE [flags]"),
        _ => null,
    };

    /// <summary>Runs it; 0 when it is done, 1 with a line on standard error when not.</summary>
    public int Run(Settings settings)
    {
        try
        {
            Console.WriteLine(_name == "backup" ? Backup(settings) : Fill(settings));
            return 0;
        }
        catch (Exception e) when (e is StoreException or StoreDamagedException or IOException or UnauthorizedAccessException or InvalidDataException)
        {
            Console.Error.WriteLine($"rendezvous {_name}: {e.Message}");
            return 1;
        }
    }

    private string Backup(Settings settings)
    {
        if (File.Exists(_file))
        {
            throw new StoreException($"{_file} exists already");
        }

        var state = new RegistryState(DateTimeOffset.UnixEpoch);
        long position;
        using (SqlEventStore source = StoreChoice.Open(settings, readOnly: true))
        {
            position = source.Load(state.Apply);
        }

        string temporary = $"{_file}.{Environment.ProcessId}.tmp";
        try
        {
            Write(temporary, state);
            File.Delete(temporary + ".lock");
            File.Move(temporary, _file);
        }
        finally
        {
            foreach (string left in (string[])["", ".lock", "-wal", "-shm"])
            {
                File.Delete(temporary + left);
            }
        }

        return $"{state.Nodes.Count} nodes and {state.Trust.LinkCount} trust links at position {position} written to {_file}";
    }

    private static void Write(string path, RegistryState state)
    {
        using var target = new SqliteEventStore(path);
        target.Open();
        target.Fill(StoredState.Of(state));
    }

    private string Fill(Settings settings)
    {
        RegistryState state = ReadFile(out string note);
        using SqlEventStore target = StoreChoice.Open(settings, readOnly: false);
        var present = new RegistryState(DateTimeOffset.UnixEpoch);
        long position = target.Load(present.Apply);
        if (position != 0)
        {
            throw new StoreException($"{target.Name} is not empty ({present.Nodes.Count} nodes). Move it away first, or choose another with -store or -data");
        }

        target.Fill(StoredState.Of(state));
        return $"{state.Nodes.Count} nodes, {state.Networks.Count} networks and {state.Trust.LinkCount} trust links written to {target.Name}{note}";
    }

    private RegistryState ReadFile(out string note)
    {
        note = "";
        if (!File.Exists(_file))
        {
            throw new StoreException($"{_file} does not exist");
        }

        if (_name == "import")
        {
            return ReferenceSnapshot.Read(File.ReadAllBytes(_file), out note);
        }

        if (StoreChoice.IsJson(_file))
        {
            throw new StoreException($"{_file} is no backup; 'rendezvous import' reads snapshots of the reference");
        }

        var state = new RegistryState(DateTimeOffset.UnixEpoch);
        using var backup = new SqliteEventStore(_file, readOnly: true);
        backup.Open();
        backup.Load(state.Apply);
        return state;
    }
}
