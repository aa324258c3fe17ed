"""README, notebooks, docstrings and configuration name only what exists; the README shows the notebooks' figures."""

import ast
import json
import re
from pathlib import Path

import pytest

import stablediff_edu as sd
from stablediff_edu.__main__ import COMMANDS, main
from stablediff_edu.cli.readme_images import FIGURES, extract_figure, image_path, update_image

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
MODULES = sorted((ROOT / "stablediff_edu").rglob("*.py*"))
PAGES = ["README.md", "CONTRIBUTING.md", "data/README.md", "notebooks/README.md", "Makefile", "environment.yml"]
PAGES += [".ci/run", ".github/workflows/ci.yml", ".pre-commit-config.yaml"]
FILES = [*NOTEBOOKS, *(path for path in MODULES if path.suffix in (".py", ".pyi"))]
FILES += [ROOT / page for page in PAGES if (ROOT / page).exists()]
TOP = ["stablediff_edu", "tests", "notebooks", ".ci", ".github"]
FOLDERS = sorted(
    {path.relative_to(ROOT).parts[1] for path in MODULES if path.parent.name != "stablediff_edu"} - {"data"}
)
PATH = re.compile(rf"(?<![\w./-])(?:(?:{'|'.join(map(re.escape, TOP + FOLDERS))})/)+[\w./-]*(?:/|\.\w+)(?![\w*])")
FILE_NAMES = {path.name for folder in [*TOP, "."] for path in (ROOT / folder).glob("*" if folder == "." else "**/*")}
ROLE = re.compile(r":(?:func|class|meth|mod|attr):`~?([\w.]+)`")


def text_of(path: Path) -> str:
    """What a reader sees: of a notebook its sources."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        return "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])
    return text


def defined() -> set[str]:
    """All names that the package defines: modules, classes, functions, and what is assigned."""
    names = {name for path in MODULES for name in (path.stem, path.parent.name)}
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if path.suffix == ".py" else []:
            names.add(getattr(node, "name", None) or getattr(node, "id", None) or getattr(node, "attr", ""))
    return names


DEFINED = defined()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_text_names_only_what_exists(path: Path):
    text = text_of(path)
    public = (
        set(re.findall(r"(?<![\w./])sd\.([A-Za-z]\w+)", text)) if path.suffix in (".ipynb", ".md", ".py") else set()
    )
    assert public - set(dir(sd)) == set()
    wanted = {
        found.rstrip(".")
        for found in PATH.findall(text)
        if not re.search(r"[A-Z]{2}|included/|stablediff_edu/$", found)
    }
    assert {
        name for name in wanted if not any((root / name).exists() for root in (ROOT, ROOT / "stablediff_edu"))
    } == set()
    names = set(re.findall(r"`([a-z]\w+\.(?:py|ipynb|yml|toml|sh))`", text))
    assert names - FILE_NAMES == set()
    dotted = re.findall(r"(?<![\w./])stablediff_edu((?:\.[a-z]\w+)+)(?!\w*\()", text)
    assert {name for found in dotted for name in found.split(".")[1:]} - DEFINED == set()
    assert {name.split(".")[-1] for name in ROLE.findall(text)} - DEFINED == set()


@pytest.mark.parametrize("page", ["README.md", "data/README.md", "CONTRIBUTING.md"])
def test_a_page_links_only_to_what_is_there(page: str):
    text = (ROOT / page).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith("https://")]
    assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []
    assert "??" not in text  # a number that is still to be measured


COMMAND = re.compile(rf"(?:stablediff_edu |`)(train [a-z][\w-]*|{'|'.join(COMMANDS)})\b([^`\n|]*)")


def commands_in_texts() -> dict[str, set[str]]:
    """Every command that a page, notebook or docstring names, with all options that are named with it."""
    found: dict[str, set[str]] = {}
    for path in FILES:
        for command, rest in COMMAND.findall(text_of(path).replace("\\\n", "")):
            rest = "" if command == "train" else rest  # the options are those of a NAME
            found.setdefault(command, set()).update(re.findall(r"(?<![\w-])--[a-z][\w-]*", rest.partition(" -- ")[0]))
    return found


@pytest.mark.parametrize(("command", "options"), commands_in_texts().items())
def test_a_command_and_its_options_exist(command: str, options: set[str], capsys: pytest.CaptureFixture):
    with pytest.raises(SystemExit) as end:
        main([*command.split(), "--help"])
    assert end.value.code == 0
    assert options - set(re.findall(r"--[a-z][\w-]*", capsys.readouterr().out)) == set()


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "data/README.md"])
def test_a_page_names_only_targets_of_make_that_exist(page: str):
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = set(re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.M)[1].split())
    assert set(re.findall(r"(?:`|^|full )make ([a-z]+)", text, re.M)) <= targets


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_readme_shows_what_the_notebook_shows(notebook: Path):
    image = extract_figure(notebook)
    assert image and image_path(notebook).read_bytes() == image, "run `make notebooks` to renew the README's images"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"](notebooks/images/{image_path(notebook).name})" in readme and f"](notebooks/{notebook.name})" in readme


def test_a_notebook_without_the_figure_has_no_image(tmp_path: Path):
    notebook = tmp_path / "01_other.ipynb"
    notebook.write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    update_image(notebook)
    assert extract_figure(notebook) is None and not image_path(notebook).exists()
    assert {path.name[:2] for path in NOTEBOOKS} == set(FIGURES)
