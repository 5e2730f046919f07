using System.Diagnostics;
using System.Text;

namespace Pilot.EndToEnd.Tests.Nat.Lab;

/// <summary>Takes what a background program writes, so that its pipes never fill up.</summary>
internal sealed class Output
{
    private const int Kept = 20_000;
    private readonly StringBuilder _text = new();

    public Output(Process process)
    {
        process.OutputDataReceived += (_, line) => Add(line.Data);
        process.ErrorDataReceived += (_, line) => Add(line.Data);
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
    }

    public string Text
    {
        get
        {
            lock (_text)
            {
                return _text.ToString();
            }
        }
    }

    private void Add(string? line)
    {
        lock (_text)
        {
            if (line is not null && _text.Length < Kept)
            {
                _text.AppendLine(line);
            }
        }
    }
}
