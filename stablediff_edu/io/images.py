"""Images drawn by a network, on sheets and on disk; and a training that keeps a log and sheets of samples."""

import math
from pathlib import Path

import torch
from PIL import Image

from stablediff_edu.errors import UserError
from stablediff_edu.io import checkpoint
from stablediff_edu.training.loop import ProgressBar


def make_grid(images: torch.Tensor) -> torch.Tensor:
    """Lay images out in rows, as square as can be, on white: (B, 3, H, W) -> (3, rows · H, columns · W)."""
    columns = math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    filled = images.new_ones(rows * columns, *images.shape[1:])
    filled[: len(images)] = images
    return filled.unflatten(0, (rows, columns)).permute(2, 0, 3, 1, 4).flatten(3, 4).flatten(1, 2)


def save_image(image: torch.Tensor, out: Path) -> None:
    """Write an image (3 or 1, H, W) in [-1, 1] to a file, which is either whole or not there."""
    if not image.isfinite().all():
        raise UserError("The image holds values that are not numbers; load the weights without half=True.")
    pixels = ((image.expand(3, -1, -1) + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()
    kind = {".jpg": "jpeg"}.get(out.suffix.lower(), out.suffix[1:].lower())
    with checkpoint.atomic_write(out) as temporary:
        Image.fromarray(pixels).save(temporary, format=kind)


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
