"""The Makefile: its help, and the set-up of .venv, which runs once and again when something changed."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.skipif(os.name == "nt", reason="the Makefile is for systems with make and sh")


def make(*words: str, folder: Path = ROOT) -> subprocess.CompletedProcess:
    """Call make, free of what an outer make has told it."""
    settings = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    return subprocess.run(["make", *words], cwd=folder, capture_output=True, text=True, env=settings)


def test_make_alone_prints_the_help_which_names_the_commands():
    helped = make()
    assert helped.returncode == 0
    assert helped.stdout == make("help").stdout
    for target in ("lab", "run", "notebooks", "test", "data"):
        assert re.search(rf"^make {target} ", helped.stdout, re.M)


def test_make_knows_every_target():
    targets = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.M)[1].split()
    assert make("--dry-run", *targets).returncode == 0


def test_no_python_gets_one_sentence(project: Path):
    answer = make("setup", "PYTHON=", folder=project)
    assert answer.returncode == 2 and not (project / ".venv").exists()
    assert "3.11, 3.12 or 3.13" in answer.stderr and "Traceback" not in answer.stderr


FAKE = """#!/bin/sh
case "$*" in
    -c*) exec python3 "$@" ;;
    *venv*) mkdir -p .venv/bin; cp python .venv/bin/python; echo venv >> log ;;
    *pip*) test ! -e broken && echo "pip $*" | sed 's/ .*\\[/ /; s/\\]//' >> log ;;
esac
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the Makefile, and a Python that writes down what it is asked for."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "python").write_text(FAKE)
    (tmp_path / "python").chmod(0o755)
    return tmp_path


def set_up(project: Path, target: str = "setup") -> list[str]:
    """Set up, and return what was done: "venv" for a new .venv, "pip EXTRAS" for what was installed."""
    log = project / "log"
    log.write_text("")
    answer = make(target, "PYTHON=./python", folder=project)
    assert (answer.returncode == 0) != (project / "broken").exists(), answer.stderr
    return log.read_text().splitlines()


def test_the_set_up_runs_once_and_tests_are_added_to_it(project: Path):
    assert set_up(project) == ["venv", "pip lab,fish,hub"]
    assert set_up(project) == []
    assert set_up(project, "setup-test") == ["pip test"]  # no new .venv, so torch stays
    assert set_up(project, "setup-test") == set_up(project) == []


def test_other_dependencies_are_installed_into_the_same_venv(project: Path):
    set_up(project)
    os.utime(project / "constraints.txt", (2e9, 2e9))
    assert set_up(project) == ["pip lab,fish,hub"]


def test_a_set_up_that_failed_is_done_again(project: Path):
    (project / "broken").touch()
    assert set_up(project) == ["venv"]
    (project / "broken").unlink()
    assert set_up(project) == ["pip lab,fish,hub"]


def test_in_another_folder_it_begins_from_scratch(project: Path):
    set_up(project)
    moved = project.rename(project.with_name("moved"))
    assert set_up(moved) == ["venv", "pip lab,fish,hub"]
