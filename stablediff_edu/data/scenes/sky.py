"""The sky of a synthetic scene: sun or moon, stars, clouds, lightning, hills on the horizon.

Places are in parts of the image's width, from the upper left corner.
"""

import numpy as np
from PIL import Image, ImageDraw

from stablediff_edu.data.scenes.canvas import Color, Point, adjust_brightness, lerp_color, rgba8
from stablediff_edu.data.scenes.conditions import Sky, gradient, radial_gradient


def render_sky(sky: Sky, horizon: float, sun: Point, side: int, rng: np.random.Generator) -> Image.Image:
    """Paint everything above the horizon: an RGB image `side` pixels wide and `horizon · side` high.

    Args:
        sky: from `SKIES`.
        horizon: where the sky ends.
        sun: where the sun or moon stands, if it can be seen.
        side: pixels a side of the whole image.
        rng: decides about clouds, stars and the like.
    """
    middle = rng.uniform(0.45, 0.75)  # where the middle color lies
    colors = gradient([sky.top, sky.middle, sky.bottom], [0, middle, 1], round(horizon * side), side)
    if sky.sun:
        colors = radial_gradient(colors, sky.sun, *sun, strength=0.35 if sky.lamps else 0.55)
    image = Image.fromarray((np.clip(colors, 0, 1) * 255).astype(np.uint8))
    draw = ImageDraw.Draw(image, "RGBA")
    if sky.lamps:
        _stars(draw, horizon, side, rng)
    if sky.sun:
        _sun(draw, sky, sky.sun, sun, side, rng)
    for _ in range(rng.integers(*sky.clouds, endpoint=True)):
        _cloud(draw, sky, horizon, side, rng)
    if rng.random() < sky.lightning:
        _lightning(draw, horizon, side, rng)
    if rng.random() < 0.35:
        _hills(draw, sky, horizon, side, rng)
    return image


def _sun(draw: ImageDraw.ImageDraw, sky: Sky, light: Color, sun: Point, side: int, rng: np.random.Generator) -> None:
    radius, (x, y) = rng.uniform(0.05, 0.085) * side, (sun[0] * side, sun[1] * side)
    draw.ellipse([x - radius, y - radius, x + radius, y + radius], rgba8(light))
    if sky.lamps and rng.random() < 0.5:  # a crescent: the night covers the rest of the moon
        x, y = x + 0.7 * radius, y - 0.25 * radius
        draw.ellipse([x - radius, y - radius, x + radius, y + radius], rgba8(adjust_brightness(sky.middle, 0.06)))


def _stars(draw: ImageDraw.ImageDraw, horizon: float, side: int, rng: np.random.Generator) -> None:
    for across, down, bright in rng.uniform(0, 1, (rng.integers(5, 14), 3)).tolist():
        x, y, radius = across * side, 0.8 * down * horizon * side, (0.006 + 0.008 * bright) * side
        draw.ellipse([x - radius, y - radius, x + radius, y + radius], rgba8((1.0, 0.98, 0.9), 0.6 + 0.4 * bright))


def _cloud(draw: ImageDraw.ImageDraw, sky: Sky, horizon: float, side: int, rng: np.random.Generator) -> None:
    """A few round heads on a flat foot, painted twice: the shaded side, and a little higher the lit one."""
    middle, foot, wide = rng.uniform(-0.05, 1.05), horizon * rng.uniform(0.12, 0.72), rng.uniform(0.14, 0.28)
    heads = [
        (middle + 1.5 * wide * (place - 0.5), wide * high * rng.uniform(0.8, 1.2))
        for place, high in ((0.1, 0.27), (0.35, 0.40), (0.6, 0.41), (0.9, 0.27))
    ]
    for color, lift in ((adjust_brightness(sky.cloud, -0.10), 0.0), (sky.cloud, 0.022)):
        fill = rgba8(color, 0.9)
        for x, radius in heads:
            low = foot - lift
            box = [x - radius, low - 1.6 * radius, x + radius, low]
            draw.ellipse([value * side for value in box], fill)


def _lightning(draw: ImageDraw.ImageDraw, horizon: float, side: int, rng: np.random.Generator) -> None:
    across = rng.uniform(0.1, 0.9) + np.cumsum(rng.uniform(-0.08, 0.08, 5))
    down = np.linspace(0.05, 1.0, 5) * horizon
    draw.line((np.stack([across, down], axis=1) * side).ravel().tolist(), rgba8((1, 1, 0.85)), max(2, side // 50))


def _hills(draw: ImageDraw.ImageDraw, sky: Sky, horizon: float, side: int, rng: np.random.Generator) -> None:
    """An island or a coast, pale with distance."""
    left, wide, high = rng.uniform(-0.3, 0.8), rng.uniform(0.35, 0.8), rng.uniform(0.05, 0.13)
    at = np.linspace(0, 1, 13)
    bumps = 0.7 + 0.3 * np.sin(at * rng.uniform(6, 14) + rng.uniform(0, 6))
    outline = np.stack([left + wide * at, horizon - high * np.sin(np.pi * at) * bumps], axis=1)
    foot = [(left + wide) * side, horizon * side + 1, left * side, horizon * side + 1]
    draw.polygon([*(outline * side).ravel().tolist(), *foot], rgba8(lerp_color(sky.near, sky.bottom, 0.45)))
