"""The README's images: figures out of the stored notebooks, so that they show what the notebooks show.

``run --store`` calls this, ``notebooks/images/`` is where they lie, and a test holds them against the notebooks.
"""

import base64
from pathlib import Path

import nbformat

# notebook -> the tag whose first figure is shown
FIGURES = {
    "01": "claim-1.9",
    "02": "claim-2.12",
    "03": "claim-3.11",
    "04": "claim-4.3",
    "05": "claim-5.4",
    "06": "claim-6.7",
    "07": "claim-7.15",
    "08": "claim-8.2",
}


def extract_figure(notebook: Path) -> bytes | None:
    """Return the PNG of a stored notebook that the README shows; None where it has no such figure yet."""
    tag = FIGURES.get(notebook.name[:2])
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.cell_type == "code" and tag in cell.metadata.get("tags", []):
            for output in cell.outputs:
                if "image/png" in output.get("data", {}):
                    return base64.b64decode(output.data["image/png"])
    return None


def image_path(notebook: Path) -> Path:
    """Return where the README's image of a notebook lies."""
    return notebook.parent / "images" / f"{notebook.name[:2]}.png"


def update_image(notebook: Path) -> None:
    """Write the image that the README shows of a stored notebook, if it is a notebook of the course."""
    image = extract_figure(notebook)
    if image:
        image_path(notebook).parent.mkdir(exist_ok=True)
        image_path(notebook).write_bytes(image)
