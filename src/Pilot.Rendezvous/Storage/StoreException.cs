namespace Pilot.Rendezvous.Storage;

/// <summary>The store cannot do what was asked now: disk full, database away. Nothing was promised to anybody; the text is fit for the log and for clients.</summary>
internal sealed class StoreException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>What is stored is damaged or not ours. It is left as it is; the text says how to go on.</summary>
internal sealed class StoreDamagedException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>The store went away while it stored: whether the change is there shows when it is back.</summary>
internal sealed class UnconfirmedException(Exception inner) : Exception($"whether the change is stored is not known: {inner.Message}", inner);
