"""The command line itself: consoles of every encoding, and signals."""

import io
import os
import signal
import subprocess
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
    monkeypatch.setitem(sys.modules, "stablediff_edu.cli.doctor", command)
    assert program.main(["doctor"]) == 0 and program.main(["run", said]) == 2
    printed, sentence = (stream.buffer.getvalue().decode(encoding) for stream in (sys.stdout, sys.stderr))
    assert len(printed.strip()) == len(said) and sentence.startswith("stablediff_edu: There is no notebook")


WRITES_AND_IS_STOPPED = """
import os, runpy, signal, sys
from pathlib import Path
from types import SimpleNamespace
from stablediff_edu.io.checkpoint import atomic_write

def run(arguments):
    with atomic_write(Path(sys.argv[0])):
        os.kill(os.getpid(), signal.SIGTERM)

sys.modules["stablediff_edu.cli.doctor"] = SimpleNamespace(add_arguments=lambda parser: None, run=run)
sys.argv = [sys.argv[1], "doctor"]
import stablediff_edu
runpy._run_module_as_main("stablediff_edu", alter_argv=False)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to send")
def test_sigterm_ends_a_command_and_removes_its_temporary_files(tmp_path):
    command = [sys.executable, "-c", WRITES_AND_IS_STOPPED, tmp_path / "generated.png"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 128 + signal.SIGTERM, done.stderr
    assert list(tmp_path.iterdir()) == [] and done.stderr == ""
