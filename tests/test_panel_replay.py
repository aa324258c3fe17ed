"""The replay of a training: the slider over its whole range, and the pictures that must follow."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from stablediff_edu.display.live import to_bytes
from stablediff_edu.display.panels.replay import replay_panel

STEPS = (0, 4, 20)


@pytest.fixture
def snapshots() -> list[tuple[int, torch.Tensor]]:
    random = torch.Generator().manual_seed(0)
    return [(step, torch.rand(6, 3, 64, 64, generator=random) * 2 - 1) for step in STEPS]


def shown(panel) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(panel.images["replay"].value)))


def test_it_begins_with_the_end_of_the_training(snapshots):
    panel = replay_panel(snapshots)
    assert panel.controls["snapshot"].value == 3 and panel.note.value == "after step 20 of 20"
    assert shown(panel).shape == (2 * 128 + 4, 4 * 128 + 12, 3)  # six pictures, four a row
    assert (int(panel.images["replay"].width), int(panel.images["replay"].height)) == (524, 260)


def test_every_snapshot_is_shown_as_it_was(snapshots):
    panel = replay_panel(snapshots)
    for number, (step, pictures) in enumerate(snapshots, 1):
        panel.controls["snapshot number"].value = number
        assert panel.controls["snapshot"].value == number and panel.note.value == f"after step {step} of 20"
        assert (shown(panel)[:128:2, :128:2] == to_bytes(pictures[0])).all()
        assert (shown(panel)[132::2, 132:260:2] == to_bytes(pictures[5])).all()


def test_one_picture_is_a_panel_too():
    panel = replay_panel([(0, torch.zeros(1, 3, 64, 64))])
    assert shown(panel).shape == (128, 128, 3)
