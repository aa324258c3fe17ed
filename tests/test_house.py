"""The house agrees with itself: dependencies, lock and conda file, what is imported, the Makefile and the CI."""

import ast
import os
import re
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIREMENTS = {
    name: [Requirement(line) for line in lines if not line.startswith("stablediff_edu[")]
    for name, lines in {"course": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}.items()
}
DECLARED = {canonicalize_name(requirement.name): requirement for kind in REQUIREMENTS.values() for requirement in kind}
# Packages whose modules have other names.
MODULES = {"pil": "pillow"}

LOCK = [
    re.fullmatch(r"([\w.-]+)==([\w.+!-]+)(?: ; (.+))?", line).groups()
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if line and not line.startswith("#")
]


def locked(name: str, **environment: str) -> list[str]:
    """The locked versions of a package for one Python and system."""
    return [
        version
        for package, version, marker in LOCK
        if canonicalize_name(package) == name and (marker is None or Marker(marker).evaluate(environment))
    ]


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize("system", ["linux", "darwin", "win32"])
def test_the_lock_holds_one_allowed_version_of_each_package(python: str, system: str):
    for name, requirement in DECLARED.items():
        versions = locked(name, python_version=python, python_full_version=f"{python}.9", sys_platform=system)
        assert len(versions) == 1, f"{name} on Python {python}, {system}: {versions}"
        assert requirement.specifier.contains(versions[0]), f"{name} {versions[0]} against {requirement.specifier}"


def test_torch_and_torchvision_are_locked_together():
    assert (locked("torch"), locked("torchvision")) == (["2.13.0"], ["0.28.0"])


def test_the_lock_names_no_host_and_no_machine():
    text = (ROOT / "constraints.txt").read_text()
    assert not re.search(r"https?:|file:|--index|--find-links|(?<![\w.])/\w", text)


def test_conda_asks_for_the_same_packages_with_a_reason_each():
    lines = (ROOT / "environment.yml").read_text().splitlines()
    settings = {}
    for line in lines:
        found = re.fullmatch(r" +- ([a-z][\w-]*) ?([<>=!~][\d.,<>=]+)? +# (\w.+)", line)
        if found:
            settings[found[1]] = found[2] or ""
    assert (
        Requirement(f"python{settings.pop('python')}").specifier
        == Requirement(f"x{PROJECT['requires-python']}").specifier
    )
    assert settings.pop("pip") == ""
    assert {canonicalize_name(name): Requirement(name + prompt).specifier for name, prompt in settings.items()} == {
        name: requirement.specifier for name, requirement in DECLARED.items()
    }
    listed = [line.strip() for line in lines if line.startswith("  ") and not line.strip().startswith("#")]
    assert [line for line in listed if "#" not in line and line not in ("- conda-forge", "- pip:")] == []


def imported(folder: str) -> dict[str, Path]:
    """The packages that the Python files of a folder import, and one file that does."""
    found = {}
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0]: path for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found[node.module.partition(".")[0]] = path
    return found


COURSE = ["course", "lab", "fish", "hub"]
# What is imported although it comes with a declared package, which cannot do without it.
COMES_WITH = {
    "jupyter_client": "ipykernel",
    "packaging": "lazy_loader",
    "traitlets": "ipykernel",
    "requests": "kaggle",
    "kagglesdk": "kaggle",
}
COMES_WITH_TESTS = COMES_WITH | {"jupyter_core": "jupyterlab"}


@pytest.mark.parametrize(
    ("folder", "kinds", "besides"),
    [("stablediff_edu", COURSE, COMES_WITH), ("tests", [*COURSE, "test"], COMES_WITH_TESTS)],
)
def test_what_is_imported_is_declared(folder: str, kinds: list[str], besides: dict[str, str]):
    declared = {canonicalize_name(requirement.name) for kind in kinds for requirement in REQUIREMENTS[kind]}
    own = {"stablediff_edu", *(path.stem for path in (ROOT / "tests").rglob("*.py"))}
    for module, path in imported(folder).items():
        name = canonicalize_name(module)
        known = module in sys.stdlib_module_names or module in own or module in besides
        assert known or MODULES.get(name, name) in declared, f"{path.name} imports {module}, which is not declared"


def test_a_wheel_holds_every_file_of_the_package():
    package = ROOT / "stablediff_edu"
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"][
        "stablediff_edu"
    ]
    held = {path for pattern in ("**/*.py", *patterns) for path in package.glob(pattern)}
    assert {path for path in package.rglob("*.*") if path.is_file() and path.suffix != ".pyc"} <= held


@pytest.mark.parametrize("path", sorted((ROOT / "stablediff_edu").rglob("*.py")), ids=lambda path: path.stem)
def test_a_module_is_short(path: Path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 350


# folder -> what it may import of the package, besides `errors`. Arrows of the design: generating needs no training and
# no data, data know no networks, and neither figures nor panels train.
ARROWS = {
    "layers": "",
    "tokenizers": "",
    "metrics": "",
    "diffusion": "config",
    "models": "layers config",
    "data": "tokenizers",
    "io": "models tokenizers pipelines",  # of pipelines, the type of what is saved
    "pipelines": "layers models diffusion tokenizers io config",
    "training": "models diffusion io config",
    "tasks": "layers models diffusion tokenizers pipelines io data training metrics config",
    "plotting": "layers models diffusion pipelines data notebook",
    "notebook": "plotting training",  # of training, the type of a result
    "widgets": "layers models diffusion tokenizers pipelines data metrics plotting notebook config",
    "cli": "tokenizers pipelines io data training tasks metrics config",
}
EXCEPTIONS = {("widgets/ch07_clip_search.py", "tasks")}


def own_imports(path: Path) -> set[str]:
    """The folders and modules at the top of the package that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{name}" for name in names]
        found |= {name.split(".")[1] for name in names if name.startswith("stablediff_edu.")}
    return found


def test_every_folder_has_its_arrows():
    folders = {path.parent.name for path in (ROOT / "stablediff_edu").glob("*/*.py")}
    assert folders == set(ARROWS)


@pytest.mark.parametrize("folder", ARROWS)
def test_imports_follow_the_arrows(folder: str):
    allowed = {folder, "errors", *ARROWS[folder].split()}
    for path in (ROOT / "stablediff_edu" / folder).rglob("*.py"):
        name = path.relative_to(ROOT / "stablediff_edu").as_posix()
        wrong = {other for other in own_imports(path) - allowed if (name, other) not in EXCEPTIONS}
        assert not wrong, f"{name} imports {wrong}"
        if folder not in ("plotting", "notebook", "widgets"):
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"^ *(?:import|from) (?:matplotlib|ipywidgets)", text, re.M), f"{name} plots"


def test_the_ci_runs_the_tests():
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    assert script.read_text().rstrip().endswith("make test")
