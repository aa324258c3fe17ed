"""The README's pictures: figures out of the stored notebooks, so that they show what the notebooks show.

``run --store`` calls this, ``notebooks/images/`` is where they lie, and a test holds them against the notebooks.
"""

import base64
from pathlib import Path

import nbformat

# notebook -> the cell's tag, and which of the figures that cells with this tag show
FIGURES = {
    "01": ("claim-1.9", 0),
    "02": ("claim-2.12", 0),
    "03": ("claim-3.11", 0),
    "04": ("claim-4.3", 0),
    "05": ("claim-5.4", 0),
    "06": ("claim-6.7", 0),
    "07": ("claim-7.15", 0),
    "08": ("claim-8.2", 0),
}


def figure_of(notebook: Path) -> bytes | None:
    """Return the PNG of a stored notebook that the README shows; None where it has no such figure yet."""
    tag, place = FIGURES.get(notebook.name[:2], ("", 0))
    cells = [
        cell
        for cell in nbformat.read(notebook, as_version=4).cells
        if cell.cell_type == "code" and tag in cell.metadata.get("tags", [])
    ]
    figures = [out.data["image/png"] for cell in cells for out in cell.outputs if "image/png" in out.get("data", {})]
    return base64.b64decode(figures[place]) if len(figures) > place else None


def image_of(notebook: Path) -> Path:
    """Return where the README's picture of a notebook lies."""
    return notebook.parent / "images" / f"{notebook.name[:2]}.png"


def renew(notebook: Path) -> None:
    """Write the picture that the README shows of a stored notebook, if it is a notebook of the course."""
    picture = figure_of(notebook)
    if picture:
        image_of(notebook).parent.mkdir(exist_ok=True)
        image_of(notebook).write_bytes(picture)
