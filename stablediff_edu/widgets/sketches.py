"""Ready-made sketches: a few flat shapes each, for those who cannot or do not want to draw."""

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

DAY, SEA, DUSK, NIGHT, DEEP = (150, 200, 240), (40, 90, 150), (240, 150, 80), (20, 25, 60), (15, 70, 110)
WHITE, RED, YELLOW, BLACK = (245, 245, 245), (200, 40, 40), (245, 205, 40), (30, 30, 30)
PALETTE = {
    "sky": DAY, "sea": SEA, "deep": DEEP, "night": NIGHT, "dusk": DUSK, "white": WHITE, "black": BLACK, "red": RED,
    "yellow": YELLOW, "orange": (235, 130, 30), "green": (60, 140, 70), "brown": (120, 75, 40), "pink": (235, 130, 170),
    "purple": (120, 60, 150),
}  # fmt: skip
ALL = (0, 0, 1, 1)
LOWER = (0, 0.55, 1, 1)


class Sketch(NamedTuple):
    """A prompt that fits, and shapes one over the other: kind, color, and its corners in parts of the image."""

    prompt: str
    shapes: tuple[tuple[str, tuple[int, int, int], tuple[float, ...]], ...]

    def pixels(self, size: int) -> np.ndarray:
        """Return it as (size, size, 3) uint8."""
        image = Image.new("RGB", (4 * size, 4 * size))
        pen = ImageDraw.Draw(image)
        for kind, color, corners in self.shapes:
            getattr(pen, kind)([4 * size * number for number in corners], fill=color)
        return np.array(image.reduce(4))


SKETCHES = {
    "sailboat": Sketch(
        "a red sailboat on a calm sea",
        (
            ("rectangle", DAY, ALL),
            ("rectangle", SEA, LOWER),
            ("polygon", RED, (0.2, 0.62, 0.8, 0.62, 0.7, 0.75, 0.3, 0.75)),
            ("polygon", WHITE, (0.5, 0.12, 0.5, 0.58, 0.78, 0.58)),
            ("polygon", WHITE, (0.47, 0.2, 0.47, 0.58, 0.27, 0.58)),
        ),
    ),
    "balloon": Sketch(
        "a yellow balloon over a calm sea at sunset",
        (
            ("rectangle", DUSK, ALL),
            ("rectangle", SEA, LOWER),
            ("ellipse", YELLOW, (0.32, 0.06, 0.68, 0.46)),
            ("rectangle", BLACK, (0.46, 0.5, 0.54, 0.57)),
        ),
    ),
    "whale": Sketch(
        "a white whale under water",
        (
            ("rectangle", DEEP, ALL),
            ("rectangle", DAY, (0, 0, 1, 0.2)),
            ("ellipse", WHITE, (0.15, 0.4, 0.78, 0.72)),
            ("polygon", WHITE, (0.7, 0.55, 0.95, 0.38, 0.95, 0.7)),
        ),
    ),
    "lighthouse": Sketch(
        "a white lighthouse at night",
        (
            ("rectangle", NIGHT, ALL),
            ("rectangle", (25, 40, 80), LOWER),
            ("polygon", WHITE, (0.42, 0.25, 0.58, 0.25, 0.64, 0.75, 0.36, 0.75)),
            ("rectangle", YELLOW, (0.43, 0.13, 0.57, 0.25)),
        ),
    ),
    "sea alone": Sketch("a red fishing boat", (("rectangle", DAY, ALL), ("rectangle", SEA, LOWER))),
}
