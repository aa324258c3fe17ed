"""``doctor``: say whether this machine can run the course, and for whatever is wrong the one line that fixes it.

It must answer where torch is missing or broken too, so everything beyond the standard library is imported where it
is asked about. :func:`collect` looks at the machine, :func:`run_checks` judges what was found, :func:`table` prints it.
"""

import argparse
import importlib
import importlib.metadata
import os
import platform
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stablediff_edu.data.download import data_dir, project_root

OK, WARN, FAIL = "ok", "note", "WRONG"
INSTALL = "python -m pip install -c constraints.txt"
INSTALL_ALL = f"{INSTALL} -e ."
OWN_KERNEL = "python -m ipykernel install --sys-prefix --name course; then choose the kernel course in the notebook"

# The real data sets, as `fetch` calls them, and what the notebooks use while they are not there.
DATA_SETS = {
    "fish": "synthetic fish",
    "cifar10": "synthetic ships",
    "mnist": "synthetic digits",
    "text8": "synthetic sentences",
}
# The first major version with which sliders and buttons show in JupyterLab.
WIDGETS = {"ipywidgets": 8, "jupyterlab": 4, "ipykernel": 6}
UNTRIED = "the course is tested on CPUs and on a pretended accelerator"


@dataclass
class CheckResult:
    """One line of the table: what was looked at, what was found, how that is judged, and the line that mends it."""

    name: str
    found: str
    state: str = OK
    fix: str = ""


@dataclass
class Environment:
    """What was found on this machine."""

    python: tuple[int, int, int]
    versions: dict[str, str | None]  # every package that the course needs -> its version, None where it is missing
    errors: dict[str, str] = field(default_factory=dict)  # torch, torchvision, packages, device, preset -> why not
    device: str = ""
    preset: str = ""
    cores: int = 1
    gigabytes: float | None = None
    hiding: list[Path] = field(default_factory=list)  # files of the working folder that Python imports instead
    kernel: str = ""  # the Python that notebooks are run with, if it is another one
    data: dict[str, str] = field(default_factory=dict)  # a real data set -> what there is of it, "" if nothing


def run_checks(facts: Environment) -> list[CheckResult]:
    """Check the facts: one row for each requirement of the course."""
    return [
        _python(facts),
        _torch(facts),
        _torchvision(facts),
        _packages(facts),
        *(
            CheckResult("packages", f"{file} hides the module {file.stem}", FAIL, f"rename {file}")
            for file in facts.hiding
        ),
        _setting(facts, "device", facts.device, "unset STABLEDIFF_DEVICE"),
        CheckResult("cores", str(facts.cores)),
        _memory(facts),
        _setting(facts, "preset", facts.preset, "export STABLEDIFF_PRESET=quick"),
        *(_data(name, found) for name, found in facts.data.items()),
        _widgets(facts),
        *(
            [CheckResult("kernel", f"JupyterLab starts another Python, {facts.kernel}", WARN, OWN_KERNEL)]
            if facts.kernel
            else []
        ),
    ]


def table(rows: list[CheckResult]) -> str:
    """Return the rows as text, below them the lines that fix what is wrong, and last the verdict."""
    width = max(len(row.name) for row in rows)
    lines = [f"{row.state:5}  {row.name:{width}}  {row.found}" for row in rows]
    for title, states in (("To mend what is wrong:", (FAIL,)), ("What could be better:", (WARN,))):
        mends = [f"       {row.name:{width}}  {row.fix}" for row in rows if row.fix and row.state in states]
        lines += ["", title, *mends] if mends else []
    wrong = sum(row.state == FAIL for row in rows)
    verdict = f"The course cannot run yet: {wrong} to mend." if wrong else "The course can run on this machine."
    return "\n".join([*lines, "", verdict])


def versions_match(torch: str, torchvision: str) -> bool:
    """Whether the two versions belong together: torchvision 0.(n + 15) is built for torch 2.n."""
    first, second = (tuple(map(int, re.findall(r"\d+", version)[:2])) for version in (torch, torchvision))
    return first[0] == 2 and second == (0, first[1] + 15)


def _python(facts: Environment) -> CheckResult:
    version = ".".join(map(str, facts.python))
    if (3, 11) <= facts.python < (3, 14):
        return CheckResult("Python", version)
    fix = "make lab PYTHON=python3.12   (with Python 3.12 installed)"
    return CheckResult("Python", f"{version}; the course needs 3.11, 3.12 or 3.13", FAIL, fix)


def _torch(facts: Environment) -> CheckResult:
    version = facts.versions.get("torch")
    if version is None:
        return CheckResult("torch", "missing", FAIL, INSTALL_ALL)
    if "torch" in facts.errors:
        again = f"{INSTALL} --force-reinstall --no-deps torch"
        return CheckResult("torch", f"{version} cannot be imported: {facts.errors['torch']}", FAIL, again)
    return CheckResult("torch", version)


def _torchvision(facts: Environment) -> CheckResult:
    version, torch = facts.versions.get("torchvision"), facts.versions.get("torch")
    if version is None:
        return CheckResult("torchvision", "missing", FAIL, INSTALL_ALL)
    if torch is not None and not versions_match(torch, version):
        return CheckResult("torchvision", f"{version} does not fit torch {torch}", FAIL, f"{INSTALL} torch torchvision")
    if torch is None or "torch" in facts.errors:  # it cannot be tried; torch's own row says what to do
        return CheckResult("torchvision", version, WARN)
    if "torchvision" in facts.errors:
        again = f"{INSTALL} --force-reinstall --no-deps torchvision"
        return CheckResult("torchvision", f"{version} cannot be imported: {facts.errors['torchvision']}", FAIL, again)
    return CheckResult("torchvision", f"{version}, fits torch {torch}")


def _packages(facts: Environment) -> CheckResult:
    missing = [name for name, version in facts.versions.items() if version is None]
    if missing:
        return CheckResult("packages", f"missing: {', '.join(missing)}", FAIL, INSTALL_ALL)
    if "packages" in facts.errors:  # numpy, in practice: device.py imports nothing else
        again = f"{INSTALL} --force-reinstall --no-deps numpy"
        return CheckResult("packages", f"cannot be imported: {facts.errors['packages']}", FAIL, again)
    return CheckResult("packages", f"all {len(facts.versions)} there")


def _setting(facts: Environment, name: str, value: str, fix: str) -> CheckResult:
    if name in facts.errors:
        return CheckResult(name, facts.errors[name], FAIL, fix)
    return CheckResult(name, value) if value else CheckResult(name, "unknown without torch", WARN)


def _memory(facts: Environment) -> CheckResult:
    if facts.gigabytes is None:
        return CheckResult("memory", "unknown", WARN)
    if facts.gigabytes < 3.5:
        fix = "close other programs before the cells that train"
        return CheckResult("memory", f"{facts.gigabytes:.1f} GB; 4 GB or more are better", WARN, fix)
    return CheckResult("memory", f"{facts.gigabytes:.1f} GB")


def _data(name: str, found: str) -> CheckResult:
    if found:
        return CheckResult(f"data: {name}", found)
    fix = f"python -m stablediff_edu fetch {name}"
    return CheckResult(f"data: {name}", f"not fetched, {DATA_SETS[name]} are used instead", WARN, fix)


def _widgets(facts: Environment) -> CheckResult:
    versions = {name: facts.versions.get(name) or "missing" for name in WIDGETS}
    old = [name for name, least in WIDGETS.items() if int(re.sub(r"\D.*", "", versions[name]) or 0) < least]
    found = ", ".join(f"{name} {version}" for name, version in versions.items())
    if old:
        return CheckResult("widgets", f"will not show: {found}", FAIL, f"{INSTALL} {' '.join(old)}")
    return CheckResult("widgets", f"will show: {found}")


def collect() -> Environment:
    """Look at this machine; nothing that is missing or broken on it stops this."""
    facts = Environment(sys.version_info[:3], _versions(), cores=_cores(), gigabytes=_gigabytes())
    facts.hiding, facts.kernel = _hiding(facts.versions), _try(facts, "kernel", _other_kernel) or ""
    torch = _try(facts, "torch", lambda: importlib.import_module("torch"))
    device = torch and _try(facts, "packages", lambda: importlib.import_module("stablediff_edu.config"))
    if device:
        _try(facts, "torchvision", lambda: importlib.import_module("stablediff_edu.vision").import_torchvision())
        facts.device = _try(facts, "device", lambda: _describe(torch, device.pick_device())) or ""
        facts.preset = _try(facts, "preset", device.preset) or ""
        counts = {"fish": _count_fish, "cifar10": _count_ships, "mnist": _count_digits, "text8": _count_text}
        facts.data = {name: _try(facts, f"data: {name}", count) or "" for name, count in counts.items()}
    return facts


def _try(facts: Environment, name: str, ask: Callable[[], Any]) -> Any:
    """Return what ``ask`` returns; if it fails, note the first line of the reason under ``name`` and return None."""
    try:
        return ask()
    except Exception as error:  # a broken package may raise anything while it is imported
        facts.errors[name] = (str(error).strip() or type(error).__name__).splitlines()[0]
        return None


def _versions() -> dict[str, str | None]:
    """Return the installed version of each package that pyproject.toml asks for."""
    try:
        lines = importlib.metadata.requires("stablediff_edu") or []
    except importlib.metadata.PackageNotFoundError:  # called from the folder, without having been installed
        lines = ["torch", "torchvision", *WIDGETS]
    names = [re.split(r"[^\w.-]", line)[0] for line in lines if '"test"' not in line]
    return {name: _version(name) for name in names}


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _hiding(packages: Iterable[str]) -> list[Path]:
    """Return files of the working folder, and of the notebooks', named as a module that Python would look up there."""
    names = {*packages, "PIL", *sys.stdlib_module_names} - {"test", "this"}
    found = []
    for folder in dict.fromkeys((Path.cwd(), project_root() / "notebooks")):
        inside = [*folder.glob("*.py"), *(file.parent for file in folder.glob("*/__init__.py"))]
        found += sorted(path for path in inside if path.stem in names)
    return found


def _other_kernel() -> str:
    """Return the Python of Jupyter's kernel "python3", if it belongs to another environment."""
    from jupyter_client.kernelspec import KernelSpecManager

    program = Path(KernelSpecManager().get_kernel_spec("python3").argv[0])
    same = program.parent == Path() or program.parent.resolve() == Path(sys.executable).parent.resolve()
    return "" if same else str(program)


def _count_fish() -> str:
    from stablediff_edu.data.fish.dataset import num_images  # it imports torch

    count = num_images()
    return f"{count} photographs in {data_dir('fish')}" if count else ""


def _count_ships() -> str:
    from stablediff_edu.data.ships.dataset import num_images

    count = num_images()
    return f"{count} photographs of ships in {data_dir('cifar10')}" if count else ""


def _count_digits() -> str:
    from stablediff_edu.data.digits.dataset import num_mnist_images

    count = num_mnist_images()
    return f"{count} scanned digits to learn from in {data_dir('mnist')}" if count else ""


def _count_text() -> str:
    from stablediff_edu.data.real_data import find_files

    files = find_files("text8")
    return f"17 million words in {files['text8']}" if files else ""


def _cores() -> int:
    """Count the cores that this process may use, in a container often fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _gigabytes() -> float | None:
    """Return this machine's memory in gigabytes (10^9 bytes), or None where Python cannot tell (Windows)."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    except (AttributeError, ValueError, OSError):
        return None


def _describe(torch: Any, device: Any) -> str:
    if device.type == "cuda":
        metadata = torch.cuda.get_device_properties(device)
        return f"{device}, {metadata.name}, {metadata.total_memory / 1e9:.0f} GB; {UNTRIED}"
    return f"{device}, {platform.machine()}" + (f"; {UNTRIED}" if device.type != "cpu" else "")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Doctor takes no options."""


def run(arguments: argparse.Namespace) -> int:
    """Print the table, and return 0 if the course can run on this machine, 1 if not."""
    rows = run_checks(collect())
    print(table(rows))
    return 1 if any(row.state == FAIL for row in rows) else 0
