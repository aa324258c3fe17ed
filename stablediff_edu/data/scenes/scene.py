"""Captioned scenes at sea: a description, the image rendered from it, and its caption.

A :class:`Scene` is the exact truth. The same scene gives the same image, at every size; what it does not say (where
the clouds are, say) follows from its number `details`.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image

from stablediff_edu.data.image_folder import normalize_images
from stablediff_edu.data.scenes.canvas import COLORS, ObjectCanvas
from stablediff_edu.data.scenes.conditions import SEAS, SKIES
from stablediff_edu.data.scenes.objects_other import OTHER_OBJECTS
from stablediff_edu.data.scenes.objects_ships import SHIPS
from stablediff_edu.data.scenes.sky import render_sky
from stablediff_edu.data.scenes.water import clip_and_reflect, render_underwater, render_water, wave_height
from stablediff_edu.errors import UserError

OBJECTS = SHIPS | OTHER_OBJECTS
SUPERSAMPLING = 4  # rendered so many times larger, then averaged: smooth edges


@dataclass(frozen=True)
class Scene:
    """What is in an image.

    Attributes:
        object_class: a name from `OBJECTS`.
        color: a name from `COLORS`: of the hull.
        accent_color: a name from `COLORS`: of the sails, the funnel, the containers or the cabin.
        sky: a name from `SKIES`: hour and weather.
        sea: a name from `SEAS`.
        heading: "left" or "right".
        under_water: whether it is below the surface, seen from within the sea; only some kinds can be.
        x: where the object's middle lies, from 0, the left edge, to 1.
        horizon: where the sky ends, from 0, the upper edge, to 1.
        depth: how far below the horizon the object lies, in parts of the image.
        size: its length in parts of the image.
        details: decides whatever else there is to see.
    """

    object_class: str = "sailing boat"
    color: str = "red"
    accent_color: str = "white"
    sky: str = "clear"
    sea: str = "calm"
    heading: str = "right"
    under_water: bool = False
    x: float = 0.5
    horizon: float = 0.5
    depth: float = 0.15
    size: float = 0.7
    details: int = 0


def sample_scene(rng: np.random.Generator, object_classes: Sequence[str] = tuple(OBJECTS)) -> Scene:
    """Return a scene with one of these objects that lies within the image; `rng` decides everything."""
    object_class = _choose(rng, object_classes)
    kind = OBJECTS[object_class]
    under_water = kind.under_water and rng.random() < 0.6
    sky = _choose(rng, SKIES, (0.30, 0.16, 0.14, 0.18, 0.12, 0.10))
    color, accent_color = (list(COLORS)[number] for number in rng.choice(len(COLORS), 2, replace=False))
    if rng.random() < 0.35 and color != "white":
        accent_color = "white"
    horizon = float(rng.uniform(0.16, 0.28) if under_water else rng.uniform(0.46, 0.62))
    depth = float(rng.uniform(0.32, 0.46) if under_water else rng.uniform(0.06, 0.20))
    high = kind.length * (kind.lift + kind.height) / 2  # how much of a size lies above the water
    size = float(rng.uniform(0.65, 0.95))
    if not under_water:
        size = min(size, (horizon + depth - 0.03) / high)
    room = max(0.0, 0.5 - 0.46 * size * kind.length)  # how far from the middle it may lie
    return Scene(
        object_class=object_class,
        color=color,
        accent_color=accent_color,
        sky=sky,
        sea=_choose(rng, SEAS, (0.10, 0.40, 0.50) if sky == "storm" else (0.45, 0.40, 0.15)),
        heading=_choose(rng, ("left", "right")),
        under_water=under_water,
        x=float(0.5 + room * rng.uniform(-1, 1)),
        horizon=horizon,
        depth=depth,
        size=size,
        details=int(rng.integers(2**31)),
    )


def render_scene(scene: Scene, size: int = 64) -> torch.Tensor:
    """Render a scene: (3, size, size) float32 in [-1, 1]."""
    return normalize_images(render_scene_uint8(scene, size)[None])[0]  # (1, size, size, 3) -> (3, size, size)


def render_scene_uint8(scene: Scene, size: int) -> np.ndarray:
    """Render a scene: (size, size, 3) uint8."""
    side = size * SUPERSAMPLING
    rng = np.random.default_rng(scene.details)
    sky, sea = SKIES[scene.sky], SEAS[scene.sea]
    sun = float(rng.uniform(0.12, 0.88)), float(scene.horizon * (1 - rng.uniform(*sky.height)))
    image = Image.new("RGB", (side, side))
    image.paste(render_sky(sky, scene.horizon, sun, side, rng))
    if scene.under_water:
        water = render_underwater(sky, scene.horizon, side, rng)
    else:
        water = render_water(sky, sea, scene.horizon, sun[0], side, rng)
    image.paste(water, (0, side - water.height))
    _place_object(image, scene, rng)
    return np.array(image.reduce(SUPERSAMPLING))


def _place_object(image: Image.Image, scene: Scene, rng: np.random.Generator) -> None:
    """Paint the object into the image; on the water, also its mirror image."""
    side, kind, sky, sea = image.width, OBJECTS[scene.object_class], SKIES[scene.sky], SEAS[scene.sea]
    unit = scene.size * kind.length * side / 2
    mean, roll = (scene.horizon + scene.depth) * side, rng.normal(0, sea.roll)
    layer = Image.new("RGBA", (side, side))
    brush = ObjectCanvas(
        layer,
        x=scene.x * side,
        y=mean if scene.under_water else mean - kind.lift * unit,
        unit=unit,
        heading=1 if scene.heading == "right" else -1,
        tilt=float(roll if scene.under_water else roll + kind.tilt),
        stretch=float(rng.uniform(0.9, 1.1)),
        light=replace(sky.light, haze=sky.near, mist=0.12) if scene.under_water else sky.light,
    )
    kind.paint(brush, COLORS[scene.color], COLORS[scene.accent_color], rng)
    if scene.under_water:
        image.paste(layer, mask=layer)
        return
    at = (np.arange(side) + 0.5) / side
    surface = mean + wave_height(sea, rng.uniform(0, 6.3), at) * side  # (W,)
    object_class, flipped = map(Image.fromarray, clip_and_reflect(np.asarray(layer), surface))
    image.paste(flipped, mask=flipped)
    image.paste(object_class, mask=object_class)


def canonical_caption(scene: Scene) -> str:
    """Tell the scene in one short English sentence."""
    part, lift = OBJECTS[scene.object_class].part, OBJECTS[scene.object_class].lift
    article = "" if part.endswith("s") else _article(scene.accent_color)
    where = "under water" if scene.under_water else f"{'over' if lift else 'on'} {SEAS[scene.sea].words}"
    colors = f"{scene.color} {scene.object_class} with {article}{scene.accent_color} {part}"
    return f"{_article(scene.color).capitalize()}{colors} {where} {SKIES[scene.sky].words}."


def parse_scene(sentence: str, rng: np.random.Generator) -> Scene:
    """Return a scene that a sentence of :func:`canonical_caption` could tell: what it does not say, `rng` decides.

    Raises:
        UserError: the sentence is none that :func:`canonical_caption` gives.
    """
    colors, objects = "|".join(COLORS), "|".join(OBJECTS)
    found = re.match(rf"An? ({colors}) ({objects}) with (?:an? )?({colors}) ", sentence)
    skies = [sky for sky in SKIES if sentence.endswith(f" {SKIES[sky].words}.")]
    under_water = " under water " in sentence
    seas = [sea for sea in SEAS if f" {SEAS[sea].words} " in sentence]
    if found and skies and (OBJECTS[found[2]].under_water or not under_water):
        for _ in range(100):  # objects that can swim and dive come in both kinds
            imagined = sample_scene(rng, [found[2]])
            if imagined.under_water == under_water:
                break
        sea = seas[0] if seas else imagined.sea
        scene = replace(imagined, under_water=under_water, color=found[1], accent_color=found[3], sky=skies[0], sea=sea)
        if canonical_caption(scene) == sentence:
            return scene
    raise UserError(
        f"{sentence!r} does not describe a scene as this course does; write it like: {canonical_caption(Scene())}"
    )


def _article(word: str) -> str:
    return "an " if word[0] in "aeiou" else "a "


def _choose(rng: np.random.Generator, names: Iterable[str], chances: Sequence[float] | None = None) -> str:
    names = list(names)
    return names[rng.choice(len(names), p=chances)]
