"""The command line itself: consoles of every encoding, and signals."""

import io
import os
import signal
import sys
from types import SimpleNamespace

import pytest

from stablediff_edu import __main__ as program


@pytest.mark.parametrize("encoding", ["ascii", "cp1251", "cp866", "cp932", "cp437", "utf-8", "utf-16"])
def test_output_never_fails_on_a_character(monkeypatch, encoding):
    said = "“é × → … 图 ёлка 😀”"
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True))
    command = SimpleNamespace(add_arguments=lambda parser: None, run=lambda arguments: print(said) or 0)
    monkeypatch.setitem(sys.modules, "stablediff_edu.commands.doctor", command)
    assert program.main(["doctor"]) == 0 and program.main(["run", said]) == 2
    printed, sentence = (stream.buffer.getvalue().decode(encoding) for stream in (sys.stdout, sys.stderr))
    assert len(printed.strip()) == len(said) and sentence.startswith("stablediff_edu: There is no notebook")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to send")
def test_sigterm_ends_a_command_and_removes_its_temporary_files(monkeypatch, tmp_path):
    from stablediff_edu.weights.checkpoints import replacing

    def run(arguments):
        with replacing(tmp_path / "picture.png"):
            os.kill(os.getpid(), signal.SIGTERM)

    command = SimpleNamespace(add_arguments=lambda parser: None, run=run)
    monkeypatch.setitem(sys.modules, "stablediff_edu.commands.doctor", command)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended:
        program.main(["doctor"])
    assert ended.value.code == 128 + signal.SIGTERM and list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) == before
