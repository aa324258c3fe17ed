"""A training that keeps a log and grids of samples beside its progress."""

from pathlib import Path

import torch

from stablediff_edu.io.images import make_grid, save_image
from stablediff_edu.training.loop import ProgressBar


class SampleLogger(ProgressBar):
    """The bar in the terminal; and beside the progress of a training a log, and a sheet of each snapshot's images.

    Args:
        progress: `NAME.progress`; the log is `NAME.log`, the sheets are `NAME_samples/STEP.png`.
        every: how many steps a line of the log sums up.
    """

    def __init__(self, progress: Path, every: int = 100) -> None:
        self.log, self.folder = progress.with_suffix(".log"), progress.with_name(f"{progress.stem}_samples")
        self.every = every
        self.losses: list[float] = []

    def step(self, step: int, loss: float) -> None:
        super().step(step, loss)
        self.losses.append(loss)
        if step % self.every == 0:
            with self.log.open("a", encoding="utf-8") as file:
                file.write(f"step {step}, mean loss {sum(self.losses) / len(self.losses):.5f}\n")
            self.losses = []

    def snapshot(self, step: int, image: torch.Tensor) -> None:
        """Write a sheet of images (N, 3, H, W) in [-1, 1]."""
        save_image(make_grid(image), self.folder / f"{step:06}.png")
