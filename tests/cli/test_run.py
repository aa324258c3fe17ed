"""``run``: notebooks that work, fail, hang, and lose their Python; and what is left on disk in each case."""

import gc
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from stablediff_edu.__main__ import main
from stablediff_edu.cli import run


def write(path: Path, *sources: str) -> Path:
    cells = [nbformat.v4.new_code_cell(source, id=f"cell-{number}") for number, source in enumerate(sources)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_a_notebook_that_works_is_executed_into_the_folder_by_this_python(tmp_path: Path, monkeypatch, capsys):
    path = write(
        tmp_path / "01_good.ipynb", "import os, sys; print(os.environ['STABLEDIFF_PRESET'], sys.executable)", "1"
    )
    monkeypatch.setenv("STABLEDIFF_PRESET", "full")
    spec = tmp_path / "jupyter/kernels/python3"  # a kernel of the same name elsewhere must not be taken for ours
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text(json.dumps({"argv": ["false"], "display_name": "other", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    before = path.read_bytes()
    assert main(["run", str(path), "--out", str(tmp_path / "build")]) == 0
    assert capsys.readouterr().out.splitlines()[0].split()[::3] == ["01_good", "ok"]
    executed = nbformat.read(tmp_path / "build/01_good.ipynb", as_version=4)
    assert [cell.execution_count for cell in executed.cells] == [1, 2]
    assert executed.cells[0].outputs[0].text.split() == ["full", sys.executable]
    assert path.read_bytes() == before


def test_storing_twice_gives_the_same_file(tmp_path: Path):
    panel = "import ipywidgets as w; w.VBox([w.IntSlider(value=3), w.Output()])"
    streams = "from IPython.display import Markdown, display\nprint(1); print(2)\ndisplay(Markdown('a'))\nprint(3)"
    path = write(tmp_path / "01_good.ipynb", panel, streams)
    assert run.run_notebooks([path]) == 0
    first = path.read_text()
    assert run.run_notebooks([path]) == 0
    assert path.read_text() == first
    stored = nbformat.reads(first, as_version=4)
    assert set(stored.metadata) == {"kernelspec", "language_info"}
    assert set(stored.cells[0].outputs[0].data) == {"text/plain"}  # a panel's still image stays as well
    assert [output.get("text") for output in stored.cells[1].outputs] == ["1\n2\n", None, "3\n"]
    assert not any("execution" in cell.metadata for cell in stored.cells)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import time; time.sleep(60)", "more than 2 seconds"),
        ("import os; os._exit(1)", "Its Python ended"),
        ("import sys; print('noise', file=sys.stderr)", "printed to stderr"),
    ],
)
def test_a_failing_cell_stops_the_run_and_leaves_what_was_stored(tmp_path: Path, source: str, said: str, capsys):
    bad, last = write(tmp_path / "02_bad.ipynb", "1", source, "2"), write(tmp_path / "03_last.ipynb", "1")
    before = bad.read_bytes()
    assert run.run_notebooks([bad, last], timeout=2) == 1
    printed = capsys.readouterr().out
    assert f"02_bad.ipynb, In [2] failed:\n\n    {source}\n" in printed and said in printed
    assert "\x1b" not in printed and "1 of 2 notebooks were not run" in printed
    assert bad.read_bytes() == before and not list(tmp_path.glob("*.part"))


def test_noise_is_refused_only_where_the_notebook_is_stored(tmp_path: Path):
    noisy = write(tmp_path / "01_noisy.ipynb", "import sys; print('noise', file=sys.stderr)")
    assert run.run_notebooks([noisy], tmp_path / "build") == 0


class InterruptedWhenFreed:
    """Presses Ctrl-C where Python drops every exception: in a finalizer."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("drops", [False, True], ids=["in code", "in a finalizer"])
@pytest.mark.parametrize(
    "moment", ["async_start_new_kernel", "async_start_new_kernel_client", "async_execute_cell", "process_message"]
)
def test_control_c_at_any_moment_ends_the_run_and_its_kernel(moment: str, drops: bool, tmp_path: Path, monkeypatch):
    managers, original = [], getattr(NotebookClient, moment)

    def interrupted(client: NotebookClient, *args: object, **options: object) -> object:
        monkeypatch.setattr(NotebookClient, moment, original)
        managers.append(client.km)
        freed = InterruptedWhenFreed() if drops else signal.raise_signal(signal.SIGINT)
        del freed
        gc.collect()
        return original(client, *args, **options)

    monkeypatch.setattr(NotebookClient, moment, interrupted)
    with pytest.raises(KeyboardInterrupt):
        run.execute(write(tmp_path / "01_slow.ipynb", "print('begun', flush=True); import time; time.sleep(60)"))
    assert not managers[0].has_kernel


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to another process")
def test_control_c_ends_the_command_and_its_kernel(tmp_path: Path):
    begun = tmp_path / "begun"
    write_id = f"import os, time, pathlib\npathlib.Path({str(begun)!r}).write_text(str(os.getpid()))"
    path = write(tmp_path / "01_slow.ipynb", write_id, "time.sleep(60)")
    process = subprocess.Popen([sys.executable, "-m", "stablediff_edu", "run", path], cwd=tmp_path)
    try:
        wait_until(lambda: begun.exists() and begun.read_text())
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    finally:
        process.kill()
    wait_until(lambda: not is_running(int(begun.read_text())))


def wait_until(condition, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ("name", "said"), [("nowhere", "There is no notebook"), ("01_torn.ipynb", "is not a notebook")]
)
def test_what_is_no_notebook_gets_one_sentence(name: str, said: str, tmp_path: Path, monkeypatch, capsys):
    (tmp_path / "01_torn.ipynb").write_text('{"cells": [')
    monkeypatch.chdir(tmp_path)
    assert main(["run", name]) == 2
    error = capsys.readouterr().err
    assert error.startswith("stablediff_edu: ") and said in error and error.count("\n") == 1
