"""Ships: photographs (CIFAR-10) if they are there, else synthetic ones, or the learner's own images."""

from pathlib import Path

import numpy as np
import torch.nn.functional as F

from stablediff_edu.data import real_data
from stablediff_edu.data.image_folder import ImageDataset, load_image_folder, normalize_images
from stablediff_edu.data.scenes.objects_ships import SHIPS
from stablediff_edu.data.scenes.scene import Scene, render_scene_uint8, sample_scene
from stablediff_edu.data.ships.cifar10 import load_cifar10, num_class_images
from stablediff_edu.errors import UserError


def load_ships(count: int = 5000, size: int = 32, source: str | Path = "auto", seed: int = 0) -> ImageDataset:
    """Load images of ships.

    Args:
        count: how many; of photographs and own images, at most as many as there are.
        size: side of the images in pixels. The photographs have 32 and are scaled to any other.
        source: "cifar10" for the photographs, "synthetic" for synthetic ships; "auto" takes the photographs if
            ``count`` of them have been fetched; anything else is the path of a folder with the learner's own images.
        seed: which synthetic ships.

    Returns:
        ``images`` (N, 3, size, size) in [-1, 1], and a line that says where they are from.

    Raises:
        UserError: there is no such source, the photographs are not here, or images are broken.
    """
    if count < 1:
        raise UserError(f"count must be at least 1, got {count}.")
    if source == "auto":
        source = "cifar10" if num_images() >= count else "synthetic"
    if source == "synthetic":
        return render_ships(count, size, seed)
    if source == "cifar10":
        return _scale(load_cifar10(["ship"], limit=count)[0], size)
    if not Path(source).expanduser().exists():
        raise UserError(
            f"There is no source of ships, and no folder, called {str(source)!r}; choose auto, synthetic, cifar10, or "
            "a folder of images."
        )
    return load_image_folder(Path(source).expanduser(), size, limit=count)


def load_test_ships(count: int, learned: ImageDataset) -> ImageDataset:
    """Load ships that a network trained on `learned` has not seen: test photographs, or other synthetic ships."""
    if learned.source.startswith("CIFAR-10"):
        return _scale(load_cifar10(["ship"], train=False, limit=count)[0], learned.size)
    return render_ships(count, learned.size, seed=20_000)


def describe_ships(count: int = 5000) -> str:
    """Return one line on which ships :func:`load_ships` will use, and how to get the real ones."""
    return real_data.describe("cifar10", "photographs of ships", num_images(), count, "synthetic ships")


def num_images() -> int:
    """Return how many photographs of ships there are to learn from; 0 if CIFAR-10 has not been fetched."""
    return num_class_images("ship")


def ship_scene(number: int, seed: int = 0) -> Scene:
    """Return what is to be seen in the synthetic ship with this number, whatever the size of the set."""
    return sample_scene(np.random.default_rng([seed, number]), tuple(SHIPS))


def render_ships(count: int = 5000, size: int = 32, seed: int = 0) -> ImageDataset:
    """Render the scenes ``ship_scene(0, seed)``, ``ship_scene(1, seed)``, …: 5,000 take about 12 s on one core."""
    images = np.stack([render_scene_uint8(ship_scene(number, seed), size) for number in range(count)])  # (N, S, S, 3)
    return ImageDataset(normalize_images(images), "synthetic ships")


def _scale(images: ImageDataset, size: int) -> ImageDataset:
    if images.size == size:
        return images
    scaled = F.interpolate(images.images, size=(size, size), mode="bicubic", antialias=True)
    return ImageDataset(scaled.clamp(-1, 1), f"{images.source}, scaled to {size}×{size}")
