"""Start a script in two processes that train together, as torchrun does."""

import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

LAUNCH = [
    sys.executable,
    "-m",
    "torch.distributed.run",
    "--standalone",
    "--local-addr",
    "127.0.0.1",
    "--nproc-per-node",
]
TRIES = 2  # once in many runs torchrun failed at once, for no reason that was found; a mistake of ours fails every time


def run_two(script: Path, folder: Callable[[], Path]) -> tuple[Path, str]:
    """Run `script` in two processes, as `run_several` does."""
    return run_several(2, script, folder)


def run_several(count: int, script: Path, folder: Callable[[], Path]) -> tuple[Path, str]:
    """Run `script` with a folder as its argument, a second time if it fails; return the folder and what was printed.

    Raises:
        AssertionError: it failed every time; with what it said.
    """
    for _ in range(TRIES):
        own = folder()
        done = subprocess.run([*LAUNCH, str(count), script, own], capture_output=True, text=True)
        if done.returncode == 0:
            return own, done.stdout
        warnings.warn(f"two processes failed: {done.stderr[-3000:]}", stacklevel=2)  # stands in pytest's summary
    raise AssertionError(done.stderr[-3000:])
