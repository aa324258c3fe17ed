"""Watching a training in a notebook: a progress bar with the loss and the time left, and a live picture."""

import io
import time
from collections.abc import Callable

import numpy as np
import torch
from matplotlib import colormaps
from PIL import Image

from stablediff_edu.display.figures import to_image
from stablediff_edu.training.loop import Training

RAW_LOW, RAW_HIGH = -0.5, 1.5  # the range of raw outputs in pseudo-colour


def raw_colours(raw: torch.Tensor) -> np.ndarray:
    """Return raw outputs (1, H, W) in pseudo-colour, uint8 (H, W, 3): 0 is dark, 1 light, beyond is seen as well."""
    share = ((raw[0] - RAW_LOW) / (RAW_HIGH - RAW_LOW)).clamp(0, 1)
    return (colormaps["cividis"](share.numpy())[..., :3] * 255).astype(np.uint8)


def strip(rows: list[list[np.ndarray]], side: int = 96, gap: int = 4) -> Image.Image:
    """Lay out pictures (uint8, (H, W) or (H, W, 3)) in rows and columns, each enlarged to `side` without smoothing."""
    width = max(len(row) for row in rows) * (side + gap) - gap
    sheet = Image.new("RGB", (width, len(rows) * (side + gap) - gap), "white")
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            tile = Image.fromarray(picture).convert("RGB").resize((side, side), Image.Resampling.NEAREST)
            sheet.paste(tile, (x * (side + gap), y * (side + gap)))
    return sheet


def png(image: Image.Image) -> bytes:
    """Return an image as PNG bytes, packed lightly: speed matters more than size here."""
    data = io.BytesIO()
    image.save(data, "PNG", compress_level=1)
    return data.getvalue()


def to_bytes(picture: torch.Tensor, scale: str = "picture") -> np.ndarray:
    """Return a tensor picture as uint8 (H, W, 3) or (H, W)."""
    return (to_image(picture, scale) * 255).astype(np.uint8)


class LiveTraining:
    """Show a training while it runs; pass it to `train` as the observer.

    Args:
        draw: (step, snapshot) -> image, for the live picture.
        caption: what the live picture shows; it stands under it and is its alternative text.
    """

    def __init__(self, draw: Callable[[int, torch.Tensor], Image.Image] | None = None, caption: str = "") -> None:
        if draw and not caption:
            raise ValueError("a live picture needs a caption: say in a sentence what is to be seen")
        self.draw, self.caption = draw, caption

    def begin(self, steps: int, first: int) -> None:
        from IPython.display import display

        self.steps, self.first = steps, first
        self.mean: float | None = None
        self.started = self.shown = time.monotonic()
        self.bar = display(_html(""), raw=True, display_id=True)
        self.picture = None

    def step(self, step: int, loss: float) -> None:
        self.mean = loss if self.mean is None else 0.98 * self.mean + 0.02 * loss
        now = time.monotonic()
        if now - self.shown > 0.5:
            self.shown = now
            left = (now - self.started) / max(1, step - self.first) * (self.steps - step)
            self.bar.update(_html(self._line(step, f"{left:.0f} s left")), raw=True)

    def snapshot(self, step: int, picture: torch.Tensor) -> None:
        if self.draw is None:
            return
        from base64 import b64encode

        from IPython.display import display

        image = {"image/png": b64encode(png(self.draw(step, picture))).decode(), "text/plain": self.caption}
        shown = dict(metadata={"image/png": {"alt": self.caption}}, raw=True)
        if self.picture is None:
            self.picture = display(image, display_id=True, **shown)
            display(_html(f"<em>{self.caption}</em>"), raw=True)
        else:
            self.picture.update(image, **shown)

    def end(self, training: Training) -> None:
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


def live_masks(pictures: torch.Tensor) -> Callable[[int, torch.Tensor], Image.Image]:
    """Return a `draw` for `LiveTraining`: pictures (N, 3, S, S) in a row, and below what the network makes of them."""
    above = [to_bytes(picture) for picture in pictures]
    return lambda step, raw: strip([above, [raw_colours(one.cpu()) for one in raw]])


def live_pictures(columns: int = 8, side: int = 96) -> Callable[[int, torch.Tensor], Image.Image]:
    """Return a `draw` for `LiveTraining`: pictures (N, 3, S, S), each `side` wide, in rows of `columns`."""

    def draw(step: int, pictures: torch.Tensor) -> Image.Image:
        tiles = [to_bytes(picture) for picture in pictures.cpu()]
        return strip([tiles[first : first + columns] for first in range(0, len(tiles), columns)], side)

    return draw
