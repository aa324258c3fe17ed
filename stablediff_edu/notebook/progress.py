"""Watching a training in a notebook: a progress bar with the loss and the time left, and a live image."""

import io
import time
from collections.abc import Callable

import numpy as np
import torch
from matplotlib import colormaps
from PIL import Image

from stablediff_edu.plotting.core import to_numpy_image
from stablediff_edu.training.loop import TrainResult

RAW_LOW, RAW_HIGH = -0.5, 1.5  # the range of raw outputs in pseudo-color


def colorize_logits(raw: torch.Tensor) -> np.ndarray:
    """Return raw outputs (1, H, W) in pseudo-color, uint8 (H, W, 3): 0 is dark, 1 light, beyond is seen as well."""
    share = ((raw[0] - RAW_LOW) / (RAW_HIGH - RAW_LOW)).clamp(0, 1)
    return (colormaps["cividis"](share.numpy())[..., :3] * 255).astype(np.uint8)


def tile_images(rows: list[list[np.ndarray]], side: int = 96, gap: int = 4) -> Image.Image:
    """Lay out images (uint8, (H, W) or (H, W, 3)) in rows and columns, each enlarged to `side` without smoothing."""
    width = max(len(row) for row in rows) * (side + gap) - gap
    sheet = Image.new("RGB", (width, len(rows) * (side + gap) - gap), "white")
    for y, row in enumerate(rows):
        for x, image in enumerate(row):
            tile = Image.fromarray(image).convert("RGB").resize((side, side), Image.Resampling.NEAREST)
            sheet.paste(tile, (x * (side + gap), y * (side + gap)))
    return sheet


def encode_png(image: Image.Image) -> bytes:
    """Return an image as PNG bytes, packed lightly: speed matters more than size here."""
    data = io.BytesIO()
    image.save(data, "PNG", compress_level=1)
    return data.getvalue()


def to_uint8(image: torch.Tensor, scale: str = "image") -> np.ndarray:
    """Return a tensor image as uint8 (H, W, 3) or (H, W)."""
    return (to_numpy_image(image, scale) * 255).astype(np.uint8)


class TrainingDisplay:
    """Show a training while it runs; pass it to `train` as the observer.

    Args:
        render: (step, snapshot) -> image, for the live image.
        caption: what the live image shows; it stands under it and is its alternative text.
    """

    def __init__(self, render: Callable[[int, torch.Tensor], Image.Image] | None = None, caption: str = "") -> None:
        if render and not caption:
            raise ValueError("a live image needs a caption: say in a sentence what is to be seen")
        self.render, self.caption = render, caption

    def begin(self, steps: int, first: int) -> None:
        from IPython.display import display

        self.steps, self.first = steps, first
        self.mean: float | None = None
        self.started = self.shown = time.monotonic()
        self.bar = display(_html(""), raw=True, display_id=True)
        self.image = None

    def step(self, step: int, loss: float) -> None:
        self.mean = loss if self.mean is None else 0.98 * self.mean + 0.02 * loss
        now = time.monotonic()
        if now - self.shown > 0.5:
            self.shown = now
            left = (now - self.started) / max(1, step - self.first) * (self.steps - step)
            self.bar.update(_html(self._line(step, f"{left:.0f} s left")), raw=True)

    def snapshot(self, step: int, picture: torch.Tensor) -> None:
        if self.render is None:
            return
        from base64 import b64encode

        from IPython.display import display

        image = {"image/png": b64encode(encode_png(self.render(step, picture))).decode(), "text/plain": self.caption}
        shown = dict(metadata={"image/png": {"alt": self.caption}}, raw=True)
        if self.image is None:
            self.image = display(image, display_id=True, **shown)
            display(_html(f"<em>{self.caption}</em>"), raw=True)
        else:
            self.image.update(image, **shown)

    def end(self, training: TrainResult) -> None:
        text = (
            f"stopped after {training.seconds:.0f} s, what was learned is kept"
            if training.interrupted
            else f"{training.seconds:.0f} s"
        )
        self.bar.update(_html(self._line(training.steps, text)), raw=True)

    def _line(self, step: int, time_text: str) -> str:
        bar = f'<progress value="{step}" max="{self.steps}" style="width: 260px" aria-label="training"></progress>'
        return f"{bar} step {step} of {self.steps} · loss {self.mean or 0:.4f} · {time_text}"


def _html(text: str) -> dict[str, str]:
    return {"text/html": f'<p style="margin: 2px 0 8px 6px">{text}</p>', "text/plain": text}


def live_masks(images: torch.Tensor) -> Callable[[int, torch.Tensor], Image.Image]:
    """Return a `draw` for `TrainingDisplay`: images (N, 3, S, S) in a row, and below what the network makes of them."""
    above = [to_uint8(image) for image in images]
    return lambda step, raw: tile_images([above, [colorize_logits(one.cpu()) for one in raw]])


def live_images(columns: int = 8, side: int = 96) -> Callable[[int, torch.Tensor], Image.Image]:
    """Return a `draw` for `TrainingDisplay`: images (N, 3, S, S), each `side` wide, in rows of `columns`."""

    def draw(step: int, images: torch.Tensor) -> Image.Image:
        tiles = [to_uint8(image) for image in images.cpu()]
        return tile_images([tiles[first : first + columns] for first in range(0, len(tiles), columns)], side)

    return draw
