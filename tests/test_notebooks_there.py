"""All notebooks run on the pretended accelerator that has no float64, with trainings too short to learn anything.

What this device refuses is more than what CUDA refuses.
"""

import pytest
from notebooks_there import failing_cells
from storyboard import CLAIMS


@pytest.mark.parametrize("name", CLAIMS)
def test_the_notebook_runs_there(name: str):
    assert failing_cells(name, mps=True) == {}
