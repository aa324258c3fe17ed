"""Scenes whose size and place have a word, and the combinations of words that are held out from training."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from stablediff_edu.data.scenes.canvas import COLORS
from stablediff_edu.data.scenes.conditions import SKIES
from stablediff_edu.data.scenes.scene import OBJECTS, Scene, sample_scene

# from … to, in parts of the size that fills the image; what lies between has no word
SIZES = {"small": (0.58, 0.70), "large": (0.84, 1.0)}
# from … to, where the object's middle lies; what lies between has no word
POSITIONS = {"left": (0.0, 0.39), "middle": (0.45, 0.55), "right": (0.61, 1.0)}

_WIDEST, _HIGHEST, _MOST = 0.86, 0.76, 1.35  # the largest width and height in parts of the image, and size


def max_size(object_class: str) -> float:
    """Return the `Scene.size` at which this object just fills an image, in its width or in its height."""
    kind = OBJECTS[object_class]
    return min(_WIDEST / kind.length, _HIGHEST / _rise(object_class), _MOST)


def size_label(scene: Scene) -> str | None:
    """Return "small", "large", or None if it is neither: each kind of object has its own measure."""
    return _word(SIZES, scene.size / max_size(scene.object_class))


def position_label(scene: Scene) -> str | None:
    """Return "left", "middle", "right", or None if it lies between these."""
    return _word(POSITIONS, scene.x)


def labels_of(scene: Scene) -> dict[str, str | None]:
    """Return what a caption can tell of a scene: object, color, accent_color, size, place, water and sky.

    The water is a name from `SEAS`, or "under"; size and place are None if there is no word for them.
    """
    return dict(
        object_class=scene.object_class,
        color=scene.color,
        accent_color=scene.accent_color,
        size=size_label(scene),
        place=position_label(scene),
        water="under" if scene.under_water else scene.sea,
        sky=scene.sky,
    )


def is_held_out(scene: Scene) -> bool:
    """Return whether this combination of object, color and sky is never learned from: 14 in 100 are not.

    Of every object one color is left out altogether, and of the other combinations one in twenty. Each word is left in
    with most others, so that there is enough to learn it from.
    """
    object_class, color, sky = (
        list(OBJECTS).index(scene.object_class),
        list(COLORS).index(scene.color),
        list(SKIES).index(scene.sky),
    )
    return (3 * object_class + color) % 10 == 5 or (object_class + 3 * color + 7 * sky) % 20 == 0


def sample_labeled_scene(rng: np.random.Generator, object_classes: Sequence[str] = tuple(OBJECTS)) -> Scene:
    """Return a scene whose size and place have a word; `rng` decides everything.

    Its object is larger than in :func:`sample_scene`: at least 17 of 64 pixels wide, so that an autoencoder can keep
    it.
    """
    scene = sample_scene(rng, object_classes)
    part = rng.uniform(*SIZES["small" if rng.random() < 0.4 else "large"])
    size = float(part * max_size(scene.object_class))
    room = 0.49 - size * OBJECTS[scene.object_class].length / 2  # how far from the middle it may lie
    place = ("left", "middle", "right")[rng.integers(3)] if 0.5 - room < POSITIONS["left"][1] - 0.02 else "middle"
    low, high = POSITIONS[place]
    x = float(rng.uniform(max(low, 0.5 - room), min(high, 0.5 + room)))
    if scene.under_water:
        return replace(scene, size=size, x=x)
    foot = size * _rise(scene.object_class) + 0.03  # it must stand at least so low to fit under the upper edge
    horizon = max(scene.horizon, foot - 0.20)
    return replace(scene, size=size, x=x, horizon=horizon, depth=max(scene.depth, foot - horizon))


def _rise(object_class: str) -> float:
    """Return how high an object of size 1 reaches above its foot, in parts of the image."""
    kind = OBJECTS[object_class]
    return kind.length * (kind.lift + kind.height) / 2


def _word(words: dict[str, tuple[float, float]], value: float) -> str | None:
    return next((word for word, (low, high) in words.items() if low <= value <= high), None)
