"""Captioned scenes at sea: a description, the picture that is drawn from it, and the sentence that tells it.

A :class:`Scene` is the exact truth. The same scene gives the same picture, at every size; what it does not say (where
the clouds are, say) follows from its number `details`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image

from stablediff_edu.datasets.pictures import to_tensor
from stablediff_edu.datasets.scene_brush import COLOURS, Brush
from stablediff_edu.datasets.scene_sea import cut_and_mirror, paint_depths, paint_sea, wave_line
from stablediff_edu.datasets.scene_ships import SHIPS
from stablediff_edu.datasets.scene_sky import paint_sky
from stablediff_edu.datasets.scene_things import THINGS
from stablediff_edu.datasets.scene_weather import SEAS, SKIES
from stablediff_edu.errors import CourseError

KINDS = SHIPS | THINGS
_FINER = 4  # drawn so many times larger, then averaged: smooth edges


@dataclass(frozen=True)
class Scene:
    """What is in a picture.

    Attributes:
        thing: a name from `KINDS`.
        colour: a name from `COLOURS`: of the hull.
        carries: a name from `COLOURS`: of the sails, the funnel, the containers or the cabin.
        sky: a name from `SKIES`: hour and weather.
        sea: a name from `SEAS`.
        heading: "left" or "right".
        under_water: whether it is below the surface, seen from within the sea; only some kinds can be.
        x: where the thing's middle lies, from 0, the left edge, to 1.
        horizon: where the sky ends, from 0, the upper edge, to 1.
        depth: how far below the horizon the thing lies, in parts of the picture.
        size: its length in parts of the picture.
        details: decides whatever else there is to see.
    """

    thing: str = "sailing boat"
    colour: str = "red"
    carries: str = "white"
    sky: str = "clear"
    sea: str = "calm"
    heading: str = "right"
    under_water: bool = False
    x: float = 0.5
    horizon: float = 0.5
    depth: float = 0.15
    size: float = 0.7
    details: int = 0

    def __post_init__(self) -> None:
        known = {
            "thing": KINDS, "colour": COLOURS, "carries": COLOURS, "sky": SKIES, "sea": SEAS,
            "heading": ("left", "right"),
        }  # fmt: skip
        for field, names in known.items():
            if getattr(self, field) not in names:
                raise CourseError(
                    f"A scene has no {field} called {getattr(self, field)!r}; choose from: {', '.join(names)}."
                )
        if self.under_water and not KINDS[self.thing].under_water:
            raise CourseError(f"A {self.thing} cannot be under water; leave under_water out.")


def random_scene(random: np.random.Generator, things: Sequence[str] = tuple(KINDS)) -> Scene:
    """Return a scene with one of these things that lies within the picture; `random` decides everything."""
    thing = _choose(random, things)
    kind = KINDS[thing]
    under_water = kind.under_water and random.random() < 0.6
    sky = _choose(random, SKIES, (0.30, 0.16, 0.14, 0.18, 0.12, 0.10))
    colour, carries = (list(COLOURS)[number] for number in random.choice(len(COLOURS), 2, replace=False))
    if random.random() < 0.35 and colour != "white":
        carries = "white"
    horizon = float(random.uniform(0.16, 0.28) if under_water else random.uniform(0.46, 0.62))
    depth = float(random.uniform(0.32, 0.46) if under_water else random.uniform(0.06, 0.20))
    high = kind.length * (kind.lift + kind.height) / 2  # how much of a size lies above the water
    size = float(random.uniform(0.65, 0.95))
    if not under_water:
        size = min(size, (horizon + depth - 0.03) / high)
    room = max(0.0, 0.5 - 0.46 * size * kind.length)  # how far from the middle it may lie
    return Scene(
        thing=thing,
        colour=colour,
        carries=carries,
        sky=sky,
        sea=_choose(random, SEAS, (0.10, 0.40, 0.50) if sky == "storm" else (0.45, 0.40, 0.15)),
        heading=_choose(random, ("left", "right")),
        under_water=under_water,
        x=float(0.5 + room * random.uniform(-1, 1)),
        horizon=horizon,
        depth=depth,
        size=size,
        details=int(random.integers(2**31)),
    )


def draw_scene(scene: Scene, size: int = 64) -> torch.Tensor:
    """Draw a scene: (3, size, size) float32 in [-1, 1]."""
    return to_tensor(draw_scene_bytes(scene, size)[None])[0]  # (1, size, size, 3) -> (3, size, size)


def draw_scene_bytes(scene: Scene, size: int) -> np.ndarray:
    """Draw a scene: (size, size, 3) uint8."""
    if size < 8:
        raise CourseError(f"A scene of {size}×{size} pixels cannot be drawn; ask for at least 8×8.")
    side = size * _FINER
    random = np.random.default_rng(scene.details)
    sky, sea = SKIES[scene.sky], SEAS[scene.sea]
    sun = float(random.uniform(0.12, 0.88)), float(scene.horizon * (1 - random.uniform(*sky.height)))
    picture = Image.new("RGB", (side, side))
    picture.paste(paint_sky(sky, scene.horizon, sun, side, random))
    if scene.under_water:
        water = paint_depths(sky, scene.horizon, side, random)
    else:
        water = paint_sea(sky, sea, scene.horizon, sun[0], side, random)
    picture.paste(water, (0, side - water.height))
    _place_thing(picture, scene, random)
    return np.array(picture.reduce(_FINER))


def _place_thing(picture: Image.Image, scene: Scene, random: np.random.Generator) -> None:
    """Paint the thing into the picture; on the water, also its mirror image."""
    side, kind, sky, sea = picture.width, KINDS[scene.thing], SKIES[scene.sky], SEAS[scene.sea]
    unit = scene.size * kind.length * side / 2
    mean, roll = (scene.horizon + scene.depth) * side, random.normal(0, sea.roll)
    layer = Image.new("RGBA", (side, side))
    brush = Brush(
        layer,
        x=scene.x * side,
        y=mean if scene.under_water else mean - kind.lift * unit,
        unit=unit,
        heading=1 if scene.heading == "right" else -1,
        tilt=float(roll if scene.under_water else roll + kind.tilt),
        stretch=float(random.uniform(0.9, 1.1)),
        light=replace(sky.light, haze=sky.near, mist=0.12) if scene.under_water else sky.light,
    )
    kind.paint(brush, COLOURS[scene.colour], COLOURS[scene.carries], random)
    if scene.under_water:
        picture.paste(layer, mask=layer)
        return
    at = (np.arange(side) + 0.5) / side
    surface = mean + wave_line(sea, random.uniform(0, 6.3), at) * side  # (W,)
    thing, mirrored = map(Image.fromarray, cut_and_mirror(np.asarray(layer), surface))
    picture.paste(mirrored, mask=mirrored)
    picture.paste(thing, mask=thing)


def caption(scene: Scene) -> str:
    """Tell the scene in one short English sentence."""
    part, lift = KINDS[scene.thing].part, KINDS[scene.thing].lift
    article = "" if part.endswith("s") else _article(scene.carries)
    where = "under water" if scene.under_water else f"{'over' if lift else 'on'} {SEAS[scene.sea].words}"
    colours = f"{scene.colour} {scene.thing} with {article}{scene.carries} {part}"
    return f"{_article(scene.colour).capitalize()}{colours} {where} {SKIES[scene.sky].words}."


def scene_from(sentence: str, random: np.random.Generator) -> Scene:
    """Imagine a scene that a sentence of :func:`caption` could tell: what it does not say, `random` decides.

    Raises:
        CourseError: the sentence is none that :func:`caption` gives.
    """
    things = [thing for thing in KINDS if f" {thing} with " in sentence]
    under_water = " under water " in sentence
    skies = [sky for sky in SKIES if sentence.endswith(f" {SKIES[sky].words}.")]
    seas = [sea for sea in SEAS if f" {SEAS[sea].words} " in sentence] or [None] * under_water
    colours = [word for word in sentence.lower().split() if word in COLOURS][:2]  # a sky may be blue, too
    refusal = CourseError(
        f"{sentence!r} does not describe a scene as this course does; write it like: {caption(Scene())}"
    )
    if [len(found) for found in (things, skies, seas, colours)] != [1, 1, 1, 2]:
        raise refusal
    for _ in range(100):  # things that can swim and dive come in both kinds
        imagined = random_scene(random, things)
        if imagined.under_water == under_water:
            break
    told = dict(colour=colours[0], carries=colours[1], sky=skies[0]) | ({"sea": seas[0]} if seas[0] else {})
    scene = replace(imagined, under_water=under_water, **told)
    if caption(scene) != sentence:
        raise refusal
    return scene


def _article(word: str) -> str:
    return "an " if word[0] in "aeiou" else "a "


def _choose(random: np.random.Generator, names: Iterable[str], chances: Sequence[float] | None = None) -> str:
    names = list(names)
    return names[random.choice(len(names), p=chances)]
