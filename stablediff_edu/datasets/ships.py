"""Ships: photographs (CIFAR-10) if they are there, else drawn ones, or the learner's own pictures."""

from pathlib import Path

import numpy as np
import torch.nn.functional as F

from stablediff_edu.datasets.cifar10 import FETCH, count_class, load_cifar10
from stablediff_edu.datasets.download import data_folder
from stablediff_edu.datasets.pictures import Pictures, load_pictures, to_tensor
from stablediff_edu.datasets.scene_ships import SHIPS
from stablediff_edu.datasets.scenes import Scene, draw_scene_bytes, random_scene
from stablediff_edu.errors import CourseError


def load_ships(count: int = 5000, size: int = 32, source: str | Path = "auto", seed: int = 0) -> Pictures:
    """Load pictures of ships.

    Args:
        count: how many; of photographs and own pictures, at most as many as there are.
        size: side of the pictures in pixels. The photographs have 32 and are scaled to any other.
        source: "cifar10" for the photographs, "drawn" for drawn ships; "auto" takes the photographs if ``count`` of
            them have been fetched; anything else is the path of a folder with the learner's own pictures.
        seed: which ships are drawn.

    Returns:
        ``pictures`` (N, 3, size, size) in [-1, 1], and a line that says where they are from.

    Raises:
        CourseError: there is no such source, the photographs are not here, or pictures are broken.
    """
    _check(count, size)
    if source == "auto":
        source = "cifar10" if count_photographs() >= count else "drawn"
    if source == "drawn":
        return draw_ships(count, size, seed)
    if source == "cifar10":
        return _scale(load_cifar10(["ship"], most=count)[0], size)
    if not Path(source).expanduser().exists():
        raise CourseError(
            f"There is no source of ships, and no folder, called {str(source)!r}; choose auto, drawn, cifar10, or a "
            "folder of pictures."
        )
    return load_pictures(Path(source).expanduser(), size, most=count)


def unseen_ships(count: int, learned: Pictures) -> Pictures:
    """Load ships that a network which learned from `learned` has not seen: test photographs, or other drawn ships."""
    if learned.source.startswith("CIFAR-10"):
        return _scale(load_cifar10(["ship"], train=False, most=count)[0], learned.size)
    return draw_ships(count, learned.size, seed=20_000)


def ships_source(count: int = 5000) -> str:
    """Return one line on which ships :func:`load_ships` will use, and how to get the real ones."""
    there = count_photographs()
    if there >= count:
        return f"CIFAR-10, {there:,} photographs of ships in {data_folder('cifar10')}"
    some = f" (only {there:,} there)" if there else ""
    return f"drawn ships (built in) · real ones{some}: {FETCH}"


def count_photographs() -> int:
    """Return how many photographs of ships there are to learn from; 0 if CIFAR-10 has not been fetched."""
    return count_class("ship")


def ship_scene(number: int, seed: int = 0) -> Scene:
    """Return what is to be seen in the drawn ship with this number; it does not depend on how many are drawn."""
    return random_scene(np.random.default_rng([seed, number]), tuple(SHIPS))


def draw_ships(count: int = 5000, size: int = 32, seed: int = 0) -> Pictures:
    """Draw the scenes ``ship_scene(0, seed)``, ``ship_scene(1, seed)``, …: 5,000 take about 12 s on one core."""
    _check(count, size)
    drawn = np.stack([draw_scene_bytes(ship_scene(number, seed), size) for number in range(count)])  # (N, S, S, 3)
    return Pictures(to_tensor(drawn), "drawn ships")


def _check(count: int, size: int) -> None:
    if count < 1 or size < 8:
        raise CourseError(f"{count} ships of {size}×{size} pixels cannot be had; ask for at least 1 of 8×8.")


def _scale(pictures: Pictures, size: int) -> Pictures:
    if pictures.size == size:
        return pictures
    scaled = F.interpolate(pictures.pictures, size=(size, size), mode="bicubic", antialias=True)
    return Pictures(scaled.clamp(-1, 1), f"{pictures.source}, scaled to {size}×{size}")
