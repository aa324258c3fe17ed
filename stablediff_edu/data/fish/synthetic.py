"""Synthetic images of fish at a market, with exact masks: the training set where there is no real one.

Everything is procedural and seeded: one seed is one photograph. The look follows the Kaggle fish set (one fish from
above on a scratched blue board under a warm lamp; turned copies leave black corners) with more variety around it, so
that a network trained on synthetic fish alone also works on the real ones.
"""

from dataclasses import dataclass

import numpy as np
import torch

from stablediff_edu.data.fish import background as market
from stablediff_edu.data.fish.body import render_body
from stablediff_edu.data.fish.species import SPECIES, Species


@dataclass
class FishSample:
    """One rendered photograph and its exact truth.

    Attributes:
        image: (3, size, size) float32 in [-1, 1].
        masks: (fish, size, size) bool, the visible pixels of each fish.
        species: the kind of each fish.
        boxes: (left, top, right, bottom) in pixels around the visible pixels of each fish; right and bottom exclusive.
        mask: (1, size, size) float32 in {0, 1}, any fish.
    """

    image: torch.Tensor
    masks: torch.Tensor
    species: list[str]
    boxes: list[tuple[int, int, int, int]]

    @property
    def mask(self) -> torch.Tensor:
        return self.masks.any(dim=0, keepdim=True).float()


def render_fish(
    seed: int, size: int = 128, num_fish: int = 1, background: str | None = None, species: str | None = None
) -> FishSample:
    """Render one photograph of `num_fish` fish.

    Args:
        seed: decides everything; the same seed and size give the same image.
        size: width and height in pixels; the 4:3 photograph is squeezed into the square, as the loader does it.
        num_fish: how many, 1 to 3.
        background: a name from `BACKGROUNDS`; sampled at random if not given.
        species: the kind of all fish; sampled at random if not given.
    """
    if not 1 <= num_fish <= 3:
        raise ValueError(f"fish must be 1, 2 or 3, not {num_fish}")
    rng = np.random.default_rng([seed, num_fish])
    aspect = rng.uniform(1.0, 1.4)
    steps = (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1
    frame_x, frame_y = np.meshgrid(steps * np.float32(aspect), steps)  # y from -1 to 1, x from -aspect to aspect
    turned = rng.uniform(-np.pi, np.pi) if num_fish == 1 and rng.random() < 0.5 else 0.0
    x = frame_x * np.cos(turned) + frame_y * np.sin(turned)
    y = -frame_x * np.sin(turned) + frame_y * np.cos(turned)

    names = list(market.BACKGROUNDS)
    chances = [market.BACKGROUNDS[name][0] for name in names]
    color = market.render_background(background or str(rng.choice(names, p=chances)), x, y, rng)
    lamp, mirror = market.illumination(x, y, rng), market.specular_highlights(x, y, rng)[..., None]
    color = color * (1 - mirror) + mirror * rng.uniform(0.7, 1.0)

    coverages, kinds = [], []
    for place in _sample_poses(num_fish, aspect, rng):
        kind = next((one for one in SPECIES if one.name == species), None) or SPECIES[rng.integers(len(SPECIES))]
        color, coverage = _composite_fish(kind, place, color, x, y, rng)
        coverages.append(coverage)
        kinds.append(kind.name)

    color = color * lamp
    if rng.random() < 0.25:
        color = market.add_occluder(color, x, y, rng)
    if rng.random() < 0.12:
        stamp = market.date_stamp(size, np.degrees(turned), rng)[..., None]
        color = color * (1 - stamp) + np.array([0.85, 0.80, 0.20], np.float32) * stamp
    color = market.camera_noise(color, rng)
    outside = (np.abs(x) > aspect) | (np.abs(y) > 1)
    color[outside] = 0.0
    return _with_truth(color, coverages, kinds, outside)


def render_batch(count: int, size: int = 128, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
    """Render `count` photographs of one fish each: images (N, 3, S, S), masks (N, 1, S, S), species names."""
    fish = [render_fish(seed * 1_000_003 + number, size) for number in range(count)]
    images, masks = torch.stack([one.image for one in fish]), torch.stack([one.mask for one in fish])
    return images, masks, [one.species[0] for one in fish]


@dataclass
class _Pose:
    """Where a fish lies in the photograph: center, angle, length, all with the shorter side running from -1 to 1."""

    x: float
    y: float
    angle: float
    length: float


def _sample_poses(fish: int, aspect: float, rng: np.random.Generator) -> list[_Pose]:
    """Choose where the fish lie: one anywhere and any size, several smaller and side by side."""
    if fish == 1:
        length = rng.uniform(1.2, 3.0)
        x, y = rng.uniform(-0.5, 0.5, 2)
        return [_Pose(x, y, rng.uniform(-np.pi, np.pi), length)]
    places = []
    for number in range(fish):
        middle = aspect * (-1 + (2 * number + 1) / fish)
        angle = np.pi / 2 * rng.choice([-1, 1]) + rng.normal(0, 0.25)
        places.append(_Pose(middle * 0.9, rng.normal(0, 0.12), angle, rng.uniform(1.2, 1.6)))
    return places


def _composite_fish(
    kind: Species, place: _Pose, color: np.ndarray, x: np.ndarray, y: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Paint one fish and its shadow over `color`; return the new colors and the fish's coverage."""
    size = x.shape[0]
    across, along = x - place.x, y - place.y
    s = (across * np.cos(place.angle) + along * np.sin(place.angle)) / place.length + 0.5
    t = (-across * np.sin(place.angle) + along * np.cos(place.angle)) / place.length * rng.choice([-1, 1])
    bend, wave = np.float32(rng.normal(0, 0.12)), np.float32(rng.normal(0, 0.008))
    if kind.legs:  # shrimp curl up
        bend = np.float32(rng.normal(0, 0.35))
    t = t - bend * ((s - 0.5) ** 2 - 0.08) - wave * np.sin(2 * np.pi * s)
    texture = 0.7 * market.value_noise(rng, size, size // 2) + 0.5 * market.value_noise(rng, size, size // 5)
    painted = render_body(kind, s, t, 2.0 / size / place.length, rng, texture)
    color = market.cast_shadow(color, painted.coverage, rng)
    exposure = rng.uniform(0.75, 1.25)
    cover = painted.coverage[..., None]
    return color * (1 - cover) + np.clip(painted.color * exposure, 0, 1) * cover, painted.coverage


def _with_truth(color: np.ndarray, coverages: list[np.ndarray], kinds: list[str], outside: np.ndarray) -> FishSample:
    """Turn coverages into masks of visible pixels (a later fish hides an earlier one) and boxes around them."""
    masks, hidden = [], outside
    for coverage in reversed(coverages):
        masks.append((coverage > 0.5) & ~hidden)
        hidden = hidden | (coverage > 0.5)
    masks.reverse()
    boxes = []
    for mask in masks:
        rows, columns = (np.flatnonzero(mask.any(axis=axis)).tolist() or [0, -1] for axis in (1, 0))
        boxes.append((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))  # all 0 where nothing is visible
    image = np.ascontiguousarray(color.transpose(2, 0, 1)) * 2 - 1  # (H, W, 3) -> (3, H, W)
    return FishSample(torch.from_numpy(image), torch.from_numpy(np.stack(masks)), kinds, boxes)
