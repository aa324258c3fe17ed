"""Fish with masks: real photographs (Kaggle's Large-Scale Fish Dataset) if they are there, else synthetic ones."""

import contextlib
import hashlib
import os
import re
import stat
import sys
import zipfile
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np
import torch

from stablediff_edu.data import real_data
from stablediff_edu.data.download import data_dir
from stablediff_edu.data.fish import synthetic as synthetic_fish
from stablediff_edu.data.fish.near_duplicates import cluster_duplicates, rotation_invariant_descriptor
from stablediff_edu.data.masks import MaskRule
from stablediff_edu.data.segmentation_folder import (
    SegmentationDataset,
    match_masks,
    read_pair,
    resize_pair,
    to_segmentation_dataset,
)
from stablediff_edu.errors import UserError

MASKS = MaskRule("brightness", above=127)  # white fish on black
_CACHE_VERSION = 2  # part of the cache's name: raise it when the images in it would come out otherwise

# Where one image lies: its species, the image, its mask.
FishFile = tuple[str, Path, Path]


def load_fish(count: int = 500, size: int = 128, source: str = "auto", seed: int = 0) -> SegmentationDataset:
    """Load images of fish with their masks, in equal parts of every species.

    Args:
        count: how many; of the real ones, at most as many as there are.
        size: side of the images in pixels. The photographs (590×445) are stretched to squares.
        source: "kaggle" for the photographs, "synthetic" for synthetic fish; "auto" takes the photographs if
            ``count`` of them have been fetched.
        seed: which photographs are taken, or which synthetic fish.

    Returns:
        The images; of photographs, species take turns, so that the first few show all of them, and turned copies of
        one original share a group.

    Raises:
        UserError: the photographs are asked for and not there, or one of them is broken.
    """
    if source not in ("auto", "synthetic", "kaggle"):
        raise UserError(f"There is no source of fish called {source!r}; choose auto, synthetic or kaggle.")
    if count < 1:
        raise UserError(f"count must be at least 1, got {count}.")
    if source == "kaggle" or (source == "auto" and num_images() >= count):
        return _load_real(count, size, seed)
    images, masks, names = synthetic_fish.render_batch(count, size=size, seed=seed)
    return SegmentationDataset(images, masks, torch.arange(count), list(names), "synthetic fish")


def describe_fish_data(count: int = 500) -> str:
    """Return one line on which fish :func:`load_fish` will use, and how to get the real ones."""
    return real_data.describe("fish", "photographs", num_images(), count, "synthetic fish")


def num_images(folder: Path | None = None) -> int:
    """Return how many photographs with masks there are; 0 if the set has not been fetched."""
    return sum(len(files) for files in index_dataset(folder or data_dir("fish")).values())


def index_dataset(folder: Path) -> dict[str, list[FishFile]]:
    """Find photographs and masks in the unpacked archive, whatever it is nested in: species → its files, sorted.

    Somewhere below ``folder`` each species has two neighbors, ``Trout/`` and ``Trout GT/``. Spelling may vary: case,
    spaces and underscores do not matter, and if there is but one other folder beside ``… GT`` it may be called
    anything. ``NA_Fish_Dataset``, which has no masks, is passed over.

    Raises:
        UserError: a mask is missing.
    """
    found: dict[str, list[FishFile]] = {}
    for here, inside, _ in os.walk(folder):
        inside[:] = sorted(name for name in inside if not name.startswith((".", "__", "NA_")))
        others = {_key(name): name for name in inside if not _key(name).endswith("gt")}
        for masks in set(inside) - set(others.values()):
            only = next(iter(others.values())) if len(others) == 1 else None
            if images := others.get(_key(masks).removesuffix("gt"), only):
                pairs, _ = match_masks(Path(here) / images, Path(here) / masks)
                found[images] = [(images, image, files[0]) for image, files in pairs]
    return dict(sorted(found.items()))


def _key(name: str) -> str:
    return re.sub(r"[\W_]", "", name.casefold())


# --- photographs ---------------------------------------------------------------------------------------------------


def _load_real(count: int, size: int, seed: int) -> SegmentationDataset:
    folder = data_dir("fish")
    chosen = _balanced_sample(index_dataset(folder), count, seed)
    if not chosen:
        raise UserError(f"There are no fish photographs in {folder}; get them with: {real_data.fetch_command('fish')}.")
    cache = folder / "cache" / f"{_fingerprint(chosen, size)}.npz"
    arrays = _read_cache(cache) or _decode(chosen, size)
    if not cache.exists():
        _write_cache(cache, arrays)
    names = [f"{species} {image.stem}" for species, image, _ in chosen]
    return to_segmentation_dataset(arrays["images"], arrays["masks"], arrays["groups"], names, "Kaggle fish")


def _balanced_sample(fish: dict[str, list[FishFile]], count: int, seed: int) -> list[FishFile]:
    """Shuffle each species, then let the species take turns until there are ``count``."""
    rng = np.random.default_rng(seed)
    shuffled = [[files[index] for index in rng.permutation(len(files))] for files in fish.values()]
    in_turn = [file for file in chain.from_iterable(zip_longest(*shuffled)) if file is not None]
    return in_turn[:count]


def _decode(chosen: list[FishFile], size: int) -> dict[str, np.ndarray]:
    from tqdm import tqdm

    pixels, masks, signatures = [], [], []
    bar = tqdm(chosen, "reading photographs, this first time", leave=False, disable=len(chosen) < 50, file=sys.stdout)
    for _, image_file, mask_file in bar:
        image, mask = read_pair(image_file, [mask_file], MASKS)
        small, foreground = resize_pair(image, mask, size)
        pixels.append(small)
        masks.append(foreground)
        signatures.append(rotation_invariant_descriptor(image))
    groups = cluster_duplicates(np.stack(signatures), [species for species, _, _ in chosen])
    return {"images": np.stack(pixels), "masks": np.stack(masks), "groups": groups}


# --- their cache ---------------------------------------------------------------------------------------------------


def _fingerprint(chosen: list[FishFile], size: int) -> str:
    """Name what is in a cache: which files, of which date and length, in which order and size."""
    digest = hashlib.sha256(f"{_CACHE_VERSION} {size}".encode())
    for _, *files in chosen:
        for file in files:
            status = file.stat()
            digest.update(f"{file} {status.st_mtime_ns} {status.st_size}\n".encode())
    return digest.hexdigest()[:24]


def _read_cache(cache: Path) -> dict[str, np.ndarray] | None:
    try:
        with np.load(cache, allow_pickle=False) as stored:  # a zip file: every array is checked against its CRC
            return {name: stored[name] for name in ("images", "masks", "groups")}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        with contextlib.suppress(OSError):
            cache.unlink(missing_ok=True)
        return None


def _write_cache(cache: Path, arrays: dict[str, np.ndarray]) -> None:
    """Store the arrays under a temporary name, then rename; where that is impossible there is no cache."""
    if not cache.parent.parent.stat().st_mode & stat.S_IWUSR:  # shared, read-only data: root could, but must not
        return
    part = cache.with_name(f"{cache.name}.{os.getpid()}.part")
    with contextlib.suppress(OSError):
        try:
            cache.parent.mkdir(exist_ok=True)
            with open(part, "wb") as file:
                np.savez(file, images=arrays["images"], masks=arrays["masks"], groups=arrays["groups"])
            os.replace(part, cache)
        finally:
            part.unlink(missing_ok=True)
