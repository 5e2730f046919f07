namespace Pilot.Cli.Output;

/// <summary>The reader of our output closed it (<c>pilotctl … | head -1</c>).</summary>
internal sealed class ReaderGoneException(string message) : IOException(message);
