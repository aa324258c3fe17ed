"""How a synthetic fish is painted, in its own coordinates.

``s`` runs from the snout (0) to the end of the tail (1), ``t`` across the body in the same unit (body lengths),
positive towards the back. An outline is then two curves, one above and one below the axis, and painting needs nothing
but arithmetic on a grid of (s, t).
"""

from dataclasses import dataclass

import numpy as np

from stablediff_edu.data.fish.species import PROFILE_X, SPECIES, Species

Grid = np.ndarray  # (height, width)
_DENSE = np.linspace(0.0, 0.86, 173)


def _smooth_profile(values: tuple[float, ...]) -> np.ndarray:
    """Return the half-depth at `_DENSE`: a monotone cubic curve (Fritsch and Carlson, 1980) through the stations."""
    x, y = np.sqrt(np.array(PROFILE_X)), np.array(values)  # a round snout is smooth in the square root of s
    steps, slopes = np.diff(x), np.diff(y) / np.diff(x)
    between = np.where(slopes[1:] * slopes[:-1] > 0, 0.5 * (slopes[1:] + slopes[:-1]), 0.0)
    tangents = np.concatenate([slopes[:1], between, slopes[-1:]])
    at = np.sqrt(_DENSE)
    piece = np.clip(np.searchsorted(x, at, side="right") - 1, 0, len(steps) - 1)
    u, h = (at - x[piece]) / steps[piece], steps[piece]
    return (
        y[piece] * (2 * u**3 - 3 * u**2 + 1)
        + h * tangents[piece] * (u**3 - 2 * u**2 + u)
        + y[piece + 1] * (-2 * u**3 + 3 * u**2)
        + h * tangents[piece + 1] * (u**3 - u**2)
    )


_PROFILES = {species.name: _smooth_profile(species.shape) for species in SPECIES}


@dataclass
class RenderedFish:
    """A fish on the grid: how much of each pixel it covers, and its colors."""

    coverage: Grid  # in [0, 1]
    color: np.ndarray  # (height, width, 3) in [0, 1]


def render_body(
    species: Species, s: Grid, t: Grid, pixel: float, rng: np.random.Generator, texture: Grid
) -> RenderedFish:
    """Paint one individual of `species` on a grid of its own coordinates.

    Args:
        species: which of the nine.
        s: position along the body at every pixel.
        t: position across the body at every pixel, positive towards the back.
        pixel: the size of a pixel in body lengths, for smooth edges.
        rng: decides everything about the individual.
        texture: noise in about [-1, 1] on the same grid, for speckle.
    """
    depth = species.depth * rng.uniform(0.85, 1.2)
    profile = np.interp(s, _DENSE, _PROFILES[species.name] * depth, left=-1.0, right=-1.0).astype(np.float32)
    upper, lower = profile, profile * species.belly
    inside = np.where(t > 0, upper - t, lower + t)  # > 0 in the body, in body lengths
    body = _antialias(inside, pixel)
    v = np.clip(t / np.maximum(np.where(t > 0, upper, lower), 1e-3), -1.2, 1.2)  # -1 belly … 1 back

    fin_zone = np.maximum(_tail(species, s, t, depth, rng), _back_fins(species, s, t, upper, lower, rng))
    fins = _antialias(fin_zone, pixel)
    for line in _thin_parts(species, s, t, depth, rng):
        fins = np.maximum(fins, line)

    color = _body_color(species, s, t, v, depth, rng, texture)
    rays = 1 + 0.18 * np.sin(t / np.maximum(np.abs(s - 0.74), 0.05) * rng.uniform(50, 80))
    fin_color = np.array(species.fins, np.float32) * (rays * rng.uniform(0.3, 1.2) * (1 + 0.15 * texture))[..., None]
    color = color * body[..., None] + fin_color * (1 - body[..., None])
    return RenderedFish(np.maximum(body, fins), np.clip(color, 0.0, 1.0))


def _antialias(inside: Grid, pixel: float) -> Grid:
    """Turn a height above the outline into coverage: 0.5 on the outline, a one-pixel ramp across it."""
    slope_y, slope_x = np.gradient(inside)
    slope = np.clip(np.hypot(slope_x, slope_y), 0.5 * pixel, 3 * pixel)
    return np.clip(inside / slope + 0.5, 0.0, 1.0)


def _tail(species: Species, s: Grid, t: Grid, depth: float, rng: np.random.Generator) -> Grid:
    """Return the height inside the tail fin: it widens from the stem to the end, and a notch makes the fork."""
    start, spread = 0.80, species.tail * rng.uniform(0.55, 1.15)
    stem = species.shape[-1] * depth * 0.9
    along = np.clip((s - start) / (1 - start), 0.0, 1.0)
    half = stem + (spread - stem) * along**1.4
    fork = species.fork * rng.uniform(0.6, 1.3)
    notch = (1.0 - fork) + fork * np.abs(t) / max(spread, 1e-3) - s
    return np.where(s > start, np.minimum(half - np.abs(t), notch), -1.0)


def _back_fins(species: Species, s: Grid, t: Grid, upper: Grid, lower: Grid, rng: np.random.Generator) -> Grid:
    """Return the height inside the fins on the back and under the belly, often folded flat on dead fish."""
    raised = species.dorsal * rng.uniform(0.0, 1.6)
    first, last = rng.uniform(0.28, 0.36), rng.uniform(0.62, 0.76)
    along = np.clip((s - first) / (last - first), 0.0, 1.0)
    height = raised * np.sin(np.pi * along**0.6) * (1 + 0.15 * np.sin(s * 220))
    back = np.where((s > first) & (s < last), upper + height - t, -1.0)
    start = rng.uniform(0.60, 0.66)
    along = np.clip((s - start) / 0.10, 0.0, 1.0)
    anal = np.where((s > start) & (s < start + 0.10), lower + raised * np.sin(np.pi * along**0.7) + t, -1.0)
    start = rng.uniform(0.34, 0.42)
    along = np.clip((s - start) / 0.09, 0.0, 1.0)
    pelvic = np.where((s > start) & (s < start + 0.09), lower + 1.3 * raised * np.sin(np.pi * along**1.6) + t, -1.0)
    return np.where(t > 0, back, np.maximum(anal, pelvic))


def _thin_parts(species: Species, s: Grid, t: Grid, depth: float, rng: np.random.Generator) -> list[Grid]:
    """Return the coverage of whiskers (mullets), or of legs and feelers (shrimp): short, slightly bent lines."""
    lines = []
    for _ in range(species.whiskers if rng.random() < 0.7 else 0):
        lines.append(_line(s, t, 0.04, -0.6 * depth, rng.uniform(-0.5, 0.2), rng.uniform(0.05, 0.09), 0.005))
    if species.legs:
        for start in np.linspace(0.12, 0.62, species.legs) + rng.normal(0, 0.01, species.legs):
            lines.append(_line(s, t, start, -0.7 * depth, rng.uniform(0.0, 0.7), rng.uniform(0.05, 0.10), 0.007))
        for _ in range(2):
            lines.append(_line(s, t, 0.03, 0.0, rng.uniform(-2.2, -1.2), rng.uniform(0.05, 0.25), 0.004))
    return lines


def _line(s: Grid, t: Grid, start_s: float, start_t: float, lean: float, length: float, width: float) -> Grid:
    """Return the coverage of a thin line that leaves (start_s, start_t) downwards, leaning by `lean` (radians)."""
    along = (s - start_s) * np.sin(lean) - (t - start_t) * np.cos(lean)
    across = (s - start_s) * np.cos(lean) + (t - start_t) * np.sin(lean) - 2.0 * np.clip(along, 0, length) ** 2
    beyond = np.maximum(along - length, -along)
    return np.clip(1.5 - np.hypot(across, np.maximum(beyond, 0.0)) / width, 0.0, 1.0)


def _body_color(
    species: Species, s: Grid, t: Grid, v: Grid, depth: float, rng: np.random.Generator, texture: Grid
) -> np.ndarray:
    """Return the colors of the body: dark back to light belly, pattern, scales, gill cover, eye and wet highlights."""
    tint = rng.normal(1.0, 0.05, 3).astype(np.float32)
    edge = rng.uniform(0.1, 0.5)  # where the dark back ends
    back = np.clip((v - edge) / 0.35 + 0.5, 0.0, 1.0)[..., None]
    under = np.clip((-v - rng.uniform(0.0, 0.4)) / 0.5 + 0.5, 0.0, 1.0)[..., None]
    color = np.array(species.flank, np.float32) * (1 - under) + np.array(species.under, np.float32) * under
    color = (color * (1 - back) + np.array(species.back, np.float32) * (back * rng.uniform(0.25, 1.1))) * tint
    strength = rng.uniform(0.5, 1.2)
    color = color * (1 + strength * _pattern(species.pattern, s, t, v, rng, texture))[..., None]
    scales = np.sin(s * 150 + 3 * v) * np.sin(v * rng.uniform(9, 14))
    on_head = np.clip((rng.uniform(0.20, 0.26) + 0.03 * v**2 - s) / 0.01, 0.0, 1.0)
    color = color * (1 + (0.10 * scales + 0.12 * texture) * (1 - 0.7 * on_head))[..., None]
    gill = np.exp(-(((s - 0.235 - 0.035 * (1 - v**2)) / 0.008) ** 2)) * (np.abs(v) < 0.85)
    color = color * (1 - 0.45 * gill)[..., None] * (1 - 0.12 * on_head)[..., None]
    color = _with_eye(color, s, t, depth, rng)
    fin = np.exp(-(((t + 0.25 * depth + 0.25 * (s - 0.3)) / 0.018) ** 2)) * ((s > 0.27) & (s < 0.27 + 1.2 * depth))
    color = color * (1 - 0.35 * fin * rng.uniform(0, 1))[..., None]
    # a lying fish is a cylinder: it darkens towards both edges, and wet skin mirrors the lamp along a broken streak
    light = rng.uniform(-0.5, 0.5)
    shade = np.sqrt(np.clip(1.05 - (v - 0.5 * light) ** 2, 0.02, 1.0)) ** rng.uniform(0.4, 1.0)
    streak = np.exp(-(((v - light) / rng.uniform(0.08, 0.35)) ** 2)) * np.clip(0.45 + 0.8 * texture, 0, 1)
    far_side = 1 - rng.uniform(0.0, 0.7) * np.clip(v * rng.choice([-1, 1]) - rng.uniform(-0.3, 0.5), 0, 1)
    return color * ((0.30 + 0.80 * shade) * far_side)[..., None] + (rng.uniform(0.0, 0.55) * streak)[..., None]


def _pattern(kind: str, s: Grid, t: Grid, v: Grid, rng: np.random.Generator, texture: Grid) -> Grid:
    """Return what the pattern adds to the brightness, about -0.5 … 0.2."""
    if kind == "lines":
        return 0.22 * np.sin(v * rng.uniform(12, 22) + 0.5 * texture) * (s > 0.25)
    if kind == "bars":
        return -0.22 * np.clip(np.sin(s * rng.uniform(38, 55) + 0.6 * texture), 0, 1) * (v > -0.2) * (s > 0.25)
    if kind == "spots":
        waves = np.sin(s * rng.uniform(95, 130) + 1.5 * texture) * np.sin(t * rng.uniform(95, 130) + texture)
        return -0.5 * (waves > 0.55) * (v > -0.5)
    if kind == "blotches":
        return 0.30 * np.clip(np.sin(s * rng.uniform(25, 40)) * np.sin(t * 45 + 2 * texture), -1, 1)
    if kind == "rings":
        return -0.4 * np.exp(-((np.sin(s * rng.uniform(20, 26) + 0.25 * v**2) / 0.25) ** 2))
    return np.zeros_like(s)


def _with_eye(color: np.ndarray, s: Grid, t: Grid, depth: float, rng: np.random.Generator) -> np.ndarray:
    radius = np.clip(0.16 * depth, 0.012, 0.024) * rng.uniform(0.8, 1.3)
    distance = np.hypot(s - rng.uniform(0.075, 0.10), t - rng.uniform(0.15, 0.3) * depth)
    iris = np.clip((radius - distance) / 0.004 + 0.5, 0, 1)[..., None]
    pupil = np.clip((0.6 * radius - distance) / 0.003 + 0.5, 0, 1)[..., None]
    iris_color = np.array([0.70, 0.58, 0.35], np.float32) * rng.uniform(0.5, 1.2)
    color = color * (1 - iris) + iris_color * iris
    return color * (1 - pupil) + 0.04 * pupil
