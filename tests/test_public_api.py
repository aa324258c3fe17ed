"""The public names: what the stubs promise is there, and is just what notebooks and README use."""

import ast
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from types import FunctionType

import pytest

import stablediff_edu as sd

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("", "plotting", "widgets")


def promised(package: str) -> dict[str, str]:
    """Public names of a package, as its stub lists them -> the module that each comes from."""
    stub = ROOT / "stablediff_edu" / package / "__init__.pyi"
    imports = [node for node in ast.parse(stub.read_text(encoding="utf-8")).body if isinstance(node, ast.ImportFrom)]
    return {alias.name: node.module or "" for node in imports for alias in node.names}


def used() -> set[tuple[str, str]]:
    """(package, name) of everything that notebooks and README call by ``sd.``."""
    texts = [(ROOT / "README.md").read_text(encoding="utf-8")]
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        texts += ["".join(cell["source"]) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]
    return set(re.findall(r"\bsd\.(?:(plotting|widgets)\.)?(\w+)", "\n".join(texts)))


@pytest.mark.parametrize(("package", "name"), [(package, name) for package in PACKAGES for name in promised(package)])
def test_a_promised_name_comes_from_its_module(package, name):
    value = getattr(importlib.import_module(f"stablediff_edu.{package}".rstrip(".")), name)
    home = ".".join(filter(None, ["stablediff_edu", package, promised(package)[name]]))
    assert not isinstance(value, type | FunctionType) or value.__module__ == home


def test_public_is_what_notebooks_and_readme_use():
    assert {(package, name) for package in PACKAGES for name in promised(package)} - used() <= {
        ("", "plotting"),
        ("", "widgets"),
    }
    assert used() <= {(package, name) for package in PACKAGES for name in promised(package)}
    assert len(promised("")) <= 130


@pytest.mark.parametrize("package", PACKAGES)
def test_the_package_lists_its_public_names(package):
    module = importlib.import_module(f"stablediff_edu.{package}".rstrip("."))
    assert set(dir(module)) == set(module.__all__) == set(promised(package))


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="whale"):
        _ = sd.whale


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        ("import stablediff_edu", "torch torchvision numpy PIL matplotlib IPython ipywidgets kaggle"),
        ("import stablediff_edu as sd; sd.sample_image(8)", "matplotlib ipywidgets"),
    ],
)
def test_only_what_is_used_is_imported(code, unwanted):
    code += f"; import sys; print(*set('{unwanted}'.split()) & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_without_lazy_loader_the_doctor_still_answers():
    code = "import sys; sys.modules['lazy_loader'] = None; from stablediff_edu.__main__ import main; main(['doctor'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "Python" in done.stdout and done.stderr == ""
