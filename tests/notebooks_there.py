"""Run a notebook on the pretended accelerator, all as short as can be, and return the cells that fail."""

import ast
import re
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
ENTER = """
import os, sys
os.environ.update(STABLEDIFF_PRESET="test", STABLEDIFF_THREADS="1")
sys.path.insert(0, {tests!r})
from accelerator import Accelerator, use
use(imported=False)
from stablediff_edu.pipelines.stable_diffusion import StableDiffusion
def short(pipe, *texts, steps=20, forward=StableDiffusion.forward, **more):
    return forward(pipe, *texts, steps=steps if more.get("sampler") == "ddim" else min(steps, 3), **more)
StableDiffusion.forward = short
Accelerator(mps={mps}).__enter__()
"""  # three sampling steps where only the result is returned; but for ddim, whose result is also computed by hand


def failing_cells(name: str, mps: bool) -> dict[int, str]:
    """Return cell number -> error of the notebook whose name begins so."""
    path = next(NOTEBOOKS.glob(f"{name}*.ipynb"))
    notebook, failures = nbformat.read(path, 4), {}
    for cell in notebook.cells:
        if "quality" in cell.metadata.get("tags", []):
            cell.source = without_assertions(cell.source)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(ENTER.format(tests=str(Path(__file__).parent), mps=mps)))

    def note(cell, cell_index: int, execute_reply) -> None:
        content = execute_reply["content"]
        places = re.findall(r"stablediff_edu/([\w/]+\.py):(\d+)", plain("\n".join(content.get("traceback", []))))
        failures[cell_index - 1] = f"{content.get('ename')}: {content.get('evalue', '')[:300]} at {places[-2:]}"

    NotebookClient(
        notebook, timeout=300, kernel_name="python3", allow_errors=True, on_cell_error=note,
        resources={"metadata": {"path": str(path.parent)}},
    ).execute()  # fmt: skip
    return failures


def without_assertions(source: str) -> str:
    """Return the source without its assertions, which short trainings do not fulfil."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(getattr(node, "body", None), list):
            node.body = [ast.Pass() if isinstance(part, ast.Assert) else part for part in node.body]
    return ast.unparse(tree)


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
