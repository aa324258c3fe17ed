"""Synthetic digits: pen strokes, bent and slanted as hands do it, inked with a pen of varying width, placed as
MNIST's are.

Every image is decided by the seed and its number alone. 10,000 take about a second on one core: the strokes of a
block of digits are points in one array, and a pixel's ink depends on its distance to the nearest of these points.

The settings were chosen by looking at MNIST's first 5,000 training digits, and by how many of those a network could
read that had seen synthetic digits only (`tasks/digit_classifier.py`); its test digits were left alone.
"""

from collections.abc import Sequence

import numpy as np

from stablediff_edu.data.digits.strokes import POINTS, STROKE_TEMPLATES, parse_template

SIZE = 28
DIGIT_BOX = 20.0  # MNIST's digits fit into 20×20 pixels, and their center of mass lies in the middle of the image
_BLOCK = 100  # digits rendered at once from one random generator; a multiple of 10

_STROKES = {label: [parse_template(way) for way in ways] for label, ways in STROKE_TEMPLATES.items()}
_MOST = max(len(way.handles) for ways in _STROKES.values() for way in ways)

_STEPS = np.arange(SIZE) - (SIZE - 1) / 2
_Y, _X = (axis.ravel() for axis in np.meshgrid(_STEPS, _STEPS, indexing="ij"))
_PIXELS = np.stack([np.ones_like(_X), _X, _Y, _X**2 + _Y**2]).astype(np.float32)  # (4, 784)


def render_digits_uint8(count: int, seed: Sequence[int] = (0,)) -> tuple[np.ndarray, np.ndarray]:
    """Generate digits, white on black: (N, 28, 28) uint8 and their labels, (N,) int64; each ten holds every digit
    once."""
    blocks = [_render_block(np.random.default_rng([*seed, block])) for block in range(-(-count // _BLOCK))]
    images, labels = (np.concatenate(part)[:count] for part in zip(*blocks, strict=True))
    return images, labels


def _render_block(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    labels = rng.permuted(np.tile(np.arange(10), (_BLOCK // 10, 1)), axis=1).ravel()
    points = _sample_strokes(labels, rng)
    radii = _pen_radius(points, rng)
    return _rasterize(_center(points, radii, rng), radii, rng), labels


def _sample_strokes(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return points on the strokes of each digit, (N, POINTS, 2): x and y about in [-1, 1]."""
    count = len(labels)
    handles, weights = np.zeros((count, _MOST, 2)), np.zeros((count, POINTS, _MOST))
    for number, (label, chance) in enumerate(zip(labels, rng.random(count), strict=True)):
        way = _STROKES[label][int(chance * len(_STROKES[label]))]
        handles[number, : len(way.handles)] = way.handles
        weights[number, :, : len(way.handles)] = way.weights
    unsteady = rng.gamma(2.0, 0.022, (count, 1, 1))  # some hands more, some less
    points = weights @ (handles + unsteady * rng.normal(size=handles.shape))  # (N, POINTS, MOST) @ (N, MOST, 2)
    x, y = points[..., 0], points[..., 1]
    bends = np.stack([x * x, x * y, y * y, x**3, x * x * y, x * y * y, y**3], axis=-1)  # (N, POINTS, 7)
    points = points + bends @ rng.normal(0, 0.09, (count, 7, 2))
    wide = np.exp(rng.normal(0.04, 0.24, count))
    slant, turn = rng.normal(0.2, 0.25, count), rng.normal(0, 0.1, count)
    # (N, 2, 2); y points downwards, so a slant to the right moves what is above the middle, -y, to +x
    shape = np.stack([wide, -slant, turn * wide, np.ones(count)], axis=1).reshape(count, 2, 2)
    return points @ shape.swapaxes(1, 2)


def _pen_radius(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the pen's radius at each point in pixels, (N, POINTS); it follows the pressure and the nib's angle."""
    count = len(points)
    radius = np.exp(rng.normal(0.21, 0.3, (count, 1)))
    along = np.linspace(0, 1, POINTS)
    phase, strength = rng.random((count, 1)), rng.normal(0, 0.1, (count, 1))
    waves = np.exp(rng.uniform(-1, 1.8, (count, 1)))  # along all strokes: from slow changes to a trembling hand
    pressure = strength * np.sin(2 * np.pi * (phase + waves * along))
    step = np.gradient(points, axis=1)
    direction = np.arctan2(step[..., 1], step[..., 0])
    nib = rng.normal(0, 0.12, (count, 1)) * np.cos(2 * (direction - rng.uniform(0, np.pi, (count, 1))))
    return np.clip(radius * (1 + pressure + nib), 0.7, 3.2)


def _center(points: np.ndarray, radii: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Scale into the box, and put the center of mass into the middle of the image: pixels from its center."""
    extent = np.ptp(points, axis=1).max(axis=1)  # (N,) the longer side
    room = DIGIT_BOX - 2 * np.median(radii, axis=1) - rng.uniform(0, 1, len(points))
    points = points * (room / extent)[:, None, None]
    mass = (points * radii[..., None]).sum(axis=1) / radii.sum(axis=1)[:, None]  # (N, 2)
    return points - mass[:, None] + rng.uniform(-0.1, 1.1, (len(points), 1, 2))  # on average pixel (14, 14)


def _rasterize(points: np.ndarray, radii: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return images, (N, 28, 28) uint8, white within the pen's radius of a point.

    How far a pixel p lies outside the pen at point q with radius r is |p - q| - r; near the edge that is almost
    (|p - q|² - r²) / 2r, which is a product of something of the point with something of the pixel: one matrix product.
    """
    x, y = points[..., 0], points[..., 1]
    pens = np.stack([(x * x + y * y - radii**2) / 2, -x, -y, np.full_like(radii, 0.5)], axis=-1)
    pens = (pens / radii[..., None]).astype(np.float32)  # (N, POINTS, 4)
    soft = rng.uniform(0.9, 1.5, len(points))
    images = np.empty((len(points), SIZE * SIZE), np.float32)
    for image, pen, softness in zip(images, pens, soft, strict=True):
        outside = (pen @ _PIXELS).min(axis=0)  # (POINTS, 4) @ (4, 784) -> (784,)
        image[:] = 0.6 - outside / softness
    return (images.clip(0, 1) * 255).round().astype(np.uint8).reshape(-1, SIZE, SIZE)
