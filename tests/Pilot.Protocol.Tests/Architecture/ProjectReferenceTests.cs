using System.Xml.Linq;

namespace Pilot.Protocol.Tests.Architecture;

/// <summary>Arrows between projects point one way (docs/architecture.md). A new project under src/ must be listed here.</summary>
public sealed class ProjectReferenceTests
{
    /// <summary>What each project may reference directly.</summary>
    private static readonly Dictionary<string, string[]> Allowed = new()
    {
        ["Pilot.Protocol"] = [],
        ["Pilot.Ipc"] = [],
        ["Pilot.Flags"] = [],
        ["Pilot.Engine"] = ["Pilot.Protocol"],
        ["Pilot.Net"] = ["Pilot.Protocol"],
        ["Pilot.Daemon"] = ["Pilot.Engine", "Pilot.Protocol", "Pilot.Ipc", "Pilot.Flags", "Pilot.Net"],
        ["Pilot.Rendezvous"] = ["Pilot.Protocol", "Pilot.Flags", "Pilot.Net"],
        ["Pilot.Client"] = ["Pilot.Ipc"],
        ["Pilot.Cli"] = ["Pilot.Client"],
        ["Pilot.Gateway"] = ["Pilot.Client"],
    };

    [Fact]
    public void Projects_reference_only_what_they_may()
    {
        string[] projects = Directory.GetFiles(Path.Combine(RepositoryRoot(), "src"), "*.csproj", SearchOption.AllDirectories);
        Assert.True(projects.Length >= 7, "the source projects were not found");
        foreach (string file in projects)
        {
            string name = Path.GetFileNameWithoutExtension(file);
            Assert.True(Allowed.TryGetValue(name, out string[]? allowed), $"{name} is not listed: decide what it may reference");
            Assert.Empty(Forbidden(XDocument.Load(file), allowed));
        }
    }

    [Fact]
    public void A_wrong_arrow_is_seen()
    {
        XDocument project = XDocument.Parse("<Project><ItemGroup><ProjectReference Include=\"..\\Pilot.Daemon\\Pilot.Daemon.csproj\" /></ItemGroup></Project>");
        Assert.Equal(["Pilot.Daemon"], Forbidden(project, Allowed["Pilot.Engine"]));
    }

    internal static string RepositoryRoot()
    {
        for (DirectoryInfo? at = new(AppContext.BaseDirectory); at is not null; at = at.Parent)
        {
            if (File.Exists(Path.Combine(at.FullName, "Pilot.sln")))
            {
                return at.FullName;
            }
        }

        throw new InvalidOperationException($"no Pilot.sln above {AppContext.BaseDirectory}");
    }

    private static string[] Forbidden(XDocument project, string[] allowed) =>
    [
        .. project.Descendants("ProjectReference")
            .Select(r => Path.GetFileNameWithoutExtension(r.Attribute("Include")!.Value.Replace('\\', '/')))
            .Except(allowed),
    ];
}
