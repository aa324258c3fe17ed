"""Fish with masks: real photographs (Kaggle's Large-Scale Fish Dataset) if they are there, else drawn ones."""

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

from stablediff_edu.datasets import drawn_fish
from stablediff_edu.datasets.copies import group_copies, ring_signature
from stablediff_edu.datasets.download import data_folder
from stablediff_edu.datasets.folder import MaskedPictures, as_masked_pictures, find_pairs, read_pair, shrink
from stablediff_edu.datasets.masks import MaskRule
from stablediff_edu.errors import CourseError

DATASET = "crowww/a-large-scale-fish-dataset"  # Ulucan, Karakaya, Turkan 2020: 9 species, 1000 pictures of each
FETCH = "python -m stablediff_edu fetch fish"
MASKS = MaskRule("brightness", above=127)  # white fish on black
_CACHE_VERSION = 1  # part of the cache's name: raise it when the pictures in it would come out otherwise

# Where one picture lies: its species, the picture, its mask.
FishFile = tuple[str, Path, Path]


def load_fish(count: int = 500, size: int = 128, source: str = "auto", seed: int = 0) -> MaskedPictures:
    """Load pictures of fish with their masks, in equal parts of every species.

    Args:
        count: how many; of the real ones, at most as many as there are.
        size: side of the pictures in pixels. The photographs (590×445) are stretched to squares.
        source: "kaggle" for the photographs, "drawn" for drawn fish; "auto" takes the photographs if ``count`` of them
            have been fetched.
        seed: which photographs are taken, or which fish are drawn.

    Returns:
        The pictures; of photographs, species take turns, so that the first few show all of them, and turned copies of
        one original share a group.

    Raises:
        CourseError: the photographs are asked for and not there, or one of them is broken.
    """
    if source not in ("auto", "drawn", "kaggle"):
        raise CourseError(f"There is no source of fish called {source!r}; choose auto, drawn or kaggle.")
    if count < 1 or size < 8:
        raise CourseError(f"{count} fish of {size}×{size} pixels cannot be loaded; ask for at least 1 of 8×8.")
    if source == "kaggle" or (source == "auto" and count_photographs() >= count):
        return _load_photographs(count, size, seed)
    pictures, masks, names = drawn_fish.draw_many(count, size=size, seed=seed)
    return MaskedPictures(pictures, masks, torch.arange(count), list(names), "drawn fish")


def fish_source(count: int = 500) -> str:
    """Return one line on which fish :func:`load_fish` will use, and how to get the real ones."""
    there = count_photographs()
    if there >= count:
        return f"Kaggle fish, {there:,} photographs in {data_folder('fish')}"
    some = f" (only {there} there)" if there else ""
    return f"drawn fish (built in) · real ones{some}: {FETCH}"


def count_photographs(folder: Path | None = None) -> int:
    """Return how many photographs with masks there are; 0 if the set has not been fetched."""
    return sum(len(files) for files in find_fish(folder or data_folder("fish")).values())


def find_fish(folder: Path) -> dict[str, list[FishFile]]:
    """Find photographs and masks in the unpacked archive, whatever it is nested in.

    Somewhere below ``folder`` each species has two neighbours, ``Trout/`` and ``Trout GT/``. Spelling may vary: case,
    spaces and underscores do not matter, and if there is but one other folder beside ``… GT`` it may be called
    anything. ``NA_Fish_Dataset``, which has no masks, is passed over.

    Returns:
        species -> its files, sorted; empty if there are no such folders.

    Raises:
        CourseError: a mask is missing.
    """
    found: dict[str, list[FishFile]] = {}
    for here, inside, _ in os.walk(folder):
        inside[:] = sorted(name for name in inside if not name.startswith((".", "__", "NA_")))
        others = {_key(name): name for name in inside if not _is_masks(name)}
        for masks in filter(_is_masks, inside):
            only = next(iter(others.values())) if len(others) == 1 else None
            pictures = others.get(_key(masks).removesuffix("gt"), only)
            if pictures is not None:
                pairs, _ = find_pairs(Path(here) / pictures, Path(here) / masks)
                found[pictures] = [(pictures, picture, files[0]) for picture, files in pairs]
    return dict(sorted(found.items()))


def _key(name: str) -> str:
    return re.sub(r"[\W_]", "", name.casefold())


def _is_masks(name: str) -> bool:
    return _key(name).endswith("gt")


# --- photographs ---------------------------------------------------------------------------------------------------


def _load_photographs(count: int, size: int, seed: int) -> MaskedPictures:
    folder = data_folder("fish")
    chosen = _choose(find_fish(folder), count, seed)
    if not chosen:
        raise CourseError(f"There are no fish photographs in {folder}; fetch them with: {FETCH}.")
    cache = folder / "cache" / f"{_fingerprint(chosen, size)}.npz"
    arrays = _read_cache(cache, len(chosen), size)
    if arrays is None:
        arrays = _decode(chosen, size)
        _write_cache(cache, arrays)
    names = [f"{species} {picture.stem}" for species, picture, _ in chosen]
    return as_masked_pictures(arrays["pictures"], arrays["masks"], arrays["groups"], names, "Kaggle fish")


def _choose(fish: dict[str, list[FishFile]], count: int, seed: int) -> list[FishFile]:
    """Shuffle each species, then let the species take turns until there are ``count``."""
    random = np.random.default_rng(seed)
    shuffled = [[files[index] for index in random.permutation(len(files))] for files in fish.values()]
    in_turn = [file for file in chain.from_iterable(zip_longest(*shuffled)) if file is not None]
    return in_turn[:count]


def _decode(chosen: list[FishFile], size: int) -> dict[str, np.ndarray]:
    from tqdm import tqdm

    pictures = np.empty((len(chosen), size, size, 3), np.uint8)
    masks = np.empty((len(chosen), size, size), np.uint8)
    signatures = []
    bar = tqdm(
        chosen, desc="reading photographs, this first time", leave=False, disable=len(chosen) < 50, file=sys.stdout
    )
    for index, (_, picture_file, mask_file) in enumerate(bar):
        picture, mask = read_pair(picture_file, [mask_file], MASKS)
        pictures[index], masks[index] = shrink(picture, mask, size)
        signatures.append(ring_signature(picture))
    groups = group_copies(np.stack(signatures), [species for species, _, _ in chosen])
    return {"pictures": pictures, "masks": masks, "groups": groups}


# --- their cache ---------------------------------------------------------------------------------------------------


def _fingerprint(chosen: list[FishFile], size: int) -> str:
    """Name what is in a cache: which files, of which date and length, in which order and size."""
    digest = hashlib.sha256(f"{_CACHE_VERSION} {size}".encode())
    for _, *files in chosen:
        for file in files:
            status = file.stat()
            digest.update(f"{file} {status.st_mtime_ns} {status.st_size}\n".encode())
    return digest.hexdigest()[:24]


def _read_cache(cache: Path, count: int, size: int) -> dict[str, np.ndarray] | None:
    try:
        with np.load(cache, allow_pickle=False) as stored:  # a zip file: every array is checked against its CRC
            arrays = {name: stored[name] for name in ("pictures", "masks", "groups")}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    shapes = {"pictures": (count, size, size, 3), "masks": (count, size, size), "groups": (count,)}
    return arrays if all(arrays[name].shape == shape for name, shape in shapes.items()) else None


def _write_cache(cache: Path, arrays: dict[str, np.ndarray]) -> None:
    """Store the arrays under a temporary name, then rename; where that is impossible there is no cache."""
    if not cache.parent.parent.stat().st_mode & stat.S_IWUSR:  # shared, read-only data: root could, but must not
        return
    part = cache.with_name(f"{cache.name}.{os.getpid()}.part")
    try:
        cache.parent.mkdir(exist_ok=True)
        with open(part, "wb") as file:
            np.savez(file, **arrays)
        os.replace(part, cache)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
