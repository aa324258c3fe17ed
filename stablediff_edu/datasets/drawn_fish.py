"""Drawn photographs of fish at a market, with exact masks: what the course learns from when no real set is there.

Everything is procedural and seeded: one seed is one photograph. The look follows the Kaggle fish set (one fish from
above on a scratched blue board under a warm lamp; turned copies leave black corners) with more variety around it, so
that a network trained on drawn fish alone also works on the real ones.
"""

from dataclasses import dataclass

import numpy as np
import torch

from stablediff_edu.datasets import fish_market as market
from stablediff_edu.datasets.fish_painting import paint_fish
from stablediff_edu.datasets.fish_species import SPECIES, Species


@dataclass
class DrawnFish:
    """One drawn photograph and its exact truth.

    Attributes:
        picture: (3, size, size) float32 in [-1, 1].
        masks: (fish, size, size) bool, the visible pixels of each fish.
        species: the kind of each fish.
        boxes: (left, top, right, bottom) in pixels around the visible pixels of each fish; right and bottom exclusive.
        mask: (1, size, size) float32 in {0, 1}, any fish.
    """

    picture: torch.Tensor
    masks: torch.Tensor
    species: list[str]
    boxes: list[tuple[int, int, int, int]]

    @property
    def mask(self) -> torch.Tensor:
        return self.masks.any(dim=0, keepdim=True).float()


def draw_fish(
    seed: int, size: int = 128, fish: int = 1, ground: str | None = None, species: str | None = None
) -> DrawnFish:
    """Draw one photograph of `fish` fish.

    Args:
        seed: decides everything; the same seed and size give the same picture.
        size: width and height in pixels; the 4:3 photograph is squeezed into the square, as the loader does it.
        fish: how many, 1 to 3.
        ground: a name from `fish_market.GROUNDS`; drawn at random if not given.
        species: the kind of all fish; drawn at random if not given.
    """
    if not 1 <= fish <= 3:
        raise ValueError(f"fish must be 1, 2 or 3, not {fish}")
    random = np.random.default_rng([seed, fish])
    aspect = random.uniform(1.0, 1.4)
    steps = (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1
    frame_x, frame_y = np.meshgrid(
        steps * np.float32(aspect), steps
    )  # the frame: y from -1 to 1, x from -aspect to aspect
    turned = random.uniform(-np.pi, np.pi) if fish == 1 and random.random() < 0.5 else 0.0
    x = frame_x * np.cos(turned) + frame_y * np.sin(turned)
    y = -frame_x * np.sin(turned) + frame_y * np.cos(turned)

    names = list(market.GROUNDS)
    chances = [market.GROUNDS[name][0] for name in names]
    colour = market.paint_ground(ground or str(random.choice(names, p=chances)), x, y, random)
    lamp, mirror = market.lamp_light(x, y, random), market.glare(x, y, random)[..., None]
    colour = colour * (1 - mirror) + mirror * random.uniform(0.7, 1.0)

    coverages, kinds = [], []
    for place in _places(fish, aspect, random):
        kind = next((one for one in SPECIES if one.name == species), None) or SPECIES[random.integers(len(SPECIES))]
        colour, coverage = _lay_down(kind, place, colour, x, y, random)
        coverages.append(coverage)
        kinds.append(kind.name)

    colour = colour * lamp
    if random.random() < 0.25:
        colour = market.dark_corner_objects(colour, x, y, random)
    if random.random() < 0.12:
        stamp = market.date_stamp(size, np.degrees(turned), random)[..., None]
        colour = colour * (1 - stamp) + np.float32([0.85, 0.80, 0.20]) * stamp
    colour = market.camera(colour, random)
    outside = (np.abs(x) > aspect) | (np.abs(y) > 1)
    colour[outside] = 0.0
    return _with_truth(colour, coverages, kinds, outside)


def draw_many(count: int, size: int = 128, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
    """Draw `count` photographs of one fish each: pictures (N, 3, S, S), masks (N, 1, S, S), species names."""
    drawn = [draw_fish(seed * 1_000_003 + number, size) for number in range(count)]
    pictures = torch.stack([one.picture for one in drawn])
    return pictures, torch.stack([one.mask for one in drawn]), [one.species[0] for one in drawn]


@dataclass
class _Place:
    """Where a fish lies in the photograph: centre, angle, length, all with the shorter side running from -1 to 1."""

    x: float
    y: float
    angle: float
    length: float


def _places(fish: int, aspect: float, random: np.random.Generator) -> list[_Place]:
    """Choose where the fish lie: one anywhere and any size, several smaller and side by side."""
    if fish == 1:
        length = random.uniform(1.2, 3.0)
        return [_Place(*random.uniform(-0.5, 0.5, 2), random.uniform(-np.pi, np.pi), length)]
    places = []
    for number in range(fish):
        middle = aspect * (-1 + (2 * number + 1) / fish)
        angle = np.pi / 2 * random.choice([-1, 1]) + random.normal(0, 0.25)
        places.append(_Place(middle * 0.9, random.normal(0, 0.12), angle, random.uniform(1.2, 1.6)))
    return places


def _lay_down(
    kind: Species, place: _Place, colour: np.ndarray, x: np.ndarray, y: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Paint one fish and its shadow over `colour`; return the new colours and the fish's coverage."""
    size = x.shape[0]
    across, along = x - place.x, y - place.y
    s = (across * np.cos(place.angle) + along * np.sin(place.angle)) / place.length + 0.5
    t = (-across * np.sin(place.angle) + along * np.cos(place.angle)) / place.length * random.choice([-1, 1])
    bend, wave = np.float32(random.normal(0, 0.12)), np.float32(random.normal(0, 0.008))
    if kind.legs:  # shrimp curl up
        bend = np.float32(random.normal(0, 0.35))
    t = t - bend * ((s - 0.5) ** 2 - 0.08) - wave * np.sin(2 * np.pi * s)
    texture = 0.7 * market.value_noise(random, size, size // 2) + 0.5 * market.value_noise(random, size, size // 5)
    painted = paint_fish(kind, s, t, 2.0 / size / place.length, random, texture)
    colour = market.cast_shadow(colour, painted.coverage, random)
    exposure = random.uniform(0.75, 1.25)
    cover = painted.coverage[..., None]
    return colour * (1 - cover) + np.clip(painted.colour * exposure, 0, 1) * cover, painted.coverage


def _with_truth(colour: np.ndarray, coverages: list[np.ndarray], kinds: list[str], outside: np.ndarray) -> DrawnFish:
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
    picture = np.ascontiguousarray(colour.transpose(2, 0, 1)) * 2 - 1  # (H, W, 3) -> (3, H, W)
    return DrawnFish(torch.from_numpy(picture), torch.from_numpy(np.stack(masks)), kinds, boxes)
