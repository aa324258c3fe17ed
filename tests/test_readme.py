"""The README's images are those of the stored notebooks, one of each."""

from pathlib import Path

import nbformat
import pytest

from stablediff_edu.cli.readme_images import FIGURES, extract_figure, image_path, update_image

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_readme_shows_what_the_notebook_shows(notebook: Path):
    assert image_path(notebook).read_bytes() == extract_figure(notebook), (
        "run `make notebooks` to renew the README's images"
    )
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"](notebooks/images/{image_path(notebook).name})" in readme and f"](notebooks/{notebook.name})" in readme


def test_every_notebook_has_its_picture():
    assert {notebook.name[:2] for notebook in NOTEBOOKS} <= set(FIGURES)


def test_a_notebook_without_the_figure_has_no_picture(tmp_path):
    notebook = tmp_path / "01_other.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 + 1")]), notebook)
    update_image(notebook)
    assert extract_figure(notebook) is None and not image_path(notebook).exists()
