"""The sea of a synthetic scene: from above with waves and the sun's path, or from within; and what it mirrors.

Places are in parts of the image's width; in the sea's own image, y runs downwards from the horizon.
"""

import numpy as np
from PIL import Image, ImageDraw

from stablediff_edu.data.scenes.canvas import Color, adjust_brightness, lerp_color, rgba8
from stablediff_edu.data.scenes.conditions import Sea, Sky, gradient, radial_gradient


def render_water(sky: Sky, sea: Sea, horizon: float, sun: float, side: int, rng: np.random.Generator) -> Image.Image:
    """Paint the sea as it is seen from above: an RGB image `side` pixels wide, from the horizon to the lower edge.

    Args:
        sky: from `SKIES`: its light colors the water.
        sea: from `SEAS`.
        horizon: where the sea begins in the whole image.
        sun: how far to the right the sun or moon stands, if it can be seen.
        side: pixels a side of the whole image.
        rng: decides where the waves are.
    """
    high = 1 - horizon
    colors = gradient(
        [sky.far, lerp_color(sky.far, sky.near, 0.7), sky.near], [0, 0.4, 1], side - round(horizon * side), side
    )
    if sky.sun:
        colors = radial_gradient(colors, sky.sun, sun, 0.0, strength=0.25)
    image = Image.fromarray((np.clip(colors, 0, 1) * 255).astype(np.uint8))
    draw = ImageDraw.Draw(image, "RGBA")
    if sky.sun:
        _path_of_light(draw, sky.sun, sun, high, side, rng)
    light = lerp_color(sky.far, (1.0, 1.0, 1.0), 0.35)
    if sea.height:
        _waves(draw, sea, light, adjust_brightness(sky.near, -0.12), high, side, rng)
    else:
        _streaks(draw, light, high, side, rng)
    return image


def wave_height(sea: Sea, phase: float, at: np.ndarray, near: float = 0.5) -> np.ndarray:
    """Return how far below its mean the surface lies at these places; `near` is 0 at the horizon, 1 before us."""
    return sea.height * (0.5 + near) * (
        np.sin(at * 21 / (0.6 + near) + phase) + 0.4 * np.sin(at * 43 / (0.6 + near) + 2.3 * phase)
    )  # fmt: skip


def _path_of_light(
    draw: ImageDraw.ImageDraw, light: Color, sun: float, high: float, side: int, rng: np.random.Generator
) -> None:
    """Paint the sun's path on the water: dashes that grow towards us."""
    for near in (np.arange(7) + 0.6) / 7:
        y, wide, thick = high * near**1.4, (0.03 + 0.07 * near) * rng.uniform(0.6, 1.3), 0.006 + 0.012 * near
        x = sun + rng.normal(0, 0.015)
        box = [x - wide, y - thick, x + wide, y + thick]
        draw.ellipse([value * side for value in box], rgba8(light, 0.65 - 0.3 * near))


def _streaks(draw: ImageDraw.ImageDraw, light: Color, high: float, side: int, rng: np.random.Generator) -> None:
    """Paint the thin light streaks of calm water."""
    for x, near, long in rng.uniform(0, 1, (8, 3)).tolist():
        y, wide, thick = high * (0.08 + 0.9 * near), (0.05 + 0.10 * long) * (0.5 + near), 0.004 + 0.007 * near
        box = [x - wide, y - thick, x + wide, y + thick]
        draw.ellipse([value * side for value in box], rgba8(light, 0.4))


def _waves(
    draw: ImageDraw.ImageDraw,
    sea: Sea,
    light: Color,
    deep: Color,
    high: float,
    side: int,
    rng: np.random.Generator,
) -> None:
    """Paint rows of waves, each a little darker than the one behind it, with light on its crests."""
    at = np.linspace(0, 1, 33)
    rows = 4
    for near in ((np.arange(rows) + 0.7) / rows).tolist():
        surface = wave_height(sea, rng.uniform(0, 6.3), at, near)
        light_below = (0.006 + 0.012 * near) * np.clip(1 - 0.9 * surface / (surface.max() + 1e-6), 0.1, 2)
        crest = np.stack([at, high * near**1.3 + surface], axis=1) * side
        lower = crest + np.stack([np.zeros_like(at), light_below * side], axis=1)
        draw.polygon([*crest.ravel().tolist(), side, side, 0, side], rgba8(deep, 0.24))
        draw.polygon([*crest.ravel().tolist(), *lower[::-1].ravel().tolist()], rgba8(light, 0.4))


def render_underwater(sky: Sky, horizon: float, side: int, rng: np.random.Generator) -> Image.Image:
    """Paint the sea as it is seen from within: rays of light from the surface, bubbles, weed and sand."""
    high = 1 - horizon
    water = lerp_color(lerp_color(sky.far, sky.near, 0.5), (0.08, 0.62, 0.72), 0.5)
    deep = lerp_color(sky.near, (0.02, 0.22, 0.36), 0.4)
    colors = gradient(
        [lerp_color(water, (1, 1, 1), 0.3), water, deep], [0, 0.15, 1], side - round(horizon * side), side
    )
    image = Image.fromarray((np.clip(colors, 0, 1) * 255).astype(np.uint8))
    draw = ImageDraw.Draw(image, "RGBA")
    for _ in range(rng.integers(2, 5)):
        x, wide, lean = rng.uniform(0, 1), rng.uniform(0.03, 0.08), rng.uniform(0.05, 0.3)
        ray = [x, 0, x + wide, 0, x + 2.2 * wide - lean, high, x - wide - lean, high]
        draw.polygon([value * side for value in ray], rgba8(lerp_color(water, (1, 1, 1), 0.6), 0.16))
    at = np.linspace(0, 1, 17)
    sand = high - rng.uniform(0.06, 0.11) + 0.012 * np.sin(at * rng.uniform(6, 12) + rng.uniform(0, 6))
    green = adjust_brightness(lerp_color((0.10, 0.50, 0.30), water, 0.3), -0.15)
    for _ in range(rng.integers(1, 4)):
        _weed(draw, rng.uniform(0, 1), high, green, side, rng)
    outline = (np.stack([at, sand], axis=1) * side).ravel().tolist()
    draw.polygon([*outline, side, side, 0, side], rgba8(lerp_color((0.86, 0.74, 0.50), deep, 0.45)))
    for x, y, wide in rng.uniform(0, 1, (rng.integers(2, 6), 3)).tolist():
        y, radius = high * (0.1 + 0.7 * y), 0.010 + 0.014 * wide
        box = [x - radius, y - radius, x + radius, y + radius]
        draw.ellipse([value * side for value in box], rgba8((1, 1, 1), 0.55))
    draw.rectangle([0, 0, side, 0.014 * side], rgba8((1, 1, 1), 0.6))
    return image


def _weed(draw: ImageDraw.ImageDraw, x: float, low: float, color: Color, side: int, rng: np.random.Generator) -> None:
    up = np.linspace(0, 1, 7)
    for _ in range(2):
        tall, sway = rng.uniform(0.16, 0.32), x + 0.02 * np.sin(up * 7 + rng.uniform(0, 6))
        leaf = np.stack([sway, low - tall * up], axis=1) * side
        draw.line(leaf.ravel().tolist(), rgba8(color), max(2, round(0.035 * side)), joint="curve")
        x += 0.05


def clip_and_reflect(layer: np.ndarray, surface: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split what was painted on a layer by the water's surface.

    Args:
        layer: (H, W, 4) uint8, the object alone.
        surface: (W,) the row of the surface in every column.

    Returns:
        Two layers: the object without what is under water, and its trembling mirror image.
    """
    side = len(layer)
    first, last = max(int(surface.min()), 0), min(int(surface.max() + 0.32 * side), side)
    rows = np.arange(first, last, dtype=np.float32)[:, None]  # (R, 1): only these rows hold any water that matters
    below = rows - surface[None].astype(np.float32)  # (R, W)
    flipped, above = np.zeros_like(layer), layer.copy()
    above[first:last, :, 3] *= below <= 0
    above[last:] = 0
    tremble = (np.sin(rows * (130 / side)) * 0.012 * side).astype(np.int32)  # from side to side, row by row
    source_rows = np.clip(surface[None] - 1.5 * below, 0, side - 1).astype(np.int32)  # the image is a little flatter
    source_columns = np.clip(np.arange(side)[None] + tremble, 0, side - 1)
    flipped[first:last] = layer[source_rows, source_columns]
    fade = 0.5 * np.clip(1 - below / (0.32 * side), 0, 1) * (below > 0)
    flipped[first:last, :, 3] = (flipped[first:last, :, 3] * fade).astype(np.uint8)
    return above, flipped
