"""The brush that paints one object of a scene: polygons and ellipses in the object's own coordinates, under its
light."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import cos, radians, sin

import numpy as np
from PIL import Image, ImageDraw

Color = tuple[float, float, float]  # red, green, blue in [0, 1]
Point = tuple[float, float]

# The colors that have a name: strong enough to be distinguished at 32×32, in sun and at night.
COLORS: dict[str, Color] = {
    "red": (0.84, 0.16, 0.16),
    "orange": (0.96, 0.50, 0.10),
    "yellow": (0.98, 0.80, 0.16),
    "green": (0.12, 0.58, 0.30),
    "blue": (0.14, 0.34, 0.78),
    "purple": (0.52, 0.24, 0.66),
    "pink": (0.95, 0.48, 0.66),
    "brown": (0.50, 0.30, 0.17),
    "black": (0.13, 0.14, 0.18),
    "white": (0.96, 0.95, 0.92),
}


def lerp_color(one: Sequence[float], other: Sequence[float], share: float) -> Color:
    """Return the color that lies `share` of the way from one to the other."""
    red, green, blue = (a + (b - a) * share for a, b in zip(one, other, strict=True))
    return red, green, blue


def adjust_brightness(color: Color, amount: float) -> Color:
    """Return the color lighter (amount up to 1, white) or darker (down to -1, black)."""
    return lerp_color(color, (1.0, 1.0, 1.0) if amount > 0 else (0.0, 0.0, 0.0), abs(amount))


def rgba8(color: Sequence[float], alpha: float = 1.0) -> tuple[int, int, int, int]:
    """Return what Pillow fills with: red, green, blue and how opaque, in 0 … 255."""
    red, green, blue = (round(255 * min(max(value, 0.0), 1.0)) for value in color)
    return red, green, blue, round(255 * alpha)


@dataclass(frozen=True)
class Lighting:
    """How the hour changes colors: each is multiplied by `tint`, then mixed with `haze` by `mist`.

    Attributes:
        tint: the color of the light; (1, 1, 1) at noon.
        haze: the color of the air at the horizon.
        mist: how much of the haze lies before the object, in [0, 1].
        lamps: whether it is dark enough for lamps.
    """

    tint: Color = (1.0, 1.0, 1.0)
    haze: Color = (1.0, 1.0, 1.0)
    mist: float = 0.0
    lamps: bool = False

    def on(self, color: Color) -> Color:
        """Return how a color looks in this light."""
        return lerp_color([value * tint for value, tint in zip(color, self.tint, strict=True)], self.haze, self.mist)


@dataclass
class ObjectCanvas:
    """Paints on a layer in the coordinates of one object.

    x runs from the object's back, -1, to its front, 1; y upwards from the water's surface, 0, in the same unit.

    Attributes:
        layer: RGBA image; what is painted replaces what was there, so that see-through parts do not add up.
        x, y: where the object's middle lies on the surface, in pixels of the layer.
        unit: half the object's length in pixels.
        heading: 1 if its front points right, -1 if left.
        tilt: degrees by which its front is raised.
        stretch: how many times higher than usual the object is.
        light: what the hour does to its colors.
    """

    layer: Image.Image
    x: float
    y: float
    unit: float
    heading: int = 1
    tilt: float = 0.0
    stretch: float = 1.0
    light: Lighting = field(default_factory=Lighting)

    def __post_init__(self) -> None:
        self._draw = ImageDraw.Draw(self.layer)
        self._cos, self._sin = cos(radians(self.tilt)) * self.unit, sin(radians(self.tilt)) * self.unit

    def place(self, point: Point) -> Point:
        """Return where a point of the object lies on the layer, in pixels."""
        x, y = point[0], point[1] * self.stretch
        return self.x + self.heading * (x * self._cos - y * self._sin), self.y - (x * self._sin + y * self._cos)

    def polygon(self, points: Iterable[Point], color: Color, alpha: float = 1.0, shade: float = 0.0) -> None:
        """Fill a polygon; `shade` makes its color lighter or darker, see :func:`adjust_brightness`."""
        fill = self.light.on(adjust_brightness(color, shade))
        self._draw.polygon([self.place(point) for point in points], rgba8(fill, alpha))

    def box(
        self, left: float, bottom: float, right: float, top: float, color: Color, lean: float = 0.0, shade: float = 0.0
    ) -> None:
        """Fill a box whose top is moved backwards by `lean`."""
        self.polygon([(left, bottom), (right, bottom), (right - lean, top), (left - lean, top)], color, shade=shade)

    def line(self, points: Iterable[Point], width: float, color: Color, shade: float = 0.0) -> None:
        """Draw a line through the points; it is at least two pixels of the layer wide, so that it does not vanish."""
        places, fill = [self.place(point) for point in points], self.light.on(adjust_brightness(color, shade))
        self._draw.line(places, rgba8(fill), max(2, round(width * self.unit)), joint="curve")

    def disc(self, x: float, y: float, radius: float, color: Color, alpha: float = 1.0, high: float = 1.0) -> None:
        """Fill a disc, or an ellipse `high` times as high as wide."""
        self._disc(x, y, radius, rgba8(self.light.on(color), alpha), high)

    def lamp(self, x: float, y: float, radius: float, color: Color = (1.0, 0.86, 0.45)) -> None:
        """Fill a disc that shines where it is dark: a lit window or a lamp, by day only glass."""
        lit = color if self.light.lamps else self.light.on((0.30, 0.42, 0.52))
        self._disc(x, y, radius, rgba8(lit))

    def _disc(self, x: float, y: float, radius: float, fill: tuple[int, int, int, int], high: float = 1.0) -> None:
        (x, y), wide, high = self.place((x, y)), radius * self.unit, radius * self.unit * high
        self._draw.ellipse([x - wide, y - high, x + wide, y + high], fill)


@dataclass(frozen=True)
class ObjectType:
    """One kind of object that a scene can show.

    Attributes:
        paint: called with the brush, the object's color, the color of its part, and a random generator for whatever
            the caption does not say.
        part: what the second color belongs to.
        length: its length as a share of a scene's size, so that high objects are not too large.
        height: how high it rises above the water, in half lengths.
        lift: how far above the water it floats or leaps, in half lengths.
        tilt: degrees by which its front is raised.
        under_water: whether it may also be shown below the surface.
    """

    paint: Callable[[ObjectCanvas, Color, Color, np.random.Generator], None]
    part: str
    length: float
    height: float
    lift: float = 0.0
    tilt: float = 0.0
    under_water: bool = False
