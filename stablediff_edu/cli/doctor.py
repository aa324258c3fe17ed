"""``doctor``: say whether this machine can run the course, and for whatever is wrong the one line that fixes it.

It must answer where torch is missing or broken too, so everything beyond the standard library is imported where it
is asked about.
"""

import argparse
import importlib
import importlib.metadata
import os
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from packaging.requirements import Requirement  # lazy_loader needs it too

from stablediff_edu.data.download import data_dir, project_root

OK, WARN, FAIL = "ok", "note", "WRONG"
PYTHONS = (3, 11), (3, 14)  # from, and below
INSTALL = "python -m pip install -c constraints.txt"
INSTALL_ALL = f"{INSTALL} -e '.[lab,fish,hub]'"
OWN_KERNEL = "python -m ipykernel install --sys-prefix --name course; then choose the kernel course in the notebook"
UNTRIED = "the course is tested on CPUs and on a pretended accelerator"


@dataclass
class CheckResult:
    """One line of the table: what was checked, what was found, how that is judged, and the line that fixes it."""

    name: str
    found: str
    state: str = OK
    fix: str = ""


def run_checks() -> Iterator[CheckResult]:
    """Check this machine: one row for each requirement of the course."""
    supported = PYTHONS[0] <= sys.version_info < PYTHONS[1]
    fix = "" if supported else "make lab PYTHON=python3.12   (the course needs Python 3.11, 3.12 or 3.13)"
    yield CheckResult("Python", platform.python_version(), OK if supported else FAIL, fix)
    if problems := package_problems():
        yield CheckResult("packages", "; ".join(problems), FAIL, INSTALL_ALL)
    else:
        yield CheckResult("packages", "all there")
    for file in hiding_files():
        yield CheckResult("packages", f"{file} hides the module {file.stem}", FAIL, f"rename {file}")
    for name in ("numpy", "torch"):
        row = attempt(name, partial(_version, name), f"{INSTALL} --force-reinstall --no-deps {name}")
        yield row
        if row.state == FAIL:  # what follows imports it
            return
    yield attempt("device", _device, "unset STABLEDIFF_DEVICE")
    yield attempt("preset", _preset, "unset STABLEDIFF_PRESET")
    yield CheckResult("machine", _machine())
    yield from _data()
    if kernel := other_kernel():
        yield CheckResult("kernel", f"JupyterLab starts another Python, {kernel}", WARN, OWN_KERNEL)


def attempt(name: str, ask: Callable[[], str], fix: str) -> CheckResult:
    """Return a row with what ``ask`` returns, or with the first line of the reason why it fails."""
    try:
        return CheckResult(name, ask())
    except Exception as error:  # a broken package may raise anything while it is imported
        return CheckResult(name, (str(error).strip() or type(error).__name__).splitlines()[0], FAIL, fix)


def package_problems() -> list[str]:
    """Return the packages that are missing or do not fit, by the metadata of the course."""
    try:
        requirements = importlib.metadata.requires("stablediff_edu") or []
    except importlib.metadata.PackageNotFoundError:
        return ["the course itself is not installed"]
    problems = []
    for requirement in map(Requirement, requirements):
        name, marker = requirement.name, requirement.marker
        if marker and not any(marker.evaluate({"extra": extra}) for extra in ("", "lab", "fish", "hub")):
            continue
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            problems.append(f"{name} is missing")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            problems.append(f"{name} {version} is not {requirement.specifier}")
    return problems


def hiding_files() -> list[Path]:
    """Return files of the working folder, and of the notebooks', named as a module that Python would find there."""
    names = {"torch", "numpy", "PIL", "matplotlib", *sys.stdlib_module_names} - {"test", "this"}
    found = []
    for folder in dict.fromkeys((Path.cwd(), project_root() / "notebooks")):
        modules = [*folder.glob("*.py"), *(file.parent for file in folder.glob("*/__init__.py"))]
        found += sorted(path for path in modules if path.stem in names)
    return found


def other_kernel() -> str:
    """Return the Python of Jupyter's kernel "python3", if it belongs to another environment."""
    try:
        from jupyter_client.kernelspec import KernelSpecManager

        program = Path(KernelSpecManager().get_kernel_spec("python3").argv[0])
    except Exception:  # the row of the packages says what is missing
        return ""
    same = program.parent == Path() or program.parent.resolve() == Path(sys.executable).parent.resolve()
    return "" if same else str(program)


def _version(name: str) -> str:
    importlib.import_module(name)
    return importlib.metadata.version(name)


def _device() -> str:
    from stablediff_edu.config import pick_device

    device = pick_device()
    return f"{device}, {platform.machine()}" + ("" if device.type == "cpu" else f"; {UNTRIED}")


def _preset() -> str:
    from stablediff_edu.config import preset

    return preset()


def _machine() -> str:
    # in a container a process may use fewer cores than the machine has
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if not hasattr(os, "sysconf"):
        return f"{cores} cores"
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return f"{cores} cores, {gigabytes:.1f} GB of memory (4 GB or more are better)"


def _data() -> Iterator[CheckResult]:
    """One row for each real data set; the notebooks use synthetic data where there is none."""
    from stablediff_edu.data.digits.dataset import num_mnist_images
    from stablediff_edu.data.fish.dataset import num_images as num_fish
    from stablediff_edu.data.real_data import REAL_DATA, fetch_command, find_files
    from stablediff_edu.data.ships.dataset import num_images as num_ships

    units = {"fish": "photographs", "cifar10": "photographs of ships", "mnist": "digits", "text8": "file"}
    counts = {"fish": num_fish, "cifar10": num_ships, "mnist": num_mnist_images}
    for name in REAL_DATA:
        if count := counts[name]() if name in counts else len(find_files(name)):
            yield CheckResult(f"data: {name}", f"{count} {units[name]} in {data_dir(name)}")
        else:
            yield CheckResult(f"data: {name}", "not fetched, synthetic data is used", WARN, fetch_command(name))


def table(rows: list[CheckResult]) -> str:
    """Return the rows as text, below them the lines that fix what is wrong, and last the verdict."""
    width = max(len(row.name) for row in rows)
    lines = [f"{row.state:5}  {row.name:{width}}  {row.found}" for row in rows]
    fixes = [f"{row.state:5}  {row.name:{width}}  {row.fix}" for row in rows if row.fix]
    lines += ["", "What to do:", *fixes] if fixes else []
    wrong = sum(row.state == FAIL for row in rows)
    verdict = f"The course cannot run yet: {wrong} to fix." if wrong else "The course can run on this machine."
    return "\n".join([*lines, "", verdict])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Doctor takes no options."""


def run(arguments: argparse.Namespace) -> int:
    """Print the table, and return 0 if the course can run on this machine, 1 if not."""
    rows = list(run_checks())
    print(table(rows))
    return 1 if any(row.state == FAIL for row in rows) else 0
