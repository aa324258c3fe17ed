"""How the ships of the synthetic scenes are painted: each in its own coordinates, see `ObjectCanvas`.

A painter gets the brush, the color of the hull, the color of what the ship carries (sails, funnel, containers, …) and
a random generator for what the caption does not say.
"""

import numpy as np

from stablediff_edu.data.scenes.canvas import (
    COLORS,
    Color,
    ObjectCanvas,
    ObjectType,
    Point,
    adjust_brightness,
    lerp_color,
)

WOOD, WHITE, DARK = COLORS["brown"], COLORS["white"], COLORS["black"]
GREY: Color = (0.55, 0.58, 0.62)


def paint_hull(brush: ObjectCanvas, color: Color, stern: float, middle: float, bow: float, rake: float = 0.12) -> None:
    """Paint a hull with its deck at these heights, a lighter rim along the deck and a dark foot at the water."""
    ends = (-0.96, 1.0)
    along = np.linspace(0, 1, 9)
    across = (ends[0] + (ends[1] - ends[0]) * along).tolist()
    # the parabola through the three heights
    heights = stern * (1 - along) * (1 - 2 * along) + middle * 4 * along * (1 - along) + bow * along * (2 * along - 1)
    deck: list[Point] = list(zip(across, heights.tolist(), strict=True))
    foot = [(1.0 - rake - 0.5 * rake, -0.3), (-0.88, -0.3)]
    brush.polygon([*deck, *foot], color)
    low = 0.30 * middle  # the foot, below the painted part
    brush.polygon([(-0.93, low), (1.0 - rake, low), *foot], color, shade=-0.45)
    rim = 0.22 * middle
    brush.polygon([*deck, *((x * 0.985, y - rim) for x, y in reversed(deck))], color, shade=0.45)


def sailing_boat(brush: ObjectCanvas, color: Color, accent: Color, rng: np.random.Generator) -> None:
    """A boat with one mast and two sails, or with two masts."""
    two_masts = rng.random() < 0.3
    dark_sail = adjust_brightness(accent, -0.18)
    paint_hull(brush, color, 0.26, 0.22, 0.36, rake=0.3)
    masts = [(0.30, 1.95), (-0.42, 1.5)] if two_masts else [(0.08, 2.15)]
    for x, top in masts:
        brush.line([(x, 0.2), (x, top)], 0.06, WOOD, shade=-0.1)
        reach = 0.62 if two_masts else 0.98
        # the sail swells: its rear edge is bent outwards
        edge = [(x - 0.05, top - 0.06), (x - 0.42 * reach, 0.62 * top + 0.1), (x - 0.78 * reach, 0.36 * top + 0.08)]
        brush.polygon([*edge, (x - reach, 0.38), (x - 0.05, 0.36)], accent)
        brush.polygon([edge[0], (x - 0.30 * reach, 0.37), (x - 0.05, 0.36)], dark_sail)
    x, top = masts[0]
    brush.polygon([(x + 0.06, top * 0.94), (x + 0.48, 0.46 * top), (1.02, 0.40), (x + 0.08, 0.40)], accent, shade=0.25)
    if rng.random() < 0.5:
        brush.polygon([(x, top), (x, top + 0.16), (x - 0.34, top + 0.08)], COLORS["red"])


def tall_ship(brush: ObjectCanvas, color: Color, accent: Color, rng: np.random.Generator) -> None:
    """Three masts with square sails, a raised stern and a bowsprit."""
    brush.line([(0.86, 0.34), (1.32, 0.58)], 0.07, WOOD)
    for number, (x, top) in enumerate([(-0.56, 1.35), (0.0, 1.75), (0.52, 1.5)]):
        brush.line([(x, 0.2), (x, top)], 0.07, WOOD, shade=-0.1)
        bottom, rows = 0.42, 2 if number == 0 else 3
        for row in range(rows):
            low = bottom + (top - bottom) * row / rows
            high = bottom + (top - bottom) * (row + 0.86) / rows
            wide, narrow = 0.27 - 0.035 * row, 0.23 - 0.035 * row
            sail = [(x - wide, low), (x - narrow, high), (x + narrow, high), (x + wide + 0.02, low)]
            brush.polygon([*sail, (x + 0.06, low + 0.07)], accent)
            brush.polygon(
                [sail[0], sail[1], (x - 0.4 * narrow, high), (x - 0.5 * wide, low + 0.05)], accent, shade=-0.18
            )
    brush.polygon([(0.60, 1.34), (1.26, 0.58), (0.70, 0.48)], accent, shade=0.2)
    paint_hull(brush, color, 0.44, 0.22, 0.36, rake=0.2)
    brush.box(-0.96, 0.36, -0.55, 0.52, color, shade=-0.2)
    for x in (-0.5, -0.2, 0.1, 0.4):
        brush.lamp(x, 0.15, 0.035)


def steamer(brush: ObjectCanvas, color: Color, accent: Color, rng: np.random.Generator) -> None:
    """A white house on the hull, one or two funnels, and smoke that stays behind."""
    funnels = [-0.12, 0.22] if rng.random() < 0.4 else [0.02]
    gray = float(rng.uniform(0.35, 0.75))
    for x in funnels:
        _smoke(brush, x - 0.08, 1.12, (gray, gray, gray + 0.02), rng)
    for x in (-0.62, 0.66):
        brush.line([(x, 0.3), (x, 1.0)], 0.05, WOOD, shade=-0.2)
    for x in funnels:
        brush.box(x - 0.12, 0.5, x + 0.13, 1.08, accent, lean=0.08)
        brush.box(x - 0.19, 0.93, x + 0.06, 1.12, DARK, lean=0.02)
        brush.box(x - 0.12, 0.5, x - 0.03, 0.93, accent, shade=-0.25, lean=0.06)
    _deckhouse(brush, -0.55, 0.28, 0.50, 0.52)
    _deckhouse(brush, -0.30, 0.50, 0.38, 0.68)
    paint_hull(brush, color, 0.36, 0.30, 0.50, rake=0.1)
    _windows(brush, -0.46, 0.42, 0.42, 5)


def cargo_ship(brush: ObjectCanvas, color: Color, accent: Color, rng: np.random.Generator) -> None:
    """A long hull with rows of containers and the bridge far back."""
    names = [name for name in COLORS if name not in ("black", "white", "brown")]
    columns, wide = 6, 0.225
    for column in range(columns):
        x = -0.50 + column * wide
        for row in range(int(rng.integers(1, 4)) if 0 < column < 5 else 2):
            box = accent if rng.random() < 0.6 else COLORS[names[rng.integers(len(names))]]
            brush.box(x, 0.26 + 0.17 * row, x + wide - 0.025, 0.42 + 0.17 * row, box)
            brush.box(x, 0.26 + 0.17 * row, x + 0.06, 0.42 + 0.17 * row, box, shade=-0.25)
    _deckhouse(brush, -0.90, 0.3, -0.58, 0.98)
    brush.box(-0.94, 0.86, -0.54, 0.92, GREY)
    _windows(brush, -0.82, -0.62, 0.79, 3)
    brush.box(-0.90, 0.98, -0.76, 1.18, accent)
    brush.line([(0.90, 0.3), (0.90, 0.72)], 0.045, GREY)
    paint_hull(brush, color, 0.32, 0.29, 0.44, rake=0.16)


def fishing_boat(brush: ObjectCanvas, color: Color, accent: Color, rng: np.random.Generator) -> None:
    """A short hull with a high bow, a wheelhouse in front and a mast with a boom behind."""
    brush.line([(-0.12, 0.3), (-0.12, 1.55)], 0.07, WOOD, shade=-0.1)
    brush.line([(-0.12, 0.62), (-0.92, 1.16)], 0.06, WOOD, shade=-0.1)
    brush.line([(-0.12, 1.5), (-0.92, 1.16), (-0.92, 0.42)], 0.03, DARK)
    brush.line([(-0.12, 1.5), (0.96, 0.62)], 0.03, DARK)
    if rng.random() < 0.6:  # the nets hang from the boom
        net = COLORS["green"] if rng.random() < 0.5 else COLORS["orange"]
        brush.polygon([(-0.86, 1.1), (-0.40, 0.8), (-0.44, 0.3), (-0.82, 0.3)], net, 0.85)
    brush.box(0.02, 0.3, 0.56, 0.98, accent, lean=-0.04)
    brush.box(0.02, 0.3, 0.20, 0.98, accent, shade=-0.2, lean=-0.04)
    brush.box(-0.04, 0.96, 0.70, 1.08, accent, shade=-0.45)
    for x in (0.28, 0.47):
        brush.lamp(x, 0.76, 0.085)
    paint_hull(brush, color, 0.42, 0.36, 0.66, rake=0.2)


def motor_boat(brush: ObjectCanvas, color: Color, accent: Color, rng: np.random.Generator) -> None:
    """A fast, pointed boat with a low cabin, its bow out of the water and foam behind."""
    brush.polygon([(-1.5, -0.05), (-1.25, 0.20), (-0.9, 0.12), (-0.6, -0.1)], WHITE, 0.85)
    brush.polygon([(-0.62, 0.34), (-0.50, 0.66), (0.05, 0.72), (0.52, 0.40)], accent)
    brush.polygon([(0.10, 0.68), (0.05, 0.44), (0.56, 0.40)], (0.35, 0.55, 0.68))
    brush.polygon([(-0.50, 0.62), (-0.42, 0.46), (-0.05, 0.46), (-0.05, 0.67)], (0.25, 0.42, 0.55))
    hull = [(-0.96, 0.34), (0.2, 0.40), (1.12, 0.46), (0.75, 0.05), (0.45, -0.3), (-0.92, -0.3)]
    brush.polygon(hull, color)
    brush.polygon([(-0.95, 0.12), (0.84, 0.14), (0.75, 0.05), (0.45, -0.3), (-0.92, -0.3)], color, shade=-0.45)
    brush.polygon([(-0.96, 0.34), (0.2, 0.40), (1.12, 0.46), (0.95, 0.36), (-0.95, 0.26)], color, shade=0.5)
    if rng.random() < 0.4:
        brush.line([(-0.85, 0.34), (-0.85, 0.80)], 0.04, GREY)
        brush.polygon([(-0.85, 0.80), (-0.85, 0.58), (-1.25, 0.66)], COLORS["red"])


def cruise_ship(brush: ObjectCanvas, color: Color, accent: Color, rng: np.random.Generator) -> None:
    """Many white decks with rows of windows over a colored hull, and a swept funnel."""
    brush.polygon([(-0.52, 0.8), (-0.20, 0.8), (-0.34, 1.22), (-0.66, 1.22)], accent)
    brush.polygon([(-0.60, 1.06), (-0.28, 1.06), (-0.34, 1.22), (-0.66, 1.22)], accent, shade=-0.4)
    for number, (left, right) in enumerate([(-0.88, 0.72), (-0.84, 0.62), (-0.76, 0.50)]):
        low = 0.28 + 0.2 * number
        brush.polygon([(left, low), (right, low), (right - 0.1, low + 0.2), (left + 0.02, low + 0.2)], WHITE)
        brush.box(left + 0.03, low, right - 0.04, low + 0.045, lerp_color(WHITE, GREY, 0.55))
        _windows(brush, left + 0.12, right - 0.2, low + 0.125, 8 - number, 0.042)
    brush.line([(0.34, 0.85), (0.34, 1.15)], 0.045, GREY)
    paint_hull(brush, color, 0.30, 0.28, 0.40, rake=0.16)


def _deckhouse(brush: ObjectCanvas, left: float, bottom: float, right: float, top: float) -> None:
    """A white deck house, lit from the front, under a gray roof."""
    brush.box(left, bottom, right, top, WHITE)
    brush.box(left, bottom, left + 0.25 * (right - left), top, lerp_color(WHITE, GREY, 0.45))
    brush.box(left - 0.03, top - 0.05, right + 0.03, top, lerp_color(WHITE, GREY, 0.7))


def _windows(brush: ObjectCanvas, left: float, right: float, y: float, count: int, radius: float = 0.05) -> None:
    for x in np.linspace(left, right, count).tolist():
        brush.lamp(x, y, radius)


def _smoke(brush: ObjectCanvas, x: float, y: float, color: Color, rng: np.random.Generator) -> None:
    """Puffs that grow and drift backwards."""
    rise = rng.uniform(0.15, 0.45)
    for number in range(7, -1, -1):
        away = 0.24 * number
        puff = 0.10 + 0.042 * number
        brush.disc(x - away, y + rise * away + 0.05 * (number % 2), puff, color, 0.85 - 0.075 * number)


SHIPS = {
    "sailing boat": ObjectType(sailing_boat, "sails", length=0.74, height=2.2),
    "tall ship": ObjectType(tall_ship, "sails", length=0.84, height=1.8),
    "steamer": ObjectType(steamer, "funnel", length=1.0, height=1.3),
    "cargo ship": ObjectType(cargo_ship, "containers", length=1.04, height=1.2),
    "fishing boat": ObjectType(fishing_boat, "cabin", length=0.86, height=1.6),
    "motor boat": ObjectType(motor_boat, "cabin", length=0.86, height=0.8),
    "cruise ship": ObjectType(cruise_ship, "funnel", length=1.04, height=1.25),
}
