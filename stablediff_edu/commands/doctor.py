"""``doctor``: say whether this machine can run the course, and for whatever is wrong the one line that mends it.

It must answer where torch is missing or broken too, so everything beyond the standard library is imported where it
is asked about. :func:`gather` looks at the machine, :func:`examine` judges what was found, :func:`table` prints it.
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

from stablediff_edu.datasets.download import data_folder, project_root

GOOD, FAIR, BAD = "ok", "note", "WRONG"
INSTALL = "python -m pip install -c constraints.txt"
INSTALL_ALL = f"{INSTALL} -e ."
OWN_KERNEL = "python -m ipykernel install --sys-prefix --name course; then choose the kernel course in the notebook"

# The real data sets, as `fetch` calls them, and what the notebooks use while they are not there.
DATA_SETS = {"fish": "drawn fish", "cifar10": "drawn ships", "mnist": "drawn digits", "text8": "drawn sentences"}
# The first major version with which sliders and buttons show in JupyterLab.
WIDGETS = {"ipywidgets": 8, "jupyterlab": 4, "ipykernel": 6}
UNTRIED = "the course is tested on CPUs and on a pretended accelerator"


@dataclass
class Row:
    """One line of the table: what was looked at, what was found, how that is judged, and the line that mends it."""

    name: str
    found: str
    state: str = GOOD
    mend: str = ""


@dataclass
class Facts:
    """What was found on this machine."""

    python: tuple[int, int, int]
    versions: dict[str, str | None]  # every package that the course needs -> its version, None where it is missing
    errors: dict[str, str] = field(default_factory=dict)  # torch, torchvision, packages, device, budget -> why not
    device: str = ""
    budget: str = ""
    cores: int = 1
    gigabytes: float | None = None
    hiding: list[Path] = field(default_factory=list)  # files of the working folder that Python imports instead
    kernel: str = ""  # the Python that notebooks are run with, if it is another one
    data: dict[str, str] = field(default_factory=dict)  # a real data set -> what there is of it, "" if nothing


def examine(facts: Facts) -> list[Row]:
    """Judge the facts: one row for each thing that the course stands on."""
    return [
        _python(facts),
        _torch(facts),
        _torchvision(facts),
        _packages(facts),
        *(Row("packages", f"{file} hides the module {file.stem}", BAD, f"rename {file}") for file in facts.hiding),
        _setting(facts, "device", facts.device, "unset STABLEDIFF_DEVICE"),
        Row("cores", str(facts.cores)),
        _memory(facts),
        _setting(facts, "budget", facts.budget, "export STABLEDIFF_BUDGET=quick"),
        *(_data(name, found) for name, found in facts.data.items()),
        _widgets(facts),
        *(
            [Row("kernel", f"JupyterLab starts another Python, {facts.kernel}", FAIR, OWN_KERNEL)]
            if facts.kernel
            else []
        ),
    ]


def table(rows: list[Row]) -> str:
    """Return the rows as text, below them the lines that mend what is wrong, and last the verdict."""
    width = max(len(row.name) for row in rows)
    lines = [f"{row.state:5}  {row.name:{width}}  {row.found}" for row in rows]
    for title, states in (("To mend what is wrong:", (BAD,)), ("What could be better:", (FAIR,))):
        mends = [f"       {row.name:{width}}  {row.mend}" for row in rows if row.mend and row.state in states]
        lines += ["", title, *mends] if mends else []
    wrong = sum(row.state == BAD for row in rows)
    verdict = f"The course cannot run yet: {wrong} to mend." if wrong else "The course can run on this machine."
    return "\n".join([*lines, "", verdict])


def fits(torch: str, torchvision: str) -> bool:
    """Whether the two versions belong together: torchvision 0.(n + 15) is built for torch 2.n."""
    first, second = (tuple(map(int, re.findall(r"\d+", version)[:2])) for version in (torch, torchvision))
    return first[0] == 2 and second == (0, first[1] + 15)


def _python(facts: Facts) -> Row:
    version = ".".join(map(str, facts.python))
    if (3, 11) <= facts.python < (3, 14):
        return Row("Python", version)
    mend = "make lab PYTHON=python3.12   (with Python 3.12 installed)"
    return Row("Python", f"{version}; the course needs 3.11, 3.12 or 3.13", BAD, mend)


def _torch(facts: Facts) -> Row:
    version = facts.versions.get("torch")
    if version is None:
        return Row("torch", "missing", BAD, INSTALL_ALL)
    if "torch" in facts.errors:
        again = f"{INSTALL} --force-reinstall --no-deps torch"
        return Row("torch", f"{version} cannot be imported: {facts.errors['torch']}", BAD, again)
    return Row("torch", version)


def _torchvision(facts: Facts) -> Row:
    version, torch = facts.versions.get("torchvision"), facts.versions.get("torch")
    if version is None:
        return Row("torchvision", "missing", BAD, INSTALL_ALL)
    if torch is not None and not fits(torch, version):
        return Row("torchvision", f"{version} does not fit torch {torch}", BAD, f"{INSTALL} torch torchvision")
    if torch is None or "torch" in facts.errors:  # it cannot be tried; torch's own row says what to do
        return Row("torchvision", version, FAIR)
    if "torchvision" in facts.errors:
        again = f"{INSTALL} --force-reinstall --no-deps torchvision"
        return Row("torchvision", f"{version} cannot be imported: {facts.errors['torchvision']}", BAD, again)
    return Row("torchvision", f"{version}, fits torch {torch}")


def _packages(facts: Facts) -> Row:
    missing = [name for name, version in facts.versions.items() if version is None]
    if missing:
        return Row("packages", f"missing: {', '.join(missing)}", BAD, INSTALL_ALL)
    if "packages" in facts.errors:  # numpy, in practice: device.py imports nothing else
        again = f"{INSTALL} --force-reinstall --no-deps numpy"
        return Row("packages", f"cannot be imported: {facts.errors['packages']}", BAD, again)
    return Row("packages", f"all {len(facts.versions)} there")


def _setting(facts: Facts, name: str, value: str, mend: str) -> Row:
    if name in facts.errors:
        return Row(name, facts.errors[name], BAD, mend)
    return Row(name, value) if value else Row(name, "unknown without torch", FAIR)


def _memory(facts: Facts) -> Row:
    if facts.gigabytes is None:
        return Row("memory", "unknown", FAIR)
    if facts.gigabytes < 3.5:
        mend = "close other programs before the cells that train"
        return Row("memory", f"{facts.gigabytes:.1f} GB; 4 GB or more are better", FAIR, mend)
    return Row("memory", f"{facts.gigabytes:.1f} GB")


def _data(name: str, found: str) -> Row:
    if found:
        return Row(f"data: {name}", found)
    mend = f"python -m stablediff_edu fetch {name}"
    return Row(f"data: {name}", f"not fetched, {DATA_SETS[name]} are used instead", FAIR, mend)


def _widgets(facts: Facts) -> Row:
    versions = {name: facts.versions.get(name) or "missing" for name in WIDGETS}
    old = [name for name, least in WIDGETS.items() if int(re.sub(r"\D.*", "", versions[name]) or 0) < least]
    found = ", ".join(f"{name} {version}" for name, version in versions.items())
    if old:
        return Row("widgets", f"will not show: {found}", BAD, f"{INSTALL} {' '.join(old)}")
    return Row("widgets", f"will show: {found}")


def gather() -> Facts:
    """Look at this machine; nothing that is missing or broken on it stops this."""
    facts = Facts(sys.version_info[:3], _versions(), cores=_cores(), gigabytes=_gigabytes())
    facts.hiding, facts.kernel = _hiding(facts.versions), _try(facts, "kernel", _other_kernel) or ""
    torch = _try(facts, "torch", lambda: importlib.import_module("torch"))
    device = torch and _try(facts, "packages", lambda: importlib.import_module("stablediff_edu.device"))
    if device:
        _try(facts, "torchvision", lambda: importlib.import_module("stablediff_edu.vision").import_torchvision())
        facts.device = _try(facts, "device", lambda: _describe(torch, device.pick_device())) or ""
        facts.budget = _try(facts, "budget", device.budget) or ""
        counts = {"fish": _count_fish, "cifar10": _count_ships, "mnist": _count_digits, "text8": _count_text}
        facts.data = {name: _try(facts, f"data: {name}", count) or "" for name, count in counts.items()}
    return facts


def _try(facts: Facts, name: str, ask: Callable[[], Any]) -> Any:
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
    from stablediff_edu.datasets.fish import count_photographs  # it imports torch

    count = count_photographs()
    return f"{count} photographs in {data_folder('fish')}" if count else ""


def _count_ships() -> str:
    from stablediff_edu.datasets.ships import count_photographs

    count = count_photographs()
    return f"{count} photographs of ships in {data_folder('cifar10')}" if count else ""


def _count_digits() -> str:
    from stablediff_edu.datasets.digits import count_mnist

    count = count_mnist()
    return f"{count} scanned digits to learn from in {data_folder('mnist')}" if count else ""


def _count_text() -> str:
    from stablediff_edu.datasets.text8 import text_file

    return f"17 million words in {text_file()}" if text_file().is_file() else ""


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
        card = torch.cuda.get_device_properties(device)
        return f"{device}, {card.name}, {card.total_memory / 1e9:.0f} GB; {UNTRIED}"
    return f"{device}, {platform.machine()}" + (f"; {UNTRIED}" if device.type != "cpu" else "")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Doctor takes no options."""


def run(arguments: argparse.Namespace) -> int:
    """Print the table, and return 0 if the course can run on this machine, 1 if not."""
    rows = examine(gather())
    print(table(rows))
    return 1 if any(row.state == BAD for row in rows) else 0
