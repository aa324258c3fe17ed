"""`lab`: open the notebooks in JupyterLab; an installed package first copies them into a folder of yours."""

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from stablediff_edu.errors import UserError

PACKAGE = Path(__file__).resolve().parents[1]
COPIES = Path("stablediff_edu_notebooks")
# Settings of JupyterLab: no question about news from the web, since the course runs offline, and widget messages wait
# for the running cell, since in a subshell their handlers would run beside it.
SETTINGS = PACKAGE / "notebook" / "jupyter"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``lab``."""
    parser.add_argument("--folder", type=Path, default=COPIES, help=f"where copies go (default: {COPIES})")
    parser.add_argument("options", nargs="*", metavar="-- OPTION", help="options of JupyterLab, such as --no-browser")


def run(arguments: argparse.Namespace) -> int:
    """Start JupyterLab at the first notebook, and return its exit code."""
    if importlib.util.find_spec("jupyterlab") is None:
        raise UserError("JupyterLab is not installed; install it with: pip install 'stablediff_edu[lab]'.")
    folder = notebooks(arguments.folder)
    # as an address, so that it also stands in the link that is printed where no browser can be opened
    first = f"--LabApp.default_url=/lab/tree/{min(folder.glob('*.ipynb')).name}"
    as_root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []  # in a container, mostly
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder.resolve()}", first, *as_root]
    paths = filter(None, [os.environ.get("JUPYTER_CONFIG_PATH"), str(SETTINGS)])
    settings = {**os.environ, "JUPYTER_CONFIG_PATH": os.pathsep.join(paths)}
    command += arguments.options
    if os.name == "posix":
        os.execve(command[0], command, settings)  # signals then are JupyterLab's: it asks after Ctrl-C
    return subprocess.run(command, env=settings).returncode


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
