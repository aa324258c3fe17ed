"""All notebooks run on the pretended accelerator that has no float64, with trainings too short to learn anything."""

from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from notebooks_there import failing_cells
from storyboard import CLAIMS


@pytest.fixture(scope="module")
def runs():
    """Two at a time, each in a process of its own. What this device refuses is more than what CUDA refuses."""
    with ThreadPoolExecutor(2) as pool:
        yield {name: pool.submit(failing_cells, name, mps=True) for name in sorted(CLAIMS, reverse=True)}


@pytest.mark.parametrize("name", sorted(CLAIMS, reverse=True))
def test_the_notebook_runs_there(name: str, runs: dict[str, Future]):
    assert runs[name].result() == {}
