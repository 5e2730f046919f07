// The daemon serves Unix systems: modes of files and Unix domain sockets are part of its contract.
[assembly: System.Runtime.Versioning.UnsupportedOSPlatform("windows")]
