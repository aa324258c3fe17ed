"""A panel of chapter 8: the samples of a network during its training."""

from collections.abc import Sequence

import torch

from stablediff_edu.notebook.progress import live_images
from stablediff_edu.widgets.base import Panel
from stablediff_edu.widgets.controls import Slider

SIDE = 128  # of a sample on the screen


class TrainingReplay(Panel):
    """Controls: snapshot. Images: samples.

    Args:
        snapshots: (training step, images (N, 3, S, S) in [-1, 1]), in order.
        columns: samples per row.
    """

    def __init__(self, snapshots: Sequence[tuple[int, torch.Tensor]], columns: int) -> None:
        super().__init__("Training replay", Slider("snapshot", 1, len(snapshots), len(snapshots)))
        self.snapshots, self.render = snapshots, live_images(columns, SIDE)
        self.lay_out("snapshot", self.note, "samples")
        self._show()
        self.follow(self._show, "snapshot")

    def _show(self) -> None:
        step, samples = self.snapshots[self["snapshot"] - 1]
        at = f"after training step {step} of {self.snapshots[-1][0]}"
        self.show("samples", self.render(step, samples), f"{len(samples)} samples {at}", "")
        self.say(at)
