"""A panel of chapter 8: the samples of a network during its training."""

from collections.abc import Sequence

import torch

from stablediff_edu.notebook.progress import live_images
from stablediff_edu.widgets.base import Panel, nearest_multiple
from stablediff_edu.widgets.controls import Slider

SIDE = 128  # of a sample on the screen, about


class TrainingReplay(Panel):
    """Controls: snapshot. Images: samples.

    Args:
        snapshots: (training step, images (N, 3, S, S) in [-1, 1]), in order.
        columns: samples per row.
    """

    def __init__(self, snapshots: Sequence[tuple[int, torch.Tensor]], columns: int = 4) -> None:
        super().__init__("Training replay")
        self.snapshots = snapshots
        self.render = live_images(columns, nearest_multiple(snapshots[0][1].shape[-1], SIDE))
        self.controls["snapshot"] = Slider("snapshot", 1, len(snapshots), len(snapshots))
        image = self.image("samples", *self.render(*snapshots[0]).size, title="")
        self.lay_out(["snapshot"], self.note, image)
        self._show()
        self.follow(self._show, "snapshot")

    def _show(self) -> None:
        step, samples = self.snapshots[self.value("snapshot") - 1]
        at = f"after training step {step} of {self.snapshots[-1][0]}"
        self.show("samples", self.render(step, samples), f"{len(samples)} samples {at}")
        self.say(at)
