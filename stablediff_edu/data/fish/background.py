"""The fish market around a synthetic fish: boards, trays and ice, water, glare, lamp light, camera noise."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Grid = np.ndarray  # (height, width)

# name -> (how often, mean color, spread of the color)
BACKGROUNDS = {
    "blue board": (0.55, (0.12, 0.24, 0.46), 0.05),
    "white board": (0.10, (0.66, 0.68, 0.68), 0.06),
    "steel tray": (0.10, (0.42, 0.45, 0.48), 0.06),
    "wooden board": (0.10, (0.45, 0.30, 0.18), 0.06),
    "ice": (0.08, (0.66, 0.74, 0.80), 0.05),
    "dark cloth": (0.07, (0.10, 0.11, 0.14), 0.03),
}


def value_noise(rng: np.random.Generator, size: int, cells: int) -> Grid:
    """Return smooth noise in about [-1, 1]: random numbers on `cells` × `cells` points, enlarged bicubically."""
    cells = max(2, min(cells, size))
    coarse = Image.fromarray(rng.uniform(-1, 1, (cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))


def render_background(kind: str, x: Grid, y: Grid, rng: np.random.Generator) -> np.ndarray:
    """Paint what the fish lies on: (height, width, 3) in [0, 1], before lamp light and glare.

    Args:
        kind: a name from `BACKGROUNDS`.
        x: position along the photograph's width at every pixel; the shorter side runs from -1 to 1.
        y: position along its height.
        rng: decides the rest.
    """
    size = x.shape[0]
    _, mean, spread = BACKGROUNDS[kind]
    base = np.clip(
        np.array(mean, np.float32) * rng.uniform(0.55, 1.3) + rng.normal(0, spread, 3).astype(np.float32), 0.02, 0.95
    )
    texture = 0.10 * value_noise(rng, size, 4) + 0.05 * value_noise(rng, size, size // 4)
    if kind == "ice":
        lumps = value_noise(rng, size, 10) + 0.6 * value_noise(rng, size, 24)
        texture = texture + 0.22 * np.abs(lumps)
    if kind == "wooden board":
        texture = texture + 0.10 * np.sin(y * rng.uniform(18, 40) + 2.5 * value_noise(rng, size, 4))
    color = base * (1 + 1.2 * texture)[..., None]
    color = _wet_patches(color, rng)
    if rng.random() < 0.5:
        color = _add_edges(color, x, y, base, rng)
    if kind != "dark cloth":
        color = _scratches(color, rng, many=kind in ("blue board", "white board"))
    return np.clip(color, 0.0, 1.0)


def _wet_patches(color: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Darken or lighten patches with clear borders, where water stands on the board."""
    size = color.shape[0]
    water = value_noise(rng, size, 5) + 0.35 * value_noise(rng, size, 17)
    patch = np.clip((water - rng.uniform(0.1, 0.9)) / 0.06, 0.0, 1.0)[..., None]
    return color * (1 + rng.uniform(-0.35, 0.25) * patch)


def _add_edges(color: np.ndarray, x: Grid, y: Grid, base: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Lay one or two half-planes over the image: the board's rim, another board, the table, the dark floor."""
    for _ in range(rng.integers(1, 3)):
        angle = rng.choice([0.0, 0.5, 1.0, 1.5]) * np.pi + rng.normal(0, 0.12)
        beyond = x * np.cos(angle) + y * np.sin(angle) - rng.uniform(0.5, 1.1)
        choices = (
            base * 0.4,
            base * 1.3 + 0.04,
            np.array([0.42, 0.28, 0.15], np.float32),
            np.array([0.03, 0.03, 0.05], np.float32),
        )
        other = choices[rng.integers(len(choices))] * rng.uniform(0.7, 1.2)
        there = np.clip(beyond / 0.015 + 0.5, 0.0, 1.0)[..., None]
        rim = np.exp(-((beyond / rng.uniform(0.01, 0.035)) ** 2))[..., None]
        color = color * (1 - there) + other * there
        color = color * (1 + rng.uniform(-0.6, 0.5) * rim)
    return color


def _scratches(color: np.ndarray, rng: np.random.Generator, many: bool) -> np.ndarray:
    """Draw knife marks, scraped spots and drops: thin lines and small ellipses, most of them lighter."""
    size = color.shape[0]
    layer = Image.new("L", (size, size), 128)
    draw = ImageDraw.Draw(layer)
    count = int(rng.integers(20, 70) if many else rng.integers(0, 15))
    starts = rng.uniform(-0.1, 1.1, (count, 2)) * size
    ends = starts + rng.normal(0, rng.uniform(0.05, 0.30), (count, 2)) * size
    shades = rng.normal(142, 16, count).astype(int)
    for start, end, shade in zip(starts, ends, shades, strict=True):
        draw.line([tuple(start), tuple(end)], fill=int(shade), width=1)
    for _ in range(int(rng.integers(0, 40)) if many else int(rng.integers(0, 15))):
        (left, top), (wide, high) = rng.uniform(0, size, 2), rng.exponential(0.010, 2) * size
        draw.ellipse([left, top, left + wide + 1, top + high + 1], fill=int(rng.integers(110, 230)))
    marks = np.asarray(layer.filter(ImageFilter.GaussianBlur(0.5 * size / 128)), dtype=np.float32) / 128 - 1
    return color + 0.45 * rng.uniform(0.3, 1.0) * marks[..., None] * (0.3 + color)


def cast_shadow(color: np.ndarray, coverage: Grid, rng: np.random.Generator) -> np.ndarray:
    """Darken the ground beside the fish: its coverage, moved to one side and blurred."""
    size = coverage.shape[0]
    direction, reach = rng.uniform(0, 2 * np.pi), rng.uniform(0.0, 0.05) * size
    image = Image.fromarray((coverage * 255).astype(np.uint8))
    moved = image.transform(
        image.size, Image.Transform.AFFINE, (1, 0, reach * np.cos(direction), 0, 1, reach * np.sin(direction))
    )
    soft = moved.filter(ImageFilter.GaussianBlur(rng.uniform(0.006, 0.03) * size))
    return color * (1 - rng.uniform(0.3, 0.9) * np.asarray(soft, dtype=np.float32) / 255)[..., None]


def specular_highlights(x: Grid, y: Grid, rng: np.random.Generator) -> Grid:
    """Return the lamp's mirror image on a wet, scratched board: a bright spot broken into specks, in [0, 1]."""
    size = x.shape[0]
    total = np.zeros_like(x)
    for _ in range(rng.integers(0, 4)):
        center_x, center_y = rng.uniform(-1.0, 1.0, 2)
        wide, high = rng.uniform(0.15, 0.6, 2)
        spot = np.exp(-(((x - center_x) / wide) ** 2) - ((y - center_y) / high) ** 2)
        specks = value_noise(rng, size, size * 5 // 8) + 0.5 * value_noise(rng, size, size // 6)
        total = total + spot * np.clip(0.2 + 1.6 * (specks - rng.uniform(0.0, 0.4)), 0.05, 1.0)
    return np.clip(total * rng.uniform(0.3, 1.0), 0.0, 1.0).astype(np.float32)


def illumination(x: Grid, y: Grid, rng: np.random.Generator) -> np.ndarray:
    """Return how much light of each color falls on every pixel: a warm lamp to one side, darker away from it."""
    warmth = rng.uniform(-0.10, 0.30)
    lamp_x, lamp_y = rng.uniform(-1.2, 1.2, 2)
    falloff = np.exp(-((x - lamp_x) ** 2 + (y - lamp_y) ** 2) / rng.uniform(1.5, 8.0))
    strength = rng.uniform(0.55, 1.15) * (0.55 + 0.6 * falloff)
    return strength[..., None] * np.array([1 + warmth, 1.0, 1 - warmth], np.float32)


def add_occluder(color: np.ndarray, x: Grid, y: Grid, rng: np.random.Generator) -> np.ndarray:
    """Let something out of the image throw a soft dark shape over a corner, as a hand or a crate does."""
    center_x, center_y = rng.choice([-1.0, 1.0], 2) * rng.uniform(0.6, 1.3, 2)
    shape = np.hypot((x - center_x) / rng.uniform(0.2, 0.7), (y - center_y) / rng.uniform(0.2, 0.7))
    return color * (1 - rng.uniform(0.5, 0.9) * np.clip((1 - shape) / 0.15, 0, 1))[..., None]


def date_stamp(size: int, turned_degrees: float, rng: np.random.Generator) -> Grid:
    """Return the coverage of a camera's date stamp, turned with the photograph."""
    text = f"{rng.integers(1, 29):02d}/{rng.integers(1, 13):02d}/{rng.integers(2017, 2021)}"
    layer = Image.new("L", (2 * size, 2 * size), 0)
    ImageDraw.Draw(layer).text((0.08 * size, 1.72 * size), text, fill=255, font_size=0.15 * size)
    layer = layer.rotate(-turned_degrees, resample=Image.Resampling.BILINEAR)
    return np.asarray(layer.resize((size, size), Image.Resampling.BOX), dtype=np.float32) / 255


def camera_noise(color: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pass the light through a cheap camera: exposure, a little blur, sensor noise."""
    size = color.shape[0]
    contrast, lift = rng.uniform(0.85, 1.2), rng.uniform(-0.03, 0.05)
    color = np.clip(color * contrast + lift, 0.0, 1.0)
    image = Image.fromarray((color * 255).astype(np.uint8))
    blurred = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.0, 0.8) * size / 128))
    noise = rng.uniform(0.004, 0.03) * rng.standard_normal(color.shape, dtype=np.float32)
    return np.clip(np.asarray(blurred, dtype=np.float32) / 255 + noise, 0.0, 1.0)
