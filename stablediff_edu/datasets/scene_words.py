"""Scenes whose size and place have a word, and the combinations of words that are held out from training."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from stablediff_edu.datasets.scene_brush import COLOURS
from stablediff_edu.datasets.scene_weather import SKIES
from stablediff_edu.datasets.scenes import KINDS, Scene, random_scene

# from … to, in parts of the size that fills the picture; what lies between has no word
SIZES = {"small": (0.58, 0.70), "large": (0.84, 1.0)}
# from … to, where the thing's middle lies; what lies between has no word
PLACES = {"left": (0.0, 0.39), "middle": (0.45, 0.55), "right": (0.61, 1.0)}

_WIDEST, _HIGHEST, _MOST = 0.86, 0.76, 1.35  # the largest width and height in parts of the picture, and size


def filling_size(thing: str) -> float:
    """Return the `Scene.size` at which this thing just fills a picture, in its width or in its height."""
    kind = KINDS[thing]
    return min(_WIDEST / kind.length, _HIGHEST / _rise(thing), _MOST)


def size_word(scene: Scene) -> str | None:
    """Return "small", "large", or None if it is neither: each kind of thing has its own measure."""
    return _word(SIZES, scene.size / filling_size(scene.thing))


def place_word(scene: Scene) -> str | None:
    """Return "left", "middle", "right", or None if it lies between these."""
    return _word(PLACES, scene.x)


def truth(scene: Scene) -> dict[str, str | None]:
    """Return what a caption can tell of a scene: thing, colour, carries, size, place, water and sky.

    The water is a name from `SEAS`, or "under"; size and place are None if there is no word for them.
    """
    return dict(
        thing=scene.thing,
        colour=scene.colour,
        carries=scene.carries,
        size=size_word(scene),
        place=place_word(scene),
        water="under" if scene.under_water else scene.sea,
        sky=scene.sky,
    )


def held_out(scene: Scene) -> bool:
    """Return whether this combination of thing, colour and sky is never learned from: 14 in 100 are not.

    Of every thing one colour is left out altogether, and of the other combinations one in twenty. Each word is left in
    with most others, so that there is enough to learn it from.
    """
    thing, colour, sky = list(KINDS).index(scene.thing), list(COLOURS).index(scene.colour), list(SKIES).index(scene.sky)
    return (3 * thing + colour) % 10 == 5 or (thing + 3 * colour + 7 * sky) % 20 == 0


def worded_scene(random: np.random.Generator, things: Sequence[str] = tuple(KINDS)) -> Scene:
    """Return a scene whose size and place have a word; `random` decides everything.

    Its thing is larger than in :func:`random_scene`: at least 17 of 64 pixels wide, so that an autoencoder can keep it.
    """
    scene = random_scene(random, things)
    part = random.uniform(*SIZES["small" if random.random() < 0.4 else "large"])
    size = float(part * filling_size(scene.thing))
    room = 0.49 - size * KINDS[scene.thing].length / 2  # how far from the middle it may lie
    place = ("left", "middle", "right")[random.integers(3)] if 0.5 - room < PLACES["left"][1] - 0.02 else "middle"
    low, high = PLACES[place]
    x = float(random.uniform(max(low, 0.5 - room), min(high, 0.5 + room)))
    if scene.under_water:
        return replace(scene, size=size, x=x)
    foot = size * _rise(scene.thing) + 0.03  # it must stand at least so low to fit under the upper edge
    horizon = max(scene.horizon, foot - 0.20)
    return replace(scene, size=size, x=x, horizon=horizon, depth=max(scene.depth, foot - horizon))


def _rise(thing: str) -> float:
    """Return how high a thing of size 1 reaches above its foot, in parts of the picture."""
    kind = KINDS[thing]
    return kind.length * (kind.lift + kind.height) / 2


def _word(words: dict[str, tuple[float, float]], value: float) -> str | None:
    return next((word for word, (low, high) in words.items() if low <= value <= high), None)
