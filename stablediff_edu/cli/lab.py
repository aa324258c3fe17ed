"""`lab`: open the notebooks in JupyterLab; an installed package first copies them into a folder of yours."""

import argparse
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

from stablediff_edu.errors import UserError

PACKAGE = Path(__file__).resolve().parents[1]
COPIES = Path("stablediff_edu_notebooks")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", type=Path, default=COPIES, help=f"where copies go (default: {COPIES})")
    parser.add_argument("options", nargs="*", metavar="-- OPTION", help="options of JupyterLab, such as --no-browser")


def run(arguments: argparse.Namespace) -> int:
    """Start JupyterLab at the first notebook, and return its exit code."""
    if importlib.util.find_spec("jupyterlab") is None:
        raise UserError("JupyterLab is not installed; install it with: pip install 'stablediff_edu[lab]'.")
    folder = notebooks(arguments.folder)
    first = min(folder.glob("*.ipynb")).name
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder.resolve()}"]
    return subprocess.run([*command, f"--LabApp.default_url=/lab/tree/{first}", *arguments.options]).returncode


def notebooks(folder: Path) -> Path:
    """Return the folder of the notebooks: the repository's, or copies in `folder`; what is there already is kept.

    Raises:
        UserError: there are no notebooks, or the folder cannot be written.
    """
    if (PACKAGE.parent / "pyproject.toml").is_file():
        return PACKAGE.parent / "notebooks"
    files = sorted((PACKAGE / "included" / "notebooks").glob("*.ipynb"))
    if not files:
        raise UserError("This installation holds no notebooks; install the package again, or clone the repository.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            if not (folder / file.name).exists():
                shutil.copy(file, folder)
    except OSError as error:
        raise UserError(f"Cannot write {folder} ({error.strerror}); choose another with --folder.") from error
    return folder
