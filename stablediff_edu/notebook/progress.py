"""Watching a training in a notebook: a progress bar with the loss and the time left, and a live image."""

import io
import time
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import torch
from PIL import Image

from stablediff_edu.plotting.ch02_segmentation import colorize_logits
from stablediff_edu.plotting.grids import tile_images, to_uint8
from stablediff_edu.training.loop import TrainResult

Render = Callable[[int, torch.Tensor], Image.Image]  # (step, snapshot) -> image


def encode_png(image: Image.Image) -> bytes:
    """Return an image as PNG bytes, packed lightly: speed matters more than size here."""
    data = io.BytesIO()
    image.save(data, "PNG", compress_level=1)
    return data.getvalue()


class TrainingDisplay:
    """Show a training while it runs; pass it to `train` as the callback.

    Args:
        render: (step, snapshot) -> image, for the live image.
        caption: what the live image shows; it stands under it and is its alternative text.
    """

    def __init__(self, render: Render | None = None, caption: str = "") -> None:
        if render and not caption:
            raise ValueError("a live image needs a caption: say in a sentence what is to be seen")
        self.render, self.caption = render, caption

    def begin(self, steps: int, first: int) -> None:
        from IPython.display import display

        self.steps, self.first = steps, first
        self.mean: float | None = None
        self.started = self.shown = time.monotonic()
        self.bar = display(_html(""), raw=True, display_id=True)
        self.image: Any = None

    def step(self, step: int, loss: float) -> None:
        self.mean = loss if self.mean is None else 0.98 * self.mean + 0.02 * loss
        now = time.monotonic()
        if now - self.shown > 0.5:
            self.shown = now
            left = (now - self.started) / max(1, step - self.first) * (self.steps - step)
            self.bar.update(_html(self._line(step, f"{left:.0f} s left")), raw=True)

    def snapshot(self, step: int, snapshot: torch.Tensor) -> None:
        if self.render is None:
            return
        from IPython.display import display

        image = {"image/png": b64encode(encode_png(self.render(step, snapshot))).decode(), "text/plain": self.caption}
        alternative = {"image/png": {"alt": self.caption}}
        if self.image is None:
            self.image = display(image, metadata=alternative, raw=True, display_id=True)
            display(_html(f"<em>{self.caption}</em>"), raw=True)
        else:
            self.image.update(image, metadata=alternative, raw=True)

    def end(self, training: TrainResult) -> None:
        text = f"{training.seconds:.0f} s"
        if training.interrupted:
            text = f"stopped after {text}, what was learned is kept"
        self.bar.update(_html(self._line(training.steps, text)), raw=True)

    def _line(self, step: int, time_text: str) -> str:
        bar = f'<progress value="{step}" max="{self.steps}" style="width: 260px" aria-label="training"></progress>'
        return f"{bar} step {step} of {self.steps} · loss {self.mean or 0:.4f} · {time_text}"


def _html(text: str) -> dict[str, str]:
    return {"text/html": f'<p style="margin: 2px 0 8px 6px">{text}</p>', "text/plain": text}


def live_masks(images: torch.Tensor) -> Render:
    """Return a `render` for `TrainingDisplay`: images (N, 3, S, S) in a row, and below the network's raw outputs."""
    above = [to_uint8(image) for image in images]
    return lambda step, raw: tile_images([above, [colorize_logits(one.cpu()) for one in raw]])


def live_images(columns: int = 8, side: int = 96) -> Render:
    """Return a `render` for `TrainingDisplay`: images (N, C, S, S), each `side` wide, in rows of `columns`."""

    def render(step: int, images: torch.Tensor) -> Image.Image:
        tiles = [to_uint8(image) for image in images.cpu()]
        return tile_images([tiles[first : first + columns] for first in range(0, len(tiles), columns)], side)

    return render
