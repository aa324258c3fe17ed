"""``run``: run the notebooks in order without a screen, into ``build/`` or (``--store``) back into their own place."""

import argparse
import asyncio
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
from stablediff_edu.io.checkpoint import atomic_write

CELL_TIMEOUT = 3600  # seconds; a cell that takes longer hangs, even on the full preset

# A stored notebook says nothing of the machine that ran it.
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"},
}


class CellError(Exception):
    """A cell failed: which one, its source, and its error, as plain text."""

    def __init__(self, cell: NotebookNode, error: str):
        source = "\n".join(f"    {line}" for line in cell.source.splitlines())
        super().__init__(f"In [{cell.execution_count}] failed:\n\n{source}\n\n{error}")


class _ThisPython(AsyncKernelManager):
    """Starts the kernel with the Python that runs this command, whatever is registered as "python3" elsewhere."""

    @property
    def kernel_spec(self) -> KernelSpec:
        return KernelSpec(**get_kernel_dict(extra_arguments=["--log-level=CRITICAL"]))


def execute(path: Path, timeout: int = CELL_TIMEOUT, strict: bool = False) -> NotebookNode:
    """Execute a notebook in its own folder, and return it with its outputs and normalized metadata.

    Args:
        path: the notebook; the file stays as it is.
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
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    client = NotebookClient(
        notebook,
        kernel_manager_class=_ThisPython,
        timeout=timeout,
        record_timing=False,
        on_cell_start=lambda cell, cell_index: _progress(
            f"{path.stem}  cell {cell_index + 1} of {len(notebook.cells)}"
        ),
        resources={"metadata": {"path": str(path.parent)}},
    )
    asyncio.run(_execute_cells(client, cells))
    for cell in cells if strict else []:
        noise = "".join(output.text for output in cell.outputs if output.get("name") == "stderr")
        if noise:
            raise CellError(cell, f"It printed to stderr, which no stored notebook may show:\n{noise}")
    return normalize_notebook(notebook)


async def _execute_cells(client: NotebookClient, cells: list[NotebookNode]) -> None:
    """Start a kernel, execute the cells, and end the kernel however this ends.

    Ctrl-C cancels this task (asyncio.run), wherever it waits. It does not use `client.execute()` or its context
    manager: their own handler ends the kernel only, which then counts as dead. As KeyboardInterrupt the signal could
    also come in a callback of the event loop that drops exceptions.
    """
    manager, task = client.create_kernel_manager(), asyncio.current_task()
    try:
        await client.async_start_new_kernel()
        await client.async_start_new_kernel_client()
        for number, cell in enumerate(cells, 1):
            cell.execution_count = number
            try:
                await client.async_execute_cell(cell, client.nb.cells.index(cell), execution_count=number)
            except CellTimeoutError:
                raise CellError(cell, f"It took more than {client.timeout} seconds (--timeout).") from None
            except CellExecutionError:
                error = next(output for output in cell.outputs if output.output_type == "error")
                text = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error.traceback))  # without colors
                raise CellError(cell, text.strip()) from None
            except DeadKernelError:
                if task and task.cancelling():  # nbclient takes a cancellation for a kernel that died
                    raise asyncio.CancelledError from None
                raise CellError(cell, "Its Python ended; too little memory is the usual reason.") from None
    finally:
        if client.kc:
            client.kc.stop_channels()
        if manager.has_kernel:
            await manager.shutdown_kernel(now=True)  # type: ignore[misc]  # wrapped so that mypy sees no coroutine


def normalize_notebook(notebook: NotebookNode) -> NotebookNode:
    """Remove from an executed notebook what differs from run to run, so that equal runs give equal files.

    Of a panel the still image stays: the live one needs a kernel.
    """
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times, where JupyterLab recorded them
        if cell.cell_type == "code":
            cell.outputs = list(_joined(cell.outputs))
            for output in cell.outputs:
                output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
    return notebook


def _joined(outputs: list[NotebookNode]) -> Iterator[NotebookNode]:
    """Join pieces of one stream that follow each other: where a print is cut into pieces is a matter of timing."""
    last: dict = {}
    for output in outputs:
        if output.output_type == "stream" and last.get("name") == output.name:
            last["text"] += output.text
        else:
            yield output
            last = output


def run_notebooks(paths: list[Path], out: Path | None = None, timeout: int = CELL_TIMEOUT) -> int:
    """Run notebooks in order, with a line for each; stop at the first that fails.

    The executed copies go into the folder `out`; without it they are stored in place, and what a failed notebook had
    stored stays. A cell may take `timeout` seconds. The exit code is 0, or 1 if a notebook failed.
    """
    width = max(len(path.stem) for path in paths)
    for number, path in enumerate(paths, 1):
        began, failure = time.monotonic(), None
        try:
            executed = execute(path, timeout, strict=out is None)
            with atomic_write((out or path.parent) / path.name) as temporary:
                nbformat.write(executed, temporary)
            if out is None:
                readme_images.update_image(path)
        except CellError as error:
            failure = error
        _progress("")
        seconds = time.monotonic() - began
        print(f"{path.stem:{width}}  {seconds:7.1f} s  {'FAILED' if failure else 'ok'}", flush=True)
        if failure:
            print(f"\n{path.name}, {failure}\n\n{len(paths) - number} of {len(paths)} notebooks were not run.")
            return 1
    print(f"\nThe notebooks are in {'their own place' if out is None else out}.")
    return 0


def select_notebooks(names: list[str]) -> list[Path]:
    """Return the notebooks that are meant: a number (``02``), the beginning of a name, or a file; no name means all."""
    course = sorted((project_root() / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    found = []
    for name in names or [""]:
        file = Path(name)
        is_file = file.suffix == ".ipynb" and file.is_file()
        matches = [file] if is_file else [path for path in course if path.stem.startswith(name)]
        if not matches:
            there = ", ".join(path.stem for path in course) or "none; call this in the course's own folder"
            raise UserError(f"There is no notebook {name!r}; there are: {there}.")
        found += matches
    return found


def _progress(text: str) -> None:
    """On a screen, show the progress in a line that the next one replaces."""
    if sys.stdout.isatty():
        print(f"\r\033[K{text}", end="", flush=True)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``run``."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="02, 02_unet, or a file (default: all notebooks)")
    place = parser.add_mutually_exclusive_group()
    place.add_argument(
        "--out", type=Path, default=Path("build"), help="folder for the executed copies (default: build)"
    )
    place.add_argument("--store", action="store_true", help="store the outputs in the notebooks themselves")
    limit = "limit for one cell (default: %(default)s)"
    parser.add_argument("--timeout", type=int, default=CELL_TIMEOUT, metavar="SECONDS", help=limit)


def run(arguments: argparse.Namespace) -> int:
    """Run the notebooks that were asked for."""
    out = None if arguments.store else arguments.out
    return run_notebooks(select_notebooks(arguments.names), out, arguments.timeout)
