"""How people write the ten digits: pen strokes, several ways of writing each.

A way of writing is a line of text: points "x,y" in a box 10 wide and 14 high, y downwards. The pen runs through them
in a smooth curve; "/" is a corner, after which it goes on from the same point, and "|" lifts the pen.
"""

from dataclasses import dataclass

import numpy as np

# A way that stands twice is used twice as often.
STROKE_TEMPLATES: dict[int, tuple[str, ...]] = {
    0: (
        "5,0 1.5,3 .5,7 2,12 5,14 8,12 9.5,7 8,2.5 5,0",
        "5,.3 1.8,2.5 .5,7 2,12 5,14 8,12 9.5,7 8,2 4.8,-.2 3.2,1",
        "3.5,.8 1,4 .7,9 3,13.5 6.5,13.3 9.2,9.5 9,4 6.5,.5 4,1 3.5,2.5",
        "6.5,3 4.5,.8 1.5,3.5 .5,8 2.5,13 5.5,14 8.5,11.5 9.5,7 8,2 5.5,0",
        "5,0 .5,2.5 -1,7 .5,12 5,14 9.5,12 11,7 9.5,2 5,0",
    ),
    1: (
        "5,0 5,7 5,14",
        "5,0 5,7 5,14",
        "5,0 5,7 5,14",
        "2,3.5 3.5,2 5,0 / 5,7 5,14",
        "2,3.5 3.5,2 5,0 / 5,7 5,14 | 1.5,14 5,14 8.5,14",
        "4,2.5 5,0 / 5,7 5,14",
    ),
    2: (
        "1,3 3.5,.3 7.5,1 8,4.5 5.5,8.5 1,13.5 / 5,13.2 9.5,13.5",
        "1,3 3.5,.3 7.5,1 8,4.5 5.5,8.5 1,13.5 / 5,13.2 9.5,13.5",
        "1,3 4,0 8,1.5 7.5,5.5 4.5,10.5 1.5,13.5 .3,12 2,10.8 5,12.5 7.5,13.8 10,12.8",
        "1,3 4,0 8,1.5 7.5,5.5 4.5,10.5 1.5,13.5 .3,12 2,10.8 5,12.5 7.5,13.8 10,12.8",
        ".5,1.5 4,.8 8.3,.5 7,3.5 3.5,8.5 .5,13.5 / 5,13.3 9.5,13.3",
        "2.5,4 1.5,2 4,0 7.5,1 7.5,4.5 5,9 1.5,13.3 1,11.5 3,11.3 6,13.3 9,13.6",
        "2.5,2 5,0 7.5,1.5 7,7 5.5,12 3,14 .5,12.3 2.3,9.8 5,11.5 7,13.5 9.5,13",
        "1.5,3 4,0 7.5,1.5 7,6 4.5,10.5 2,13 .5,11.5 2,9.5 5,11.5 7.5,13 10,11.5",
        "1,3 4,0 8,1.5 8,6 5.5,11 2.5,13.5 .5,12.5 1,10 4,9.8 7,12 10,13.5",
        "1,3 3.5,.3 6.3,1.2 6.2,5 4,9 1,13 / 6,12.8 12,12",
        "1,2.5 4.5,0 8,1.5 7.5,5.5 5,9.5 1.5,12.5 2.5,13.7 6,13.3 10.5,12",
        "1,3.5 3.5,.3 7,1.2 8,5 7.3,9 4,12.8 1,12.8 .5,10.3 3,9 6.5,10.5 10,13.5",
        "1,2.5 5,0 8.5,3 8,7 5,11.5 2.5,13 .8,11.5 2.2,9.8 5.5,10.5 9,11.5 12,11",
    ),
    3: (
        "1,2 4,0 8,1.2 7.5,4.8 4,6.5 / 8.3,8 8.5,11.5 4.5,14 .5,12.3",
        "1,2 4,0 8,1.2 7.5,4.8 4,6.5 / 8.3,8 8.5,11.5 4.5,14 .5,12.3",
        "1,.6 4.5,.6 8.5,.5 / 6,3.3 4,6 / 8,7.5 8.5,11.3 4.5,14 .5,12.5",
        "1,2 4.5,0 8,1.5 7.2,4.8 4.5,6.8 3.7,6.2 5,5.8 8.6,8.5 8.3,12 4.5,14 .5,12.3",
        "1,1.5 5,0 8,2.5 5.5,6.3 8.5,9 7.5,13 3.5,14 .5,12.5",
        "1,2 4,0 7.5,1.2 7,4.8 4.5,6.5 / 7,8 7,11 4,14",
        "1,1.5 4.5,.3 8,.8 6.5,3.5 4,5.8 / 7.5,7 8.5,10.5 6,13.3 1,14",
        "1.5,2.5 5,0 7.5,2 6.5,5 4,6 / 8,6.8 9.3,10.5 6.5,13.8 2.5,13.8 .5,11.5",
        "1,2 4.5,0 8,1.5 7.5,5 4.5,7.3 / 7,9 6.5,12 3.5,14",
    ),
    4: (
        "2,.5 1.2,4.5 .8,8 / 5,8 9.5,7.5 | 7,0 6.5,7 6,14",
        "2,.5 .7,5.5 1.5,8.2 5,8 8,6.5 | 8,.5 7,7 6,14",
        "2,.5 .7,5.5 1.5,8.2 5,8 8,6.5 | 8,.5 7,7 6,14",
        "6.5,0 3.5,4.5 .3,9.3 / 5,9.3 9.8,9.3 | 6.5,0 6.5,7 6.5,14",
        "3,0 1,5 2,8 5,7.5 8.5,1 / 7.5,6 6,14",
        "6,.5 2.5,4 .5,7.5 / 4.5,7.8 9,7 | 7,1 6.3,7 5.5,14",
    ),
    5: (
        "8.5,.3 5.5,.4 2.5,.5 / 2.2,3 1.8,5.5 / 5,4.8 8.3,7.5 8,11.5 4.5,14 .5,12.5",
        "8.5,.3 5.5,.4 2.5,.5 / 2.2,3 1.8,5.5 / 5,4.8 8.3,7.5 8,11.5 4.5,14 .5,12.5",
        "9,.5 4,.8 2.3,3.5 5,6.2 7.8,9 6.5,13 3,14 .3,12.5",
        "3,.8 2.5,3 2,5.5 / 5.2,5 8,7.5 7.7,11.5 4.5,14 .5,12.8 | 3,.8 6,.5 10,0",
        "3,.8 2.2,3 3,5.5 6,7 7.8,9.5 6,13 3,14 .5,13 | 3,.8 6,.3 10,0",
        "8,.3 5,.4 2.5,.5 / 2.2,3 1.8,5.5 / 5,4.5 8.5,7.5 8,12 4.5,14 1,13 .8,10.5",
        "8,0 3,1 / 2.3,3.5 2,6.5 / 5.5,5.3 8.3,8 7.5,12 4,14 1,13.3 1.3,11.3",
        "7,.5 4,.8 2,4.5 2.5,6 5,5.5 8,8 7.5,12 4.5,14 1.5,13",
    ),
    6: (
        "7,0 3,4 .8,9 2,13 5.5,13.8 8.3,11 7,8 4,7.8 1.5,10.5",
        "7,0 3,4 .8,9 2,13 5.5,13.8 8.3,11 7,8 4,7.8 1.5,10.5",
        "4,0 1.5,6 1,11 4,14 8,12 7.5,8.5 4.5,7.7 1.2,10.5",
        "5.5,0 2,4.5 .8,9.5 2.5,13.5 6,13.8 8.5,11.5 8,9.3 5.5,9 3.5,11 3.5,13",
        "1.5,1 .5,7 2,12.5 6,14 9,11.5 8.5,8.3 6,8 4.5,10.5 5,13.5",
        "5,0 3,5 2,10 2.5,13.5 5,13.8 6.3,11.5 5,10 2.8,11.5",
        "1,0 .6,5 .8,10 3,13.8 7.5,13.5 9.3,10 7,6.8 3.5,7.5 1,10",
        "8,1 4,.5 .8,5 1,11 5,14 9,11 8,7.5 4,7.5 2,9",
    ),
    7: (
        ".5,1 4.5,1 8.5,.8 / 5.5,6.5 3.5,14",
        ".5,1 4.5,1 8.5,.8 / 5.5,6.5 3.5,14",
        ".5,1 4.5,1 8.5,.8 / 5.5,6.5 3.5,14 | 2,7.5 5,7.3 8.5,7",
        ".5,3.5 .8,2.2 1,.8 / 4.5,.7 8.5,.6 / 6,6.5 4.5,14",
        ".5,2 4,.5 8.5,1.2 7.8,4.5 5.8,9.5 5,14",
        ".5,4.5 1.5,1.3 5,.5 8,1.5 8.3,4.5 7,9 6,14",
    ),
    8: (
        "8,2 5,0 2,2 3.5,5.5 7,8.5 8,12 5,14 1.8,12 3,8.5 6.5,5.5 8,2",
        "8,2 5,0 2,2 3.5,5.5 7,8.5 8,12 5,14 1.8,12 3,8.5 6.5,5.5 8,2",
        "5,0 1.8,3.2 5,6.5 8.2,3.2 5,0 | 5,6.5 1,10.3 5,14 9,10.3 5,6.5",
        "7.5,1.5 5,0 2,2.2 4,6 7,9 6.5,13 3.5,14 1.8,11.5 4,8 9,1",
        "8.5,1 5,.3 2,2 4,5.5 6.5,8.5 6,13 4,14 2.8,12 4.5,8 8,4.5 8.5,1",
        "9,1.5 6,.3 2.5,1.8 3.5,5 7.5,8.5 8,12 5,14 2,12.5 3,9 6.5,5.5 9.5,3",
        "5.5,.3 2,1.5 2.5,5 7,7.5 9.5,10.5 6.5,14 1.5,13 1,10 5,7 8,4 8,1 5.5,.3",
        "8.5,1 5,0 2.5,2.5 5,6 7,9.5 6,13.5 4,14 3.3,11.5 5,8 9,2",
        "5,0 2.3,2.7 5,5.5 7.7,2.7 5,0 | 5,5.5 .5,9.8 5,14 9.5,9.8 5,5.5",
        "9,0 8,2.5 5,5.5 2.5,9 2.5,13 5,14 7,11 5.5,7 3,4 3.5,1 6,.5 9,0",
        "8.8,1.5 6,0 3,.8 2.5,3.5 6,6.5 8,9.5 6.5,13.5 3,13.5 2.5,10.5 5,7.5 7.5,5.5",
        "9.5,1.5 6,.3 2.5,1.5 2,4 5,7.5 7,10 6,13.3 3.8,13.5 3,11.5 5,8.5 8,5.5 9,3.5",
        "2,14 4,9.5 7.5,4.5 7.8,1.3 5,0 2.5,1.5 3.3,5 6,9.5 8.5,14 / 5,13.5 2,14",
    ),
    9: (
        "8,2.5 5,0 1.3,2.5 1.5,6.3 5,7 8,3.5 | 8.2,1.5 7.8,7 7.3,14",
        "8,3 5.3,.2 1.8,2.5 2,6.5 5.5,6.8 8.2,2.8 / 7.3,8.5 5.5,14",
        "8,3 5.3,.2 1.8,2.5 2,6.5 5.5,6.8 8.2,2.8 / 7.3,8.5 5.5,14",
        "8,3 5.3,.2 1.8,2.5 2,6.5 5.5,6.8 8,4 8.2,8 7.5,12.5 4.5,14 2,12.8",
        "7.5,.5 4,.8 1.2,4 2.5,7.3 6,6 8.3,2 / 7.3,8.5 6.5,14",
        "8,2 5,0 1,4 1.5,9 4.5,9.5 8,4 / 8,9 8,14",
        "8.5,1 5,.2 2,3.5 3,6.5 7,4 8.5,1 / 6.5,8 5,14",
        "8,3 5.3,.2 2,2 2,5.5 5,6 8,3.5 / 7.8,9 7.5,14",
        "7.5,1.5 4.5,.5 1.5,4 2,8 5,8 7.5,4.5 8,1.5 / 7.3,8 6.8,14",
        "7,1.5 4.5,.8 3,3 4,4.8 6.5,3.5 / 6.5,9 6,14",
        "8,1 4,.5 1,4 2,7.5 5,6.5 8,2.5 / 6.8,8 6,14",
    ),
}
POINTS = 80  # on the strokes of one digit, however many strokes it has: closer together than a pen is wide


@dataclass(frozen=True)
class Strokes:
    """One way of writing, ready to be drawn.

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
    curves, last = [], []
    for mark, text in _parts(way):
        points = [tuple(float(number) for number in point.split(",")) for point in text.split()]
        curves.append(last[-1:] + points if mark == "/" else points)
        last = points
    named = list(dict.fromkeys(point for curve in curves for point in curve))
    handles = np.array(named) / (5, 7) - 1
    handles[:, 0] *= 5 / 7  # one unit in both directions
    fine = [_catmull_rom([named.index(point) for point in curve], len(named)) for curve in curves]
    lengths = [np.linalg.norm(np.diff(weights @ handles, axis=0), axis=1).sum() for weights in fine]
    ends = np.round(np.cumsum(lengths) / sum(lengths) * POINTS).astype(int)
    counts = np.diff(ends, prepend=0)
    weights = [_resample_by_arc_length(weights, handles, count) for weights, count in zip(fine, counts, strict=True)]
    return Strokes(handles, np.concatenate(weights), sum(lengths))


def _parts(way: str) -> list[tuple[str, str]]:
    """Cut a way into curves, each with the mark that stands before it."""
    words, parts = way.split(), [("|", "")]
    for word in words:
        if word in "/|":
            parts.append((word, ""))
        else:
            parts[-1] = (parts[-1][0], f"{parts[-1][1]} {word}")
    return parts


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
