"""``doctor``: what it says of machines that are well, and of each that is not."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from stablediff_edu.cli import doctor
from stablediff_edu.cli.doctor import FAIL, Environment, run_checks, table, versions_match
from stablediff_edu.cli.fetch import REAL_DATA

WELL = Environment(
    python=(3, 12, 4),
    versions={"torch": "2.13.0+cpu", "torchvision": "0.28.0", "numpy": "2.4.6"}
    | {"ipywidgets": "8.1.9", "jupyterlab": "4.6.6", "ipykernel": "7.4.0"},
    device="cpu, x86_64",
    preset="quick",
    cores=2,
    gigabytes=16.0,
    data={"fish": "9000 photographs in data/fish", "cifar10": "5000 photographs of ships in data/cifar10"},
)


def with_versions(**versions: str | None) -> Environment:
    return replace(WELL, versions=WELL.versions | versions)


def wrong(facts: Environment) -> dict[str, str]:
    """The rows that stop the course, with the line that mends each."""
    return {row.name: row.fix for row in run_checks(facts) if row.state == FAIL}


def test_a_machine_that_is_well():
    assert wrong(WELL) == {}
    text = table(run_checks(WELL))
    assert "The course can run on this machine." in text
    for said in (
        "3.12.4",
        "2.13.0+cpu",
        "fits torch",
        "cpu, x86_64",
        "16.0 GB",
        "quick",
        "data/fish",
        "ipywidgets 8.1.9",
    ):
        assert said in text


@pytest.mark.parametrize(
    ("facts", "row", "fix"),
    [
        (replace(WELL, python=(3, 10, 9)), "Python", "make lab PYTHON="),
        (replace(WELL, python=(3, 14, 0)), "Python", "make lab PYTHON="),
        (with_versions(torch=None), "torch", "install -c constraints.txt"),
        (replace(WELL, errors={"torch": "libc10.so is missing"}), "torch", "--force-reinstall --no-deps torch"),
        (with_versions(torchvision=None), "torchvision", "install -c constraints.txt"),
        (with_versions(torchvision="0.27.1"), "torchvision", "install -c constraints.txt torch torchvision"),
        (replace(WELL, errors={"torchvision": "no nms"}), "torchvision", "--force-reinstall --no-deps torchvision"),
        (with_versions(numpy=None), "packages", "install -c constraints.txt"),
        (replace(WELL, errors={"packages": "numpy is broken"}), "packages", "--force-reinstall --no-deps numpy"),
        (replace(WELL, errors={"device": "no cuda here"}), "device", "unset STABLEDIFF_DEVICE"),
        (replace(WELL, errors={"preset": "not a preset"}), "preset", "export STABLEDIFF_PRESET=quick"),
        (with_versions(ipywidgets="7.8.5"), "widgets", "constraints.txt ipywidgets"),
        (with_versions(jupyterlab="3.6.0"), "widgets", "constraints.txt jupyterlab"),
    ],
)
def test_each_fault_has_one_line_that_mends_it(facts: Environment, row: str, fix: str):
    found = wrong(facts)
    assert fix in found[row]
    assert "\n" not in found[row]
    assert "cannot run yet" in table(run_checks(facts))


def test_a_broken_torch_is_not_blamed_on_torchvision():
    assert list(wrong(replace(WELL, errors={"torch": "broken"}, device="", preset=""))) == ["torch"]


def test_files_that_hide_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("torch.py", "random.py", "PIL/__init__.py", "numpy/notes.txt", "mine.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    monkeypatch.chdir(tmp_path)
    hiding = doctor._hiding(WELL.versions)
    assert [file.name for file in hiding] == ["PIL", "random.py", "torch.py"]
    assert wrong(replace(WELL, hiding=hiding[-1:])) == {"packages": f"rename {hiding[-1]}"}
    (tmp_path / "random.py").write_text("raise SystemExit('not me')")
    result = subprocess.run([sys.executable, "-m", "stablediff_edu", "doctor"], capture_output=True, text=True)
    assert result.returncode == 1 and "random.py hides the module random" in result.stdout, result.stderr


@pytest.mark.parametrize(
    ("program", "named"), [("/elsewhere/bin/python3", True), (sys.executable, False), ("python", False)]
)
def test_a_kernel_of_another_python_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, named: bool
):
    spec = tmp_path / "kernels/python3/kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text(
        json.dumps({"argv": [program, "-m", "ipykernel_launcher"], "display_name": "x", "language": "python"})
    )
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    kernel = doctor._other_kernel()
    assert kernel == (program if named else "")
    assert wrong(replace(WELL, kernel=kernel)) == {}
    assert ("ipykernel install" in table(run_checks(replace(WELL, kernel=kernel)))) == named


@pytest.mark.parametrize(
    "facts", [replace(WELL, gigabytes=2.0), replace(WELL, gigabytes=None), replace(WELL, data={"fish": ""})]
)
def test_little_memory_and_drawn_data_do_not_stop_the_course(facts: Environment):
    assert wrong(facts) == {}


def test_data_that_is_not_there_names_the_command():
    text = table(run_checks(replace(WELL, data={"fish": ""})))
    assert "synthetic fish" in text
    assert "python -m stablediff_edu fetch fish" in text
    text = table(run_checks(replace(WELL, data={"cifar10": ""})))
    assert "synthetic ships" in text
    assert "python -m stablediff_edu fetch cifar10" in text


def test_every_data_set_that_can_be_fetched_is_looked_for():
    assert set(doctor.collect().data) == set(doctor.DATA_SETS) == set(REAL_DATA)


def test_versions_that_fit():
    assert versions_match("2.13.0+cpu", "0.28.0")
    assert versions_match("2.13.0+cpu", "0.28.0+cpu")
    assert versions_match("2.9.1", "0.24.0")
    assert not versions_match("2.13.0", "0.27.0")
    assert not versions_match("2.12.0", "0.28.0")


def test_it_finds_real_data(real_data: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STABLEDIFF_DATA", str(real_data))
    found = doctor.collect().data
    assert found["fish"] == f"9 photographs in {real_data / 'fish'}"
    assert found["cifar10"] == f"5000 photographs of ships in {real_data / 'cifar10'}"


def test_this_machine_can_run_the_course():
    result = subprocess.run([sys.executable, "-m", "stablediff_edu", "doctor"], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
    assert result.stdout.endswith("The course can run on this machine.\n")


@pytest.mark.parametrize("missing", ["torch", "torchvision", "numpy"])
def test_it_answers_where_a_package_cannot_be_imported(missing: str):
    code = (
        f"import sys; sys.modules[{missing!r}] = None; from stablediff_edu import __main__ as it; sys.exit(it.main())"
    )
    result = subprocess.run([sys.executable, "-c", code, "doctor"], capture_output=True, text=True)
    assert result.returncode == 1
    assert "The course cannot run yet: 1 to mend." in result.stdout
    assert "Traceback" not in result.stderr
