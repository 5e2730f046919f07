using Pilot.Engine.Streams;

namespace Pilot.Daemon.Loop;

/// <summary>Whoever works with a connection; stands in <see cref="Connection.Owner"/>. Called on the loop thread.</summary>
internal interface IStreamOwner
{
    void OnSignals(Connection connection, ConnectionSignals signals);
}
