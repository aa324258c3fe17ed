"""``doctor``: what it says of machines that are well, and of each that is not."""

import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stablediff_edu.cli import doctor
from stablediff_edu.cli.doctor import FAIL, run_checks, table


def wrong() -> dict[str, str]:
    """The rows that stop the course, with the line that fixes each."""
    return {row.name: row.fix for row in run_checks() if row.state == FAIL}


def test_this_machine_can_run_the_course():
    result = subprocess.run([sys.executable, "-m", "stablediff_edu", "doctor"], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
    assert result.stdout.endswith("The course can run on this machine.\n")
    for said in (
        "Python",
        importlib.metadata.version("torch"),
        "cpu",
        "quick",
        "GB of memory",
        "synthetic data is used",
    ):
        assert said in result.stdout
    assert "python -m stablediff_edu fetch cifar10" in result.stdout


def with_versions(**versions: str | None) -> Callable:
    """Return a change: these packages have these versions, or are missing."""

    def version(name: str, real: Callable = importlib.metadata.version) -> str:
        if name in versions and versions[name] is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions.get(name) or real(name)

    return lambda patch: patch.setattr(importlib.metadata, "version", version)


def broken(module: str) -> Callable:
    return lambda patch: patch.setitem(sys.modules, module, None)


@pytest.mark.parametrize(
    ("change", "row", "fix"),
    [
        (lambda patch: patch.setattr(doctor, "PYTHONS", ((3, 14), (3, 15))), "Python", "make lab PYTHON="),
        (with_versions(jupyterlab=None), "packages", "install -c constraints.txt -e"),
        (with_versions(ipywidgets="7.8.5"), "packages", "install -c constraints.txt -e"),
        (with_versions(torch="2.8.0+cpu"), "packages", "install -c constraints.txt -e"),
        (broken("torch"), "torch", "--force-reinstall --no-deps torch"),
        (broken("numpy"), "numpy", "--force-reinstall --no-deps numpy"),
        (lambda patch: patch.setenv("STABLEDIFF_DEVICE", "tpu"), "device", "unset STABLEDIFF_DEVICE"),
        (lambda patch: patch.setenv("STABLEDIFF_PRESET", "huge"), "preset", "unset STABLEDIFF_PRESET"),
    ],
)
def test_each_fault_has_one_line_that_fixes_it(change: Callable, row: str, fix: str, monkeypatch):
    change(monkeypatch)
    rows = list(run_checks())
    (fault,) = [row for row in rows if row.state == FAIL]
    assert fault.name == row and fix in fault.fix and "\n" not in fault.found + fault.fix
    assert "The course cannot run yet: 1 to fix." in table(rows)


@pytest.mark.parametrize("missing", ["torch", "numpy"])
def test_it_answers_where_a_package_cannot_be_imported(missing: str):
    code = (
        f"import sys; sys.modules[{missing!r}] = None; from stablediff_edu import __main__ as it; sys.exit(it.main())"
    )
    result = subprocess.run([sys.executable, "-c", code, "doctor"], capture_output=True, text=True)
    assert result.returncode == 1 and result.stderr == ""
    assert "The course cannot run yet: 1 to fix." in result.stdout


def test_files_that_hide_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("torch.py", "random.py", "PIL/__init__.py", "numpy/notes.txt", "mine.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("raise SystemExit('not me')")
    monkeypatch.chdir(tmp_path)
    assert [file.name for file in doctor.hiding_files()] == ["PIL", "random.py", "torch.py"]
    result = subprocess.run([sys.executable, "-m", "stablediff_edu", "doctor"], capture_output=True, text=True)
    assert result.returncode == 1 and "random.py hides the module random" in result.stdout, result.stderr


@pytest.mark.parametrize(
    ("program", "named"), [("/elsewhere/bin/python3", True), (sys.executable, False), ("python", False)]
)
def test_a_kernel_of_another_python_is_named(tmp_path: Path, monkeypatch, program: str, named: bool):
    spec = tmp_path / "kernels/python3/kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text(json.dumps({"argv": [program, "-m", "x"], "display_name": "x", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    assert doctor.other_kernel() == (program if named else "")
    assert wrong() == {}


def test_it_finds_real_data(real_data: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STABLEDIFF_DATA", str(real_data))
    found = {row.name: row.found for row in run_checks()}
    assert found["data: fish"] == f"9 photographs in {real_data / 'fish'}"
    assert found["data: cifar10"] == f"5000 photographs of ships in {real_data / 'cifar10'}"
