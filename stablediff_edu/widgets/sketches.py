"""Ready-made sketches: a few flat shapes each, for those who cannot or do not want to draw."""

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

PALETTE = {
    "sky": (150, 200, 240), "sea": (40, 90, 150), "deep": (15, 70, 110), "night": (20, 25, 60), "dusk": (240, 150, 80),
    "white": (245, 245, 245), "black": (30, 30, 30), "red": (200, 40, 40), "yellow": (245, 205, 40),
    "orange": (235, 130, 30), "green": (60, 140, 70), "brown": (120, 75, 40), "pink": (235, 130, 170),
    "purple": (120, 60, 150),
}  # fmt: skip


class Sketch(NamedTuple):
    """A prompt that fits, and shapes one over the other, each a line: kind, color, corners in per cent of the side."""

    prompt: str
    shapes: str

    def pixels(self, size: int) -> np.ndarray:
        """Return it as (size, size, 3) uint8."""
        image = Image.new("RGB", (4 * size, 4 * size))
        pen = ImageDraw.Draw(image)
        for line in self.shapes.strip().splitlines():
            kind, color, *corners = line.split()
            getattr(pen, kind)([4 * size * int(corner) / 100 for corner in corners], fill=PALETTE[color])
        return np.array(image.reduce(4))


SKETCHES = {
    "sailboat": Sketch(
        "a red sailboat on a calm sea",
        """
        rectangle sky 0 0 100 100
        rectangle sea 0 55 100 100
        polygon red 20 62 80 62 70 75 30 75
        polygon white 50 12 50 58 78 58
        polygon white 47 20 47 58 27 58
        """,
    ),
    "balloon": Sketch(
        "a yellow balloon over a calm sea at sunset",
        """
        rectangle dusk 0 0 100 100
        rectangle sea 0 55 100 100
        ellipse yellow 32 6 68 46
        rectangle black 46 50 54 57
        """,
    ),
    "whale": Sketch(
        "a white whale under water",
        """
        rectangle deep 0 0 100 100
        rectangle sky 0 0 100 20
        ellipse white 15 40 78 72
        polygon white 70 55 95 38 95 70
        """,
    ),
    "lighthouse": Sketch(
        "a white lighthouse at night",
        """
        rectangle night 0 0 100 100
        rectangle deep 0 55 100 100
        polygon white 42 25 58 25 64 75 36 75
        rectangle yellow 43 13 57 25
        """,
    ),
    "sea alone": Sketch("a red fishing boat", "rectangle sky 0 0 100 100\nrectangle sea 0 55 100 100"),
}
