"""The live image of a training: what it displays, step by step."""

import pytest
import torch

from stablediff_edu.notebook import progress
from stablediff_edu.training.loop import TrainResult


class FakeHandle:
    def __init__(self, log, data):
        self.log = log
        log.append(("new", data))

    def update(self, data, **options):
        self.log.append(("update", data))


@pytest.fixture
def log(monkeypatch):
    log = []
    monkeypatch.setattr("IPython.display.display", lambda data, **options: FakeHandle(log, data))
    return log


def test_bar_image_and_caption(log):
    images = torch.zeros(2, 3, 8, 8)
    watcher = progress.TrainingDisplay(progress.live_masks(images), "what is to be seen")
    watcher.begin(10, 0)
    watcher.snapshot(0, torch.zeros(2, 1, 8, 8))
    watcher.shown = 0.0
    watcher.step(1, 0.5)
    watcher.snapshot(1, torch.ones(2, 1, 8, 8))
    watcher.end(TrainResult(losses=[0.5], steps=10, seconds=3.0))
    new = [data for kind, data in log if kind == "new"]
    assert "image/png" in new[1] and "what is to be seen" in new[2]["text/html"]
    updates = [data for kind, data in log if kind == "update"]
    assert "step 1 of 10" in updates[0]["text/html"] and "s left" in updates[0]["text/html"]
    assert updates[1]["image/png"] != new[1]["image/png"]
    assert "step 10 of 10" in updates[2]["text/plain"] and "3 s" in updates[2]["text/plain"]


def test_an_interrupted_training_says_so(log):
    watcher = progress.TrainingDisplay()
    watcher.begin(10, 0)
    watcher.snapshot(0, torch.zeros(1))
    watcher.end(TrainResult(losses=[0.5], steps=4, seconds=3.0, interrupted=True))
    assert "what was learned is kept" in log[-1][1]["text/html"] and "step 4 of 10" in log[-1][1]["text/html"]


def test_a_live_image_needs_a_caption():
    with pytest.raises(ValueError, match="caption"):
        progress.TrainingDisplay(lambda step, image: None)


def test_live_images_stand_in_rows():
    assert progress.live_images(4)(0, torch.zeros(6, 3, 8, 8)).size == (4 * 96 + 3 * 4, 2 * 96 + 4)
