"""A captioned set for tests: colored shapes on grounds, and a reader that tells color and shape from the pixels."""

from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

COLORS = {
    "red": (214, 40, 40), "orange": (245, 140, 30), "yellow": (240, 215, 50), "green": (50, 150, 60),
    "blue": (40, 80, 205), "purple": (135, 50, 165), "pink": (245, 150, 190), "brown": (120, 75, 40),
}  # fmt: skip
GROUNDS = {"white": (250, 250, 250), "gray": (150, 150, 150), "black": (20, 20, 20), "mint": (190, 240, 215)}
SHAPES = ("circle", "square", "triangle", "star", "cross", "ring")
HELD_OUT = frozenset(
    {("red", "star"), ("orange", "ring"), ("yellow", "square"), ("green", "cross"),
     ("blue", "triangle"), ("purple", "circle"), ("pink", "cross"), ("brown", "ring")}
)  # fmt: skip
CAPTIONS = ("a {color} {shape} on a {ground} ground", "{color} {shape}, {ground} ground", "a {color} {shape}")
SIDE, FINE = 64, 4  # pixels, and how many times finer shapes are rendered


def shape_mask(shape: str, center: tuple[float, float], radius: float, side: int = SIDE) -> np.ndarray:
    """Return how much of each pixel a shape covers: (side, side) in [0, 1]."""
    canvas = Image.new("L", (side * FINE, side * FINE))
    draw = ImageDraw.Draw(canvas)
    x, y, r = (FINE * value for value in (*center, radius))
    box = lambda a, b: (x - a, y - b, x + a, y + b)  # noqa: E731
    if shape in ("circle", "ring"):
        draw.ellipse(box(r, r), fill=255)
        if shape == "ring":
            draw.ellipse(box(0.55 * r, 0.55 * r), fill=0)
    elif shape == "square":
        draw.rectangle(box(0.88 * r, 0.88 * r), fill=255)
    elif shape == "cross":
        draw.rectangle(box(r, 0.33 * r), fill=255)
        draw.rectangle(box(0.33 * r, r), fill=255)
    else:
        count, inner = (3, 1.0) if shape == "triangle" else (5, 0.42)
        angles = np.arange(2 * count) * np.pi / count - np.pi / 2
        radii = np.where(np.arange(2 * count) % 2, r * inner, r)
        if shape == "triangle":
            angles, radii = angles[::2], radii[::2]
        draw.polygon([(x + q * np.cos(a), y + q * np.sin(a)) for q, a in zip(radii, angles, strict=True)], fill=255)
    return np.asarray(canvas.resize((side, side), Image.Resampling.BOX)) / 255


def render(color: str, shape: str, ground: str, rng: np.random.Generator, side: int = SIDE) -> np.ndarray:
    """Render one image: (side, side, 3) uint8, the shape of random size and position, light from above."""
    radius = side * rng.uniform(0.2, 0.36)
    center = rng.uniform(radius + 1, side - radius - 1, 2)
    mask = shape_mask(shape, tuple(center), radius, side)[..., None]
    pixels = mask * np.array(COLORS[color]) + (1 - mask) * np.array(GROUNDS[ground])
    light = np.linspace(1.04, 0.94, side)[:, None, None] * rng.uniform(0.95, 1.03)
    return (pixels * light + rng.normal(0, 2, pixels.shape)).clip(0, 255).round().astype(np.uint8)


def write_set(folder: Path, count: int = 600, seed: int = 0) -> None:
    """Write images and a caption beside each; no combination of color and shape in `HELD_OUT` is among them."""
    rng = np.random.default_rng(seed)
    pairs = [pair for pair in product(COLORS, SHAPES) if pair not in HELD_OUT]
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        color, shape = pairs[number % len(pairs)]
        ground = rng.choice(list(GROUNDS))
        Image.fromarray(render(color, shape, ground, rng)).save(folder / f"{number:04}.png")
        caption = rng.choice(CAPTIONS).format(color=color, shape=shape, ground=ground)
        (folder / f"{number:04}.txt").write_text(caption, encoding="utf-8")


def prompts(seen: bool) -> list[tuple[str, str, str]]:
    """Return color, shape and ground of all prompts whose combination is in the set, or of those held out."""
    wanted = [key for key in product(COLORS, SHAPES, GROUNDS) if (key[:2] not in HELD_OUT) == seen]
    return wanted


def read_image(pixels: np.ndarray) -> tuple[str, str, float]:
    """Tell color and shape of (side, side, 3) uint8 from the pixels, and how well the shape fits (IoU, up to 1).

    Pixels unlike the border are the shape; its color is the nearest in `COLORS` to their median; its form is the
    shape of the same box with the largest overlap.
    """
    values = pixels.astype(float)
    border = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
    inside = np.linalg.norm(values - np.median(border, axis=0), axis=-1) > 55
    inside = np.asarray(Image.fromarray(inside).convert("L").filter(ImageFilter.MedianFilter(3))) > 127  # no specks
    if inside.sum() < 30:
        return "none", "none", 0.0
    middle = np.median(values[inside], axis=0)
    color = min(COLORS, key=lambda name: np.linalg.norm(middle - COLORS[name]))
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    box = Image.fromarray(255 * inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.uint8))
    found = np.asarray(box.resize((48, 48), Image.Resampling.BILINEAR)) > 127
    fits = {shape: _overlap(found, _template(shape)) for shape in SHAPES}
    shape = max(fits, key=fits.get)
    return color, shape, fits[shape]


def _template(shape: str) -> np.ndarray:
    mask = shape_mask(shape, (50, 50), 40, 100) > 0.5
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = Image.fromarray(255 * mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.uint8))
    return np.asarray(box.resize((48, 48), Image.Resampling.BILINEAR)) > 127


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    return (a & b).sum() / (a | b).sum()
