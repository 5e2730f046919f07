using System.Reflection;
using System.Reflection.Metadata;
using System.Reflection.PortableExecutable;

namespace Pilot.Protocol.Tests.Architecture;

/// <summary>What a compiled assembly uses of others: types and members, as its metadata tables name them.</summary>
internal sealed class AssemblyScan
{
    private AssemblyScan(SortedSet<string> types, SortedSet<string> members, SortedSet<string> nativeCalls)
    {
        Types = types;
        Members = members;
        NativeCalls = nativeCalls;
    }

    /// <summary>Full names of the types used.</summary>
    public SortedSet<string> Types { get; }

    /// <summary>Members used, as <c>Namespace.Type.Member</c>.</summary>
    public SortedSet<string> Members { get; }

    /// <summary>P/Invokes declared, as <c>Namespace.Type -> library</c>.</summary>
    public SortedSet<string> NativeCalls { get; }

    public static AssemblyScan Of(string path)
    {
        using FileStream stream = File.OpenRead(path);
        using var file = new PEReader(stream);
        MetadataReader metadata = file.GetMetadataReader();
        var types = new SortedSet<string>(StringComparer.Ordinal);
        var members = new SortedSet<string>(StringComparer.Ordinal);
        var native = new SortedSet<string>(StringComparer.Ordinal);
        foreach (TypeReferenceHandle handle in metadata.TypeReferences)
        {
            types.Add(NameOf(metadata, handle));
        }

        foreach (MemberReferenceHandle handle in metadata.MemberReferences)
        {
            MemberReference member = metadata.GetMemberReference(handle);
            if (member.Parent.Kind == HandleKind.TypeReference)
            {
                members.Add($"{NameOf(metadata, (TypeReferenceHandle)member.Parent)}.{metadata.GetString(member.Name)}");
            }
        }

        foreach (MethodDefinitionHandle handle in metadata.MethodDefinitions)
        {
            MethodDefinition method = metadata.GetMethodDefinition(handle);
            if ((method.Attributes & MethodAttributes.PinvokeImpl) != 0)
            {
                TypeDefinition type = metadata.GetTypeDefinition(method.GetDeclaringType());
                string library = metadata.GetString(metadata.GetModuleReference(method.GetImport().Module).Name);
                native.Add($"{metadata.GetString(type.Namespace)}.{metadata.GetString(type.Name)} -> {library}");
            }
        }

        return new AssemblyScan(types, members, native);
    }

    private static string NameOf(MetadataReader metadata, TypeReferenceHandle handle)
    {
        TypeReference type = metadata.GetTypeReference(handle);
        string name = metadata.GetString(type.Name);
        return type.ResolutionScope.Kind == HandleKind.TypeReference
            ? $"{NameOf(metadata, (TypeReferenceHandle)type.ResolutionScope)}+{name}"
            : $"{metadata.GetString(type.Namespace)}.{name}";
    }
}
