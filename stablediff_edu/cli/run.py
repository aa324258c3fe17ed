"""``run``: run the notebooks in order without a screen, into ``build/`` or (``--store``) back into their own place."""

import argparse
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
from ipykernel.kernelspec import get_kernel_dict
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from stablediff_edu.cli import readme_images
from stablediff_edu.data.download import project_root
from stablediff_edu.errors import UserError

CELL_TIMEOUT = 3600  # a cell that takes longer than this hangs, even on the full preset

# What a stored notebook says of the machine that ran it: nothing.
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
LANGUAGE = {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"}


class CellError(Exception):
    """A cell failed: which one, its source, and its error, as plain text."""

    def __init__(self, cell: NotebookNode, number: int, error: str):
        source = "\n".join(f"    {line}" for line in cell.source.splitlines())
        super().__init__(f"In [{number}] failed:\n\n{source}\n\n{error}")


class _ThisPython(AsyncKernelManager):
    """Starts the kernel with the very Python that runs this command, whatever is registered as "python3" elsewhere."""

    @property
    def kernel_spec(self) -> KernelSpec:
        return KernelSpec(**get_kernel_dict(extra_arguments=["--log-level=CRITICAL"]))


def execute(path: Path, timeout: int = CELL_TIMEOUT, strict: bool = False) -> NotebookNode:
    """Execute a notebook in its own folder, and return it with its outputs and normalized metadata.

    Args:
        path: the notebook; it stays as it is.
        timeout: seconds that one cell may take.
        strict: also refuse a cell that prints to stderr, as a stored notebook must not.

    Raises:
        CellError: a cell failed, took too long, lost its kernel, or (strict) printed to stderr.
        UserError: the file is not a notebook.
    """
    try:
        notebook = nbformat.read(path, as_version=4)
    except (nbformat.reader.NotJSONError, nbformat.ValidationError, UnicodeDecodeError):
        raise UserError(f"{path.name} is not a notebook; restore it with git checkout -- {path.name}.") from None
    client = NotebookClient(
        notebook,
        kernel_manager_class=_ThisPython,
        timeout=timeout,
        record_timing=False,
        resources={"metadata": {"path": str(path.parent)}},
    )
    code = [
        (index, cell) for index, cell in enumerate(notebook.cells) if cell.cell_type == "code" and cell.source.strip()
    ]
    # Cell by cell, since client.execute() would take Ctrl-C for a kernel that died.
    with client.setup_kernel():
        for number, (index, cell) in enumerate(code, 1):
            _progress(f"{path.stem}  cell {number} of {len(code)}")
            try:
                client.execute_cell(cell, index, execution_count=number)
            except CellTimeoutError:
                raise CellError(cell, number, f"It took more than {timeout} seconds (--timeout).") from None
            except DeadKernelError:
                raise CellError(cell, number, "Its Python ended; too little memory is the usual reason.") from None
            except CellExecutionError:
                error = next(output for output in cell.outputs if output.output_type == "error")
                raise CellError(cell, number, _strip_ansi("\n".join(error.traceback))) from None
            noise = "".join(output.text for output in cell.outputs if output.get("name") == "stderr")
            if strict and noise:
                raise CellError(cell, number, f"It printed to stderr, which no stored notebook may show:\n{noise}")
    return normalize_notebook(notebook)


def normalize_notebook(notebook: NotebookNode) -> NotebookNode:
    """Take from an executed notebook what belongs to the machine or to chance, so that equal runs give equal files.

    Of a panel the still image stays: the live one needs a kernel, and then the cell is run.
    """
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": LANGUAGE})
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = list(_joined(cell.outputs))
            for output in cell.outputs:
                output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
    return notebook


def _joined(outputs: list[NotebookNode]) -> Iterator[NotebookNode]:
    """Join pieces of one stream that follow each other: where a print is cut into pieces is a matter of timing."""
    last = None
    for output in outputs:
        if last is not None and output.output_type == "stream" and last.get("name") == output.name:
            last.text += output.text
            continue
        yield output
        last = output


def run_notebooks(paths: list[Path], out: Path | None = None, timeout: int = CELL_TIMEOUT) -> int:
    """Run notebooks one after the other, with a line for each and a table at the end; stop at the first that fails.

    Args:
        paths: the notebooks.
        out: the folder for the executed copies; without it they are stored in place. A notebook that fails leaves
            what stands there untouched.
        timeout: seconds that one cell may take.

    Returns:
        The exit code: 0, or 1 if a notebook failed.
    """
    lines: list[str] = []
    width = max(len(path.stem) for path in paths)
    failure = None
    for path in paths:
        _progress(path.stem)
        began = time.monotonic()
        try:
            _write(execute(path, timeout, strict=out is None), (path.parent if out is None else out) / path.name)
            if out is None:
                readme_images.update_image(path)
        except CellError as error:
            failure = error
        seconds = time.monotonic() - began
        lines.append(f"{path.stem:{width}}  {seconds:7.1f} s  {'FAILED' if failure else 'ok'}")
        _progress("")
        print(lines[-1], flush=True)
        if failure:
            print(f"\n{path.name}, {failure}", flush=True)
            break
    lines += [f"{path.stem:{width}}        –    not run" for path in paths[len(lines) :]]
    print(f"\n{'notebook':{width}}  {'time':>9}  result", *lines, sep="\n")
    if not failure:
        print(f"\nThe notebooks lie in {'their own place' if out is None else out}.")
    return 1 if failure else 0


def select_notebooks(names: list[str]) -> list[Path]:
    """Return the notebooks that are meant: a number (``02``), the beginning of a name, or a file; no name means all."""
    folder = project_root() / "notebooks"
    course = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not course and not names:
        raise UserError("There are no notebooks here; call this in the course's own folder.")
    found = []
    for name in names:
        file = Path(name)
        matches = (
            [file] if file.suffix == ".ipynb" and file.is_file() else [p for p in course if p.stem.startswith(name)]
        )
        if not matches:
            there = ", ".join(path.stem for path in course) or "none"
            raise UserError(f"There is no notebook {name!r}; there are: {there}.")
        found += matches
    return found or course


def _write(notebook: NotebookNode, path: Path) -> None:
    """Write a notebook under another name first, so that a stop half-way leaves the old one whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        nbformat.write(notebook, part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _progress(text: str) -> None:
    """On a screen, show what is going on in a line that the next one replaces."""
    if sys.stdout.isatty():
        print(f"\r\033[K{text}", end="", flush=True)


def _strip_ansi(text: str) -> str:
    """Return terminal text without its colors."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text).strip()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``run``."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="02, 02_unet, or a file (default: all notebooks)")
    place = parser.add_mutually_exclusive_group()
    place.add_argument(
        "--out", type=Path, default=Path("build"), help="folder for the executed copies (default: build)"
    )
    place.add_argument("--store", action="store_true", help="store the outputs in the notebooks themselves")
    parser.add_argument(
        "--timeout",
        type=int,
        default=CELL_TIMEOUT,
        metavar="SECONDS",
        help="limit for one cell (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the notebooks that were asked for."""
    out = None if arguments.store else arguments.out
    return run_notebooks(select_notebooks(arguments.names), out, arguments.timeout)
