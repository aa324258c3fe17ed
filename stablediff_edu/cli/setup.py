"""Make ``.venv`` with the locked dependencies and the package itself; ``make`` calls this before everything else.

It runs before anything is installed, so it needs nothing but Python, and it is called as a file:
``python stablediff_edu/cli/setup.py [--test]``.
"""

from __future__ import annotations  # an older Python must come as far as the sentence that names the right ones

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "set-up.json"  # written last, so an interrupted set-up leaves none

# Without these nothing works; a .venv that has lost one of them is built again.
REQUIRED = ("torch", "torchvision", "numpy", "matplotlib", "jupyterlab", "ipykernel", "ipywidgets", "stablediff_edu")

LAB_SETTINGS = {
    # No question about news from the web: the course runs offline.
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    # Widget messages wait for the running cell; in a subshell their handlers would run beside it.
    "@jupyterlab/apputils-extension:kernels-settings": {"commsOverSubshells": "disabled"},
}


class SetupError(Exception):
    """One plain sentence: what went wrong, and what to do next."""


def fingerprint() -> dict[str, str]:
    """Return what the set-up depends on; when any of it changes, the set-up is done again."""
    files = (ROOT / name for name in ("pyproject.toml", "constraints.txt"))
    packages = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    return {"packages": packages, "python": sys.version.split()[0], "folder": str(ROOT)}


def read_stamp() -> dict:
    """Return the stamp of the last complete set-up, or nothing if there is none or its .venv is broken."""
    try:
        stamp = json.loads(STAMP.read_text())
        look = f"from importlib.util import find_spec; print(all(map(find_spec, {REQUIRED!r})))"
        answer = subprocess.run([PYTHON, "-c", look], cwd=VENV, capture_output=True, text=True)
    except (OSError, ValueError):
        return {}
    return stamp if answer.stdout.strip() == "True" else {}


def call(*words: object, error: str) -> None:
    """Run one command in the project's folder; raise the sentence ``error`` if it fails."""
    if subprocess.run([str(word) for word in words], cwd=ROOT).returncode:
        raise SetupError(error)


def set_up(test: bool = False) -> bool:
    """Set up ``.venv`` unless that is done already, and return whether there was anything to do.

    A complete .venv of the same Python is kept, so that pip leaves a torch alone which already fits; an unfinished
    or broken one is built again. pip's own settings (``PIP_*``, pip.conf) hold as everywhere.

    Args:
        test: also install what only the tests need.
    """
    if not (3, 11) <= sys.version_info < (3, 14):
        version = ".".join(map(str, sys.version_info[:3]))
        raise SetupError(
            f"This is Python {version}, and the course needs Python 3.11, 3.12 or 3.13: "
            "install one of these, or name it with make PYTHON=..."
        )
    want, have = fingerprint(), read_stamp()
    complete = all(have.get(key) == value for key, value in want.items())
    if complete and (have["test"] or not test):
        return False
    test = test or have.get("test", False)
    keep = have.get("python") == want["python"] and have.get("folder") == want["folder"]
    began = time.monotonic()
    task = "Bringing .venv up to date" if keep else "Setting up .venv"
    print(
        f"{task} with Python {want['python']}, about 120 packages: a minute or two and 1.3 GB where torch is a CPU "
        "build, longer and about 7 GB where it is a CUDA build …",
        flush=True,
    )
    STAMP.unlink(missing_ok=True)
    if not keep:
        call(
            *(sys.executable, "-m", "venv", "--clear", VENV),
            error="Python could not make the folder .venv: see above (on Debian and Ubuntu: apt install python3-venv).",
        )
    call(
        *(PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
        *("--constraint", "constraints.txt", "--editable", ".[test]" if test else ".[lab,fish,hub]"),
        error="pip could not install the packages: its message stands above; run the same command again to retry.",
    )
    call(
        *(PYTHON, "-c", "import sys; from ipykernel.kernelspec import install; install(prefix=sys.prefix)"),
        error="The Jupyter kernel could not be registered in .venv: its message stands above.",
    )
    settings = VENV / "share/jupyter/lab/settings/overrides.json"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(json.dumps(LAB_SETTINGS, indent=2) + "\n")
    STAMP.write_text(json.dumps({**want, "test": test}, indent=2) + "\n")
    print(f"Set up in {time.monotonic() - began:.0f} s.", flush=True)
    return True


def main() -> int:
    """Set up, and return the exit code: 0 done, 2 it could not be done."""
    try:
        set_up(test="--test" in sys.argv[1:])
    except SetupError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped; the next call begins the set-up again.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
