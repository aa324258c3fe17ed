"""The stored notebooks: executed, clean, legible without a kernel, and showing every claim of the storyboard.

That they run is a step of its own in ``make test``: nbval executes them with the network cut.
"""

import json
import re
import statistics
from pathlib import Path

import pytest
from storyboard import CLAIMS

PROJECT = Path(__file__).resolve().parents[1]
NOTEBOOKS = PROJECT / "notebooks"
MACHINE_PATH = re.compile(
    rf"(?<![\w.])(?:{re.escape(str(PROJECT))}|/(?:home|root|tmp|mnt|Users)/[\w.-]+|[A-Z]:\\+Users)"
)


class Stored:
    """A stored notebook, taken apart."""

    def __init__(self, path: Path):
        self.text = path.read_text(encoding="utf-8")
        self.size = path.stat().st_size
        self.cells = json.loads(self.text)["cells"]
        self.code = [cell for cell in self.cells if cell["cell_type"] == "code" and "".join(cell["source"]).strip()]

    def outputs(self, *kinds: str) -> list[dict]:
        return [output for cell in self.code for output in cell["outputs"] if output["output_type"] in kinds]


@pytest.fixture(scope="module", params=CLAIMS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def notebook(name: str) -> Stored:
    path = NOTEBOOKS / f"{name}.ipynb"
    assert path.is_file(), f"{path.name} is missing: the course is not complete without it"
    return Stored(path)


def test_every_notebook_has_its_claims():
    assert sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")) == sorted(CLAIMS)


def test_is_stored_executed_in_order(notebook: Stored):
    assert [cell["execution_count"] for cell in notebook.code] == list(range(1, len(notebook.code) + 1))


def test_stores_no_error_and_no_noise(notebook: Stored):
    expected = sum("raises-exception" in cell["metadata"].get("tags", []) for cell in notebook.code)
    assert len(notebook.outputs("error")) <= expected
    assert [output["text"] for output in notebook.outputs("stream") if output["name"] == "stderr"] == []


def test_names_nothing_of_the_machine_that_ran_it(notebook: Stored):
    assert MACHINE_PATH.findall(notebook.text) == []
    metadata = json.loads(notebook.text)["metadata"]
    assert metadata["kernelspec"]["name"] == "python3"
    assert set(metadata) <= {"kernelspec", "language_info"}
    assert [cell["id"] for cell in notebook.cells if "execution" in cell["metadata"]] == []


def test_is_small(notebook: Stored):
    assert notebook.size < 3_000_000


def test_code_cells_are_short(notebook: Stored):
    lengths = [sum(bool(line.strip()) for line in "".join(cell["source"]).splitlines()) for cell in notebook.code]
    assert statistics.median(lengths) <= 8
    assert max(lengths) <= 30


def test_every_picture_has_alternative_text(notebook: Stored):
    images = [output for output in notebook.outputs("display_data", "execute_result") if "image/png" in output["data"]]
    assert images
    for image in images:
        metadata = image["metadata"]
        assert (metadata.get("image/png", {}).get("alt") or metadata.get("alt") or "").strip()


def test_the_first_code_cell_opens_the_course(notebook: Stored):
    source = "".join(notebook.code[0]["source"])
    assert re.search(r"^import stablediff_edu as sd$", source, re.M)
    assert "sd.setup_notebook(" in source


def test_begins_with_a_title(notebook: Stored):
    assert notebook.cells[0]["cell_type"] == "markdown"
    assert "".join(notebook.cells[0]["source"]).startswith("# ")


def test_shows_every_claim(name: str, notebook: Stored):
    shown = {
        tag.removeprefix("claim-")
        for cell in notebook.code
        for tag in cell["metadata"].get("tags", [])
        if tag.startswith("claim-") and cell["outputs"]
    }
    missing = {number: claim for number, claim in CLAIMS[name].items() if number not in shown}
    assert missing == {}
    assert shown <= set(CLAIMS[name])  # a tag that means no claim is a slip of the pen


def test_every_panel_is_stored_as_a_still_image(notebook: Stored):
    """Where no kernel runs, a widget shows as text such as VBox(children=(…; stored are still images in their place."""
    for output in notebook.outputs("display_data", "execute_result"):
        assert "application/vnd.jupyter.widget-view+json" not in output["data"]
        assert "VBox(" not in "".join(output["data"].get("text/plain", ""))
