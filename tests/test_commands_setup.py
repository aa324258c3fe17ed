"""The set-up runs once, is done again when something changed, and begins again where it was interrupted."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from stablediff_edu.cli import setup


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A project folder of its own, in which the set-up's commands are noted down in place of being run."""
    done: list[str] = []
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(setup, "ROOT", tmp_path)
    monkeypatch.setattr(setup, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(setup, "STAMP", tmp_path / ".venv/set-up.json")

    def run(words: list, **options: object) -> SimpleNamespace:
        words = [str(word) for word in words]
        if "capture_output" not in options:  # not the look at whether the .venv is whole
            done.append(" ".join(words[1:4]))
        return SimpleNamespace(returncode=0, stdout="True")

    monkeypatch.setattr(subprocess, "run", run)
    return done


def kinds(calls: list[str]) -> list[str]:
    names = {"-m venv --clear": "venv", "-m pip install": "pip"}
    found = [names.get(call, "kernel") for call in calls]
    calls.clear()
    return found


def test_a_second_call_does_nothing(calls: list[str]):
    assert setup.set_up()
    assert kinds(calls) == ["venv", "pip", "kernel"]
    assert not setup.set_up()
    assert calls == []


def test_tests_are_added_to_a_set_up_that_stands(calls: list[str]):
    setup.set_up()
    calls.clear()
    assert setup.set_up(test=True)
    assert kinds(calls) == ["pip", "kernel"]  # no new .venv, so torch stays
    assert not setup.set_up(test=True)
    assert not setup.set_up()


def test_other_dependencies_are_installed_into_the_same_venv_tests_included(calls: list[str], tmp_path: Path):
    setup.set_up(test=True)
    calls.clear()
    (tmp_path / "constraints.txt").write_text("numpy==2.4.6")
    assert setup.set_up()
    assert kinds(calls) == ["pip", "kernel"]
    assert json.loads(setup.STAMP.read_text())["test"] is True


@pytest.mark.parametrize("change", ["python", "folder"])
def test_another_python_or_place_begins_anew(calls: list[str], change: str):
    setup.set_up()
    calls.clear()
    setup.STAMP.write_text(json.dumps(json.loads(setup.STAMP.read_text()) | {change: "other"}))
    assert setup.set_up()
    assert kinds(calls) == ["venv", "pip", "kernel"]


def test_an_interrupted_set_up_begins_anew(calls: list[str], monkeypatch: pytest.MonkeyPatch):
    def interrupted(*words: object, error: str) -> None:
        raise KeyboardInterrupt

    setup.set_up()
    calls.clear()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(setup, "call", interrupted)
        setup.set_up(test=True)
    assert setup.set_up()
    assert kinds(calls) == ["venv", "pip", "kernel"]


def test_a_venv_that_lost_its_packages_begins_anew(calls: list[str], monkeypatch: pytest.MonkeyPatch):
    setup.set_up()
    calls.clear()
    run = subprocess.run
    broken = SimpleNamespace(returncode=1, stdout="")
    monkeypatch.setattr(subprocess, "run", lambda words, **o: broken if "capture_output" in o else run(words, **o))
    assert setup.set_up()
    assert kinds(calls) == ["venv", "pip", "kernel"]


@pytest.mark.parametrize("version", [(3, 10, 4), (3, 14, 0)])
def test_another_python_gets_one_sentence(
    calls: list[str], version: tuple, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setattr(sys, "version_info", version)
    assert setup.main() == 2
    answer = capsys.readouterr()
    assert answer.err.count("\n") == 1
    assert ".".join(map(str, version)) in answer.err
    assert calls == []


def test_pip_that_fails_leaves_no_stamp(
    calls: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setattr(subprocess, "run", lambda words, **options: SimpleNamespace(returncode=int("pip" in words)))
    assert setup.main() == 2
    assert "pip could not install" in capsys.readouterr().err
    assert not setup.STAMP.exists()
