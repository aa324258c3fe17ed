"""``run``: notebooks that work, fail, hang, and lose their Python; and what is left on disk in each case."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from stablediff_edu.__main__ import main
from stablediff_edu.cli import run
from stablediff_edu.errors import UserError


def write(path: Path, *sources: str) -> Path:
    cells = [nbformat.v4.new_code_cell(source, id=f"cell-{number}") for number, source in enumerate(sources)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write(
        tmp_path / "01_good.ipynb",
        "import ipywidgets, os, sys\nprint(os.environ.get('STABLEDIFF_PRESET'))\nprint(sys.executable)",
        "ipywidgets.VBox([ipywidgets.IntSlider(value=3), ipywidgets.Output()])",
    )


def test_a_notebook_that_works(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setenv("STABLEDIFF_PRESET", "full")
    # a kernel of the same name elsewhere must not be taken for ours
    spec = tmp_path / "jupyter/kernels/python3"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text(json.dumps({"argv": ["false"], "display_name": "other", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    before = good.read_bytes()

    assert main(["run", str(good), "--out", str(tmp_path / "build")]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line.endswith(" ok")] == ["01_good", "01_good"]  # progress, and table
    executed = nbformat.read(tmp_path / "build/01_good.ipynb", as_version=4)
    assert [cell.execution_count for cell in executed.cells] == [1, 2]
    assert executed.cells[0].outputs[0].text.split() == ["full", sys.executable]
    assert good.read_bytes() == before


def test_storing_twice_gives_the_same_file(tmp_path: Path):
    path = write(
        tmp_path / "01_good.ipynb", "import ipywidgets as w", "w.VBox([w.IntSlider(value=3), w.Output()])", "1 + 1"
    )
    assert run.run_notebooks([path]) == 0
    first = path.read_text()
    assert run.run_notebooks([path]) == 0
    assert path.read_text() == first
    stored = nbformat.reads(first, as_version=4)
    assert set(stored.metadata) == {"kernelspec", "language_info"}
    assert set(stored.cells[1].outputs[0].data) == {"text/plain"}  # a panel's still image stays as well
    assert all("execution" not in cell.metadata for cell in stored.cells)


def test_a_failing_cell_stops_the_run_and_leaves_what_was_stored(good: Path, tmp_path: Path, capsys):
    bad = write(tmp_path / "02_bad.ipynb", "def half(x):\n    return x / 0", "half(1)", "print('never')")
    last = write(tmp_path / "03_last.ipynb", "1")
    before = bad.read_bytes()
    assert run.run_notebooks([bad, last]) == 1
    printed = capsys.readouterr().out
    assert "02_bad.ipynb, In [2] failed:\n\n    half(1)\n" in printed
    assert "ZeroDivisionError: division by zero" in printed
    assert "\x1b" not in printed
    assert printed.splitlines()[-2].endswith("FAILED")
    assert printed.splitlines()[-1].split() == ["03_last", "–", "not", "run"]
    assert bad.read_bytes() == before
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import time; time.sleep(60)", "more than 2 seconds"),
        ("import os; os._exit(1)", "Its Python ended"),
        ("import sys; print('noise', file=sys.stderr)", "printed to stderr"),
    ],
)
def test_a_cell_that_hangs_dies_or_makes_noise(tmp_path: Path, source: str, said: str):
    with pytest.raises(run.CellError, match=said) as caught:
        run.execute(write(tmp_path / "01_odd.ipynb", source), timeout=2, strict=True)
    assert source in str(caught.value)


def test_noise_is_refused_only_where_the_notebook_is_stored(tmp_path: Path):
    noisy = write(tmp_path / "01_noisy.ipynb", "import sys; print('noise', file=sys.stderr)")
    assert run.run_notebooks([noisy], tmp_path / "build") == 0


def test_outputs_keep_their_order(tmp_path: Path):
    source = "from IPython.display import Markdown, display\nprint(1); print(2)\ndisplay(Markdown('a'))\nprint(3)"
    outputs = run.execute(write(tmp_path / "01_order.ipynb", source)).cells[0].outputs
    assert [output.get("text") for output in outputs] == ["1\n2\n", None, "3\n"]


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to another process")
def test_control_c_ends_it_and_its_kernel(tmp_path: Path):
    begun = tmp_path / "begun"
    path = write(
        tmp_path / "01_slow.ipynb",
        f"import os, time, pathlib\npathlib.Path({str(begun)!r}).write_text(str(os.getpid()))",
        "time.sleep(60)",
    )
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


def test_names_that_mean_no_notebook():
    with pytest.raises(UserError, match="no notebook 'nowhere'"):
        run.select_notebooks(["nowhere"])


def test_a_file_that_is_no_notebook(tmp_path: Path, capsys):
    (tmp_path / "01_torn.ipynb").write_text('{"cells": [')
    assert main(["run", str(tmp_path / "01_torn.ipynb")]) == 2
    assert capsys.readouterr().err.startswith("stablediff_edu: 01_torn.ipynb is not a notebook")
