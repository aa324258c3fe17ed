"""What else there is at sea in the synthetic scenes: animals, a lighthouse, a buoy, a balloon; painted as the ships
are."""

from itertools import pairwise

import numpy as np

from stablediff_edu.data.scenes.canvas import COLORS, Color, ObjectCanvas, ObjectType, lerp_color

WHITE, DARK = COLORS["white"], COLORS["black"]
ROCK: Color = (0.42, 0.40, 0.40)


def fish(brush: ObjectCanvas, color: Color, accent: Color, rng: np.random.Generator) -> None:
    """A round fish with a forked tail, a fin on the back and one below; y = 0 is its middle."""
    deep = float(rng.uniform(0.36, 0.50))
    brush.polygon([(-0.45, 0.0), (-0.80, 0.16), (-1.08, 0.46), (-0.94, 0.0), (-1.08, -0.46), (-0.80, -0.16)], accent)
    brush.polygon([(0.35, 0.8 * deep), (-0.05, deep + 0.26), (-0.45, deep + 0.10), (-0.35, 0.5 * deep)], accent)
    brush.polygon([(0.15, -0.8 * deep), (-0.15, -deep - 0.22), (-0.35, -deep - 0.10), (-0.30, -0.5 * deep)], accent)
    along = np.linspace(0, 1, 15)
    outline = deep * np.sin(np.pi * along**0.62) ** 0.85  # blunt in front, thin behind
    x = 0.95 - 1.72 * along
    back = list(zip(x.tolist(), outline.tolist(), strict=True))
    belly = list(zip(x.tolist(), (-outline).tolist(), strict=True))
    brush.polygon([*back, *reversed(belly)], color)
    brush.polygon([*((a, 0.35 * b) for a, b in belly), *reversed(belly)], lerp_color(color, WHITE, 0.42))
    brush.polygon([*back, *((a, 0.72 * b) for a, b in reversed(back))], color, shade=-0.25)
    if rng.random() < 0.5:  # stripes across
        for at, high in ((0.24, 0.86 * deep), (-0.04, 0.74 * deep), (-0.30, 0.50 * deep)):
            brush.polygon([(at + 0.05, high), (at + 0.05, -high), (at - 0.05, -high), (at - 0.05, high)], accent)
    else:
        brush.polygon([(0.28, -0.04), (-0.06, 0.08), (-0.10, -0.20)], accent, shade=-0.15)
    brush.disc(0.60, 0.12, 0.125, WHITE)
    brush.disc(0.63, 0.12, 0.07, DARK)


def whale(brush: ObjectCanvas, color: Color, accent: Color, rng: np.random.Generator) -> None:
    """A great round back, the tail out of the water, and a fountain."""
    for lean in (-0.28, 0.0, 0.28):
        top = 1.42 if lean == 0 else 1.2
        brush.line(
            [(0.42, 0.66), (0.42 + 0.5 * lean, top - 0.12), (0.42 + 1.1 * lean, top - 0.1)], 0.09, (0.9, 0.96, 1.0)
        )
    angles = np.linspace(0, np.pi, 17)
    x, y = 0.28 + 0.72 * np.cos(angles), 0.70 * np.sin(angles) ** 0.8
    back = list(zip(x.tolist(), y.tolist(), strict=True))
    brush.polygon([*back, (-0.44, -0.4), (1.0, -0.4)], color)
    brush.polygon([(-0.30, 0.3), (-0.66, 0.20), (-0.86, 0.62), (-0.70, 0.64), (-0.52, 0.4), (-0.1, 0.62)], color)
    brush.polygon([(-0.80, 0.52), (-1.16, 0.66), (-1.04, 0.90), (-0.80, 0.72), (-0.60, 0.98), (-0.46, 0.70)], color)
    brush.polygon([(-0.50, -0.3), (-0.66, 0.20), (-0.30, 0.3), (-0.1, -0.3)], color)
    brush.polygon([(0.99, 0.14), (0.5, 0.16), (0.1, -0.1), (0.1, -0.4), (1.0, -0.4)], accent)
    brush.polygon([*back[4:14], *((a, b - 0.10) for a, b in reversed(back[4:14]))], color, shade=0.25)
    brush.disc(0.72, 0.28, 0.075, WHITE)
    brush.disc(0.74, 0.28, 0.045, DARK)


def duck(brush: ObjectCanvas, color: Color, accent: Color, rng: np.random.Generator) -> None:
    """A duck that swims, with a beak of another color."""
    brush.polygon([(0.80, 1.02), (1.10, 0.92), (1.12, 0.84), (0.80, 0.80)], accent)
    body = [
        (-1.0, 0.62),
        (-0.62, 0.42),
        (-0.1, 0.50),
        (0.36, 0.62),
        (0.72, 0.30),
        (0.60, -0.3),
        (-0.66, -0.3),
        (-0.92, 0.1),
    ]
    brush.polygon(body, color)
    brush.disc(0.50, 0.92, 0.38, color)
    brush.polygon([(0.16, 0.80), (0.84, 0.80), (0.74, 0.20), (0.1, 0.3)], color)
    brush.polygon([(-0.72, 0.34), (0.28, 0.40), (0.05, 0.04), (-0.42, 0.06)], color, shade=-0.28)
    brush.disc(0.64, 1.02, 0.09, DARK)


def lighthouse(brush: ObjectCanvas, color: Color, accent: Color, rng: np.random.Generator) -> None:
    """A striped tower on a rock; its lamp throws a beam when it is dark."""
    if brush.light.lamps:
        brush.polygon([(0.0, 2.44), (3.2, 2.95), (3.2, 2.0)], (1.5, 1.35, 0.8), 0.45)
    heights = np.linspace(0.3, 2.2, 6).tolist()
    widths = np.linspace(0.42, 0.28, 6).tolist()  # the tower narrows
    for number, ((low, high), (wide, narrow)) in enumerate(zip(pairwise(heights), pairwise(widths), strict=True)):
        band = accent if number % 2 else color
        brush.polygon([(-wide, low), (wide, low), (narrow, high), (-narrow, high)], band)
        brush.polygon([(-wide, low), (-0.4 * wide, low), (-0.4 * narrow, high), (-narrow, high)], band, shade=-0.25)
    brush.box(-0.44, 2.18, 0.44, 2.28, DARK)
    brush.box(-0.24, 2.28, 0.24, 2.62, (0.45, 0.55, 0.62))
    brush.lamp(0.0, 2.44, 0.2)
    brush.polygon([(-0.34, 2.60), (0.34, 2.60), (0.0, 2.92)], color, shade=-0.15)
    rock = [(-1.0, -0.3), (-0.92, 0.12), (-0.55, 0.40), (-0.1, 0.34), (0.4, 0.44), (0.8, 0.22), (1.0, -0.3)]
    brush.polygon(rock, ROCK)
    brush.polygon([(-0.92, 0.12), (-0.55, 0.40), (-0.1, 0.34), (0.4, 0.44), (0.1, 0.22), (-0.5, 0.22)], ROCK, shade=0.3)


def buoy(brush: ObjectCanvas, color: Color, accent: Color, rng: np.random.Generator) -> None:
    """A fat float with a band, a frame above it and a lamp on top."""
    for lean in (-1, 1):
        brush.line([(0.62 * lean, 0.5), (0.16 * lean, 1.66)], 0.12, color, shade=-0.3)
    brush.line([(-0.42, 1.06), (0.42, 1.06)], 0.10, color, shade=-0.3)
    brush.disc(0.0, 1.74, 0.26, COLORS["yellow"])
    brush.lamp(0.0, 1.74, 0.2)
    brush.polygon([(-1.0, 0.42), (-0.82, 0.62), (0.82, 0.62), (1.0, 0.42), (0.78, -0.4), (-0.78, -0.4)], color)
    brush.polygon([(-1.0, 0.42), (-0.82, 0.62), (-0.5, 0.62), (-0.5, -0.4), (-0.78, -0.4)], color, shade=-0.25)
    brush.polygon([(-0.98, 0.40), (0.98, 0.40), (0.88, 0.12), (-0.88, 0.12)], accent)
    brush.polygon([(-0.98, 0.40), (-0.5, 0.40), (-0.5, 0.12), (-0.88, 0.12)], accent, shade=-0.25)


def balloon(brush: ObjectCanvas, color: Color, accent: Color, rng: np.random.Generator) -> None:
    """A hot-air balloon with stripes and a basket; y = 0 is its middle."""
    for rope in (-0.22, 0.22):
        brush.line([(2.4 * rope, -0.5), (rope, -1.15)], 0.05, COLORS["brown"], shade=-0.3)
    brush.box(-0.26, -1.45, 0.26, -1.12, COLORS["brown"])
    angles = np.linspace(-0.28 * np.pi, 1.28 * np.pi, 23)
    x, y = np.cos(angles), 0.12 + 0.92 * np.sin(angles)
    for wide, painted in ((1.0, color), (0.64, accent), (0.42, color)):
        foot = [(-0.24 * wide, -1.0), (0.24 * wide, -1.0)]
        brush.polygon([*zip((x * wide).tolist(), y.tolist(), strict=True), *foot], painted)
    side = np.flatnonzero(x < -0.2)
    rim = list(zip(x[side].tolist(), y[side].tolist(), strict=True))
    brush.polygon([*rim, *((0.72 * a, b) for a, b in reversed(rim))], color, shade=-0.25)


OTHER_OBJECTS = {
    "fish": ObjectType(fish, "fins", length=0.72, height=0.8, lift=0.7, tilt=28.0, under_water=True),
    "whale": ObjectType(whale, "belly", length=0.86, height=1.4),
    "duck": ObjectType(duck, "beak", length=0.62, height=1.3),
    "lighthouse": ObjectType(lighthouse, "stripes", length=0.48, height=2.9),
    "buoy": ObjectType(buoy, "band", length=0.44, height=2.0),
    "balloon": ObjectType(balloon, "stripes", length=0.46, height=1.1, lift=2.1),
}
