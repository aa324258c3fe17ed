"""How people write the ten digits: pen strokes, several ways of writing each, read from strokes.txt."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# digit → its ways of writing; strokes.txt explains the notation
STROKE_TEMPLATES: dict[int, list[str]] = {}
for _line in Path(__file__).with_name("strokes.txt").read_text(encoding="utf-8").splitlines():
    if not _line.startswith("#"):
        STROKE_TEMPLATES.setdefault(int(_line[0]), []).append(_line[2:].strip())
Point = tuple[float, float]
POINTS = 80  # on the strokes of one digit, however many strokes it has: closer together than a pen is wide


@dataclass(frozen=True)
class Strokes:
    """One way of writing, ready to be rendered.

    Attributes:
        handles: (K, 2) the points that the strokes run through, x and y in [-1, 1]; they may be moved.
        weights: (POINTS, K): ``weights @ handles`` are points on the strokes, all equally far apart.
        length: of all strokes, in the unit of the handles.
    """

    handles: np.ndarray
    weights: np.ndarray
    length: float


def parse_template(way: str) -> Strokes:
    """Read a way of writing; curves that name the same point meet there, even after it has been moved."""
    curves: list[list[Point]] = []
    marks = re.findall("[/|]", way)
    for mark, text in zip(["|", *marks], re.split("[/|]", way), strict=True):
        points = [(float(x), float(y)) for x, y in (point.split(",") for point in text.split())]
        curves.append([curves[-1][-1], *points] if mark == "/" else points)
    named = list(dict.fromkeys(point for curve in curves for point in curve))
    handles = np.array(named) / (5, 7) - 1
    handles[:, 0] *= 5 / 7  # one unit in both directions
    fine = [_catmull_rom([named.index(point) for point in curve], len(named)) for curve in curves]
    lengths = [np.linalg.norm(np.diff(weights @ handles, axis=0), axis=1).sum() for weights in fine]
    ends = np.round(np.cumsum(lengths) / sum(lengths) * POINTS).astype(int)
    counts = np.diff(ends, prepend=0)
    weights = [_resample_by_arc_length(weights, handles, count) for weights, count in zip(fine, counts, strict=True)]
    return Strokes(handles, np.concatenate(weights), sum(lengths))


def _catmull_rom(curve: list[int], handles: int, steps: int = 24) -> np.ndarray:
    """Return weights of the handles for points on a Catmull-Rom curve through those with these numbers."""
    around = [curve[0], *curve, curve[-1]]
    t = np.linspace(0, 1, steps)[:, None]
    powers = np.concatenate([t**0, t, t**2, t**3], axis=1)  # (steps, 4)
    spline = powers @ (np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]]) / 2)
    pieces = []
    for first in range(len(curve) - 1):
        weights = np.zeros((steps, handles))
        for column, number in enumerate(around[first : first + 4]):
            weights[:, number] += spline[:, column]
        pieces.append(weights)
    return np.concatenate(pieces)  # (steps · pieces, handles)


def _resample_by_arc_length(weights: np.ndarray, handles: np.ndarray, count: int) -> np.ndarray:
    """Return weights for ``count`` points, all equally far apart along the curve."""
    steps = np.diff(weights @ handles, axis=0, prepend=(weights @ handles)[:1])
    gone = np.cumsum(np.linalg.norm(steps, axis=1))
    places = np.interp(np.linspace(0, gone[-1], count), gone, np.arange(len(gone)))  # between which two fine points
    before = np.minimum(places.astype(int), len(gone) - 2)
    share = (places - before)[:, None]
    return weights[before] * (1 - share) + weights[before + 1] * share
