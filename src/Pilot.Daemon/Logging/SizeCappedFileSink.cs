using System.Text;
using Pilot.Daemon.State;
using Serilog.Core;
using Serilog.Events;
using Serilog.Formatting;

namespace Pilot.Daemon.Logging;

/// <summary>
/// A log file that never fills a disk (lessons 59): at 10 MiB it becomes <c>pilot.log.1</c>, older ones move up, four of them stay. The
/// newest lines are always in the file of the given name. Mode 0600.
/// </summary>
internal sealed class SizeCappedFileSink : ILogEventSink, IDisposable
{
    private readonly string _path;
    private readonly ITextFormatter _formatter;
    private readonly long _limit;
    private readonly int _kept;
    private readonly object _gate = new();
    private StreamWriter? _writer;

    /// <param name="limit">Bytes per file.</param>
    /// <param name="kept">Old files kept.</param>
    public SizeCappedFileSink(string path, ITextFormatter formatter, long limit = 10 * 1024 * 1024, int kept = 4)
    {
        _path = path;
        _formatter = formatter;
        _limit = limit;
        _kept = kept;
        AtomicFile.CreateDirectory(Path.GetDirectoryName(path)!);
        _writer = Open();
    }

    public void Emit(LogEvent logEvent)
    {
        lock (_gate)
        {
            try
            {
                if (_writer is null || _writer.BaseStream.Length >= _limit)
                {
                    Roll();
                }

                _formatter.Format(logEvent, _writer!);
                _writer!.Flush();
            }
            catch (IOException)
            {
                // A full disk must not stop the daemon; the console sink still has the line.
                _writer?.Dispose();
                _writer = null;
            }
        }
    }

    public void Dispose()
    {
        lock (_gate)
        {
            _writer?.Dispose();
            _writer = null;
        }
    }

    private void Roll()
    {
        _writer?.Dispose();
        _writer = null;
        if (new FileInfo(_path) is { Exists: true, Length: var length } && length >= _limit)
        {
            for (var i = _kept; i > 0; i--)
            {
                var from = i == 1 ? _path : $"{_path}.{i - 1}";
                if (File.Exists(from))
                {
                    File.Move(from, $"{_path}.{i}", overwrite: true);
                }
            }
        }

        _writer = Open();
    }

    private StreamWriter Open()
    {
        var options = new FileStreamOptions { Mode = FileMode.Append, Access = FileAccess.Write, Share = FileShare.ReadWrite | FileShare.Delete };
        if (!OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = AtomicFile.FileMode600;
        }

        return new StreamWriter(new FileStream(_path, options), new UTF8Encoding(encoderShouldEmitUTF8Identifier: false));
    }
}
