"""Data sets of captioned scenes, on which CLIP and the tiny Stable Diffusion are trained."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from stablediff_edu.data.columns import Columns
from stablediff_edu.data.scenes.captions import full_caption_of
from stablediff_edu.data.scenes.labels import is_held_out, sample_labeled_scene
from stablediff_edu.data.scenes.scene import Scene, render_scene_uint8

ENOUGH_FOR_PROCESSES = 5_000  # scenes; other processes take some seconds to start


@dataclass
class SceneDataset(Columns):
    """Images with their sentences and their exact truth.

    Attributes:
        pixels: (N, 3, S, S) uint8: a quarter of the memory that `images` take.
        captions: N sentences, each tells all that has words.
        scenes: what is to be seen.
        source: one line for figures.
    """

    columns = ("pixels", "captions", "scenes")
    pixels: torch.Tensor
    captions: list[str]
    scenes: list[Scene]
    source: str

    @property
    def images(self) -> torch.Tensor:
        """All images: (N, 3, S, S) float32 in [-1, 1]."""
        return to_float_images(self.pixels)


def make_scenes(
    count: int = 10_000, size: int = 64, seed: int = 0, train: bool = True, cache: Path | None = None, workers: int = 1
) -> SceneDataset:
    """Render captioned scenes; 10,000 of 64×64 take less than a minute on one core.

    Args:
        count: how many.
        size: side of the images in pixels.
        seed: which ones; scene i of a seed is the same whatever ``count`` and ``size`` are.
        train: False gives combinations of object, color and sky that are never among those to learn from.
        cache, workers: see `render_scenes`.
    """
    scenes = [scene_at(number, seed, train) for number in range(count)]
    source = "synthetic scenes" if train else "synthetic scenes, held-out combinations"
    return SceneDataset(
        render_scenes(scenes, size, cache, workers), [full_caption_of(scene) for scene in scenes], scenes, source
    )


def render_scenes(scenes: Sequence[Scene], size: int, cache: Path | None = None, workers: int = 1) -> torch.Tensor:
    """Render scenes: (N, 3, size, size) uint8.

    Args:
        workers: processes that share the work; more than one only where `__main__` can be imported again.
        cache: an .npy file that keeps them; if it is there, it is read instead, a part at a time.
    """
    shape = (len(scenes), 3, size, size)
    if cache and cache.exists() and (kept := np.load(cache, mmap_mode="c")).shape == shape:
        return torch.from_numpy(kept)  # a private copy in memory of what is touched: the file stays as it is
    pixels = np.empty(shape, np.uint8)
    for place, image in zip(pixels, _rendered(scenes, size, workers), strict=True):
        place[:] = image.transpose(2, 0, 1)  # (S, S, 3) -> (3, S, S)
    if cache:
        unfinished = cache.with_name(f"{cache.name}.part")
        with unfinished.open("wb") as file:
            np.save(file, pixels)
        unfinished.replace(cache)
    return torch.from_numpy(pixels)


def _rendered(scenes: Sequence[Scene], size: int, workers: int) -> Iterator[np.ndarray]:
    """Yield the images in order."""
    render = partial(render_scene_uint8, size=size)
    if workers == 1 or len(scenes) < ENOUGH_FOR_PROCESSES:
        yield from map(render, scenes)
        return
    # "spawn": a fork of a process in which torch has threads may hang
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        yield from pool.map(render, scenes, chunksize=64)


def scene_at(number: int, seed: int = 0, train: bool = True) -> Scene:
    """Return the scene with this number among those to learn from, or among those that are held out."""
    rng = np.random.default_rng([seed, number])
    while is_held_out(scene := sample_labeled_scene(rng)) == train:
        pass
    return scene


def to_float_images(pixels: torch.Tensor) -> torch.Tensor:
    """Turn bytes 0 … 255 into the images of the course, float32 in [-1, 1]."""
    return pixels.float().div_(127.5).sub_(1)
