"""The sea of a drawn scene: from above with waves and the sun's path, or from within; and what it mirrors.

Places are in parts of the picture's width; in the sea's own picture, y runs downwards from the horizon.
"""

import numpy as np
from PIL import Image, ImageDraw

from stablediff_edu.datasets.scene_brush import Colour, mix, shade, to_bytes
from stablediff_edu.datasets.scene_weather import Sea, Sky, glow, gradient


def paint_sea(sky: Sky, sea: Sea, horizon: float, sun: float, side: int, random: np.random.Generator) -> Image.Image:
    """Paint the sea as it is seen from above: an RGB picture `side` pixels wide, from the horizon to the lower edge.

    Args:
        sky: from `SKIES`: its light colours the water.
        sea: from `SEAS`.
        horizon: where the sea begins in the whole picture.
        sun: how far to the right the sun or moon stands, if it can be seen.
        side: pixels a side of the whole picture.
        random: decides where the waves are.
    """
    high = 1 - horizon
    colours = gradient(
        [sky.far, mix(sky.far, sky.near, 0.7), sky.near], [0, 0.4, 1], side - round(horizon * side), side
    )
    if sky.sun:
        colours = glow(colours, sky.sun, sun, 0.0, strength=0.25)
    image = Image.fromarray((np.clip(colours, 0, 1) * 255).astype(np.uint8))
    draw = ImageDraw.Draw(image, "RGBA")
    if sky.sun:
        _path_of_light(draw, sky.sun, sun, high, side, random)
    light = mix(sky.far, (1.0, 1.0, 1.0), 0.35)
    if sea.height:
        _waves(draw, sea, light, shade(sky.near, -0.12), high, side, random)
    else:
        _streaks(draw, light, high, side, random)
    return image


def wave_line(sea: Sea, phase: float, at: np.ndarray, near: float = 0.5) -> np.ndarray:
    """Return how far below its mean the surface lies at these places; `near` is 0 at the horizon, 1 before us."""
    return sea.height * (0.5 + near) * (
        np.sin(at * 21 / (0.6 + near) + phase) + 0.4 * np.sin(at * 43 / (0.6 + near) + 2.3 * phase)
    )  # fmt: skip


def _path_of_light(
    draw: ImageDraw.ImageDraw, light: Colour, sun: float, high: float, side: int, random: np.random.Generator
) -> None:
    """Paint the sun's path on the water: dashes that grow towards us."""
    for near in (np.arange(7) + 0.6) / 7:
        y, wide, thick = high * near**1.4, (0.03 + 0.07 * near) * random.uniform(0.6, 1.3), 0.006 + 0.012 * near
        x = sun + random.normal(0, 0.015)
        box = [x - wide, y - thick, x + wide, y + thick]
        draw.ellipse([value * side for value in box], to_bytes(light, 0.65 - 0.3 * near))


def _streaks(draw: ImageDraw.ImageDraw, light: Colour, high: float, side: int, random: np.random.Generator) -> None:
    """Paint the thin light streaks of calm water."""
    for x, near, long in random.uniform(0, 1, (8, 3)).tolist():
        y, wide, thick = high * (0.08 + 0.9 * near), (0.05 + 0.10 * long) * (0.5 + near), 0.004 + 0.007 * near
        box = [x - wide, y - thick, x + wide, y + thick]
        draw.ellipse([value * side for value in box], to_bytes(light, 0.4))


def _waves(
    draw: ImageDraw.ImageDraw,
    sea: Sea,
    light: Colour,
    deep: Colour,
    high: float,
    side: int,
    random: np.random.Generator,
) -> None:
    """Paint rows of waves, each a little darker than the one behind it, with light on its crests."""
    at = np.linspace(0, 1, 33)
    rows = 4
    for near in ((np.arange(rows) + 0.7) / rows).tolist():
        surface = wave_line(sea, random.uniform(0, 6.3), at, near)
        light_below = (0.006 + 0.012 * near) * np.clip(1 - 0.9 * surface / (surface.max() + 1e-6), 0.1, 2)
        crest = np.stack([at, high * near**1.3 + surface], axis=1) * side
        lower = crest + np.stack([np.zeros_like(at), light_below * side], axis=1)
        draw.polygon([*crest.ravel().tolist(), side, side, 0, side], to_bytes(deep, 0.24))
        draw.polygon([*crest.ravel().tolist(), *lower[::-1].ravel().tolist()], to_bytes(light, 0.4))


def paint_depths(sky: Sky, horizon: float, side: int, random: np.random.Generator) -> Image.Image:
    """Paint the sea as it is seen from within: rays of light from the surface, bubbles, weed and sand."""
    high = 1 - horizon
    water = mix(mix(sky.far, sky.near, 0.5), (0.08, 0.62, 0.72), 0.5)
    deep = mix(sky.near, (0.02, 0.22, 0.36), 0.4)
    colours = gradient([mix(water, (1, 1, 1), 0.3), water, deep], [0, 0.15, 1], side - round(horizon * side), side)
    image = Image.fromarray((np.clip(colours, 0, 1) * 255).astype(np.uint8))
    draw = ImageDraw.Draw(image, "RGBA")
    for _ in range(random.integers(2, 5)):
        x, wide, lean = random.uniform(0, 1), random.uniform(0.03, 0.08), random.uniform(0.05, 0.3)
        ray = [x, 0, x + wide, 0, x + 2.2 * wide - lean, high, x - wide - lean, high]
        draw.polygon([value * side for value in ray], to_bytes(mix(water, (1, 1, 1), 0.6), 0.16))
    at = np.linspace(0, 1, 17)
    sand = high - random.uniform(0.06, 0.11) + 0.012 * np.sin(at * random.uniform(6, 12) + random.uniform(0, 6))
    for _ in range(random.integers(1, 4)):
        _weed(draw, random.uniform(0, 1), high, shade(mix((0.10, 0.50, 0.30), water, 0.3), -0.15), side, random)
    outline = (np.stack([at, sand], axis=1) * side).ravel().tolist()
    draw.polygon([*outline, side, side, 0, side], to_bytes(mix((0.86, 0.74, 0.50), deep, 0.45)))
    for x, y, wide in random.uniform(0, 1, (random.integers(2, 6), 3)).tolist():
        y, radius = high * (0.1 + 0.7 * y), 0.010 + 0.014 * wide
        box = [x - radius, y - radius, x + radius, y + radius]
        draw.ellipse([value * side for value in box], to_bytes((1, 1, 1), 0.55))
    draw.rectangle([0, 0, side, 0.014 * side], to_bytes((1, 1, 1), 0.6))
    return image


def _weed(
    draw: ImageDraw.ImageDraw, x: float, low: float, colour: Colour, side: int, random: np.random.Generator
) -> None:
    up = np.linspace(0, 1, 7)
    for _ in range(2):
        tall, sway = random.uniform(0.16, 0.32), x + 0.02 * np.sin(up * 7 + random.uniform(0, 6))
        leaf = np.stack([sway, low - tall * up], axis=1) * side
        draw.line(leaf.ravel().tolist(), to_bytes(colour), max(2, round(0.035 * side)), joint="curve")
        x += 0.05


def cut_and_mirror(layer: np.ndarray, surface: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split what was painted on a layer by the water's surface.

    Args:
        layer: (H, W, 4) uint8, the thing alone.
        surface: (W,) the row of the surface in every column.

    Returns:
        Two layers: the thing without what is under water, and its trembling mirror image.
    """
    side = len(layer)
    first, last = max(int(surface.min()), 0), min(int(surface.max() + 0.32 * side), side)
    rows = np.arange(first, last, dtype=np.float32)[:, None]  # (R, 1): only these rows hold any water that matters
    below = rows - surface[None].astype(np.float32)  # (R, W)
    mirrored, thing = np.zeros_like(layer), layer.copy()
    thing[first:last, :, 3] *= below <= 0
    thing[last:] = 0
    tremble = (np.sin(rows * (130 / side)) * 0.012 * side).astype(np.int32)  # from side to side, row by row
    source_rows = np.clip(surface[None] - 1.5 * below, 0, side - 1).astype(np.int32)  # the image is a little flatter
    source_columns = np.clip(np.arange(side)[None] + tremble, 0, side - 1)
    mirrored[first:last] = layer[source_rows, source_columns]
    fade = 0.5 * np.clip(1 - below / (0.32 * side), 0, 1) * (below > 0)
    mirrored[first:last, :, 3] = (mirrored[first:last, :, 3] * fade).astype(np.uint8)
    return thing, mirrored
