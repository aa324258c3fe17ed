"""CIFAR-10 (Krizhevsky, 2009): 60,000 photographs of 32×32 pixels in ten classes, 5,000 training ships among them.

Read from what `fetch cifar10` brought (through torchvision), or from folders of images, `train/ship/0000.jpg`.
"""

import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from stablediff_edu.data.download import data_dir
from stablediff_edu.data.image_files import image_endings, list_images
from stablediff_edu.data.image_folder import ImageDataset, load_center_crop, normalize_images
from stablediff_edu.errors import UserError
from stablediff_edu.vision import import_torchvision

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FETCH_COMMAND = "python -m stablediff_edu fetch cifar10"
_BATCHES = "cifar-10-batches-py"  # the folder in the archive that holds the images
TRAIN_PER_CLASS = 5000  # training images of a class


def load_cifar10(
    classes: Sequence[str] = CLASSES, train: bool = True, limit: int | None = None
) -> tuple[ImageDataset, torch.Tensor]:
    """Return images of these classes, (N, 3, 32, 32), and for each its class as a number in `CLASSES`, (N,).

    Args:
        classes: names from `CLASSES`; the images come class by class in this order.
        train: the training images (5,000 a class in the whole set) or the test images (1,000).
        limit: of each class at most so many, the first ones.

    Raises:
        UserError: a class is unknown, CIFAR-10 is not here, or its files are damaged (their hashes are checked).
    """
    classes = [classes] if isinstance(classes, str) else list(classes)
    unknown = sorted(set(classes) - set(CLASSES))
    if unknown or not classes:
        what = f"no class {unknown[0]!r}" if unknown else "nothing to show when no class is named"
        raise UserError(f"CIFAR-10 has {what}; its classes are {', '.join(CLASSES)}.")
    if limit is not None and limit < 1:
        raise UserError(f"{limit} images of each class cannot be loaded; ask for at least 1.")
    folder = data_dir("cifar10")
    if batches := find_batches(folder):
        images, labels = _from_batches(batches, train)
        chosen = np.concatenate([np.flatnonzero(labels == CLASSES.index(name))[:limit] for name in classes])
        images, labels, source = images[chosen], labels[chosen], "CIFAR-10"
    elif (folder / "train").is_dir():
        images, labels = _from_folders(folder / ("train" if train else "test"), classes, limit)
        source = "CIFAR-10 (JPEG copies)"
    else:
        raise UserError(f"CIFAR-10 is not in {folder}; get it with: {FETCH_COMMAND}.")
    return ImageDataset(normalize_images(images), source), torch.from_numpy(labels)


def torchvision_class() -> type:
    """Return torchvision's class ``CIFAR10``, which knows the archive's address and the hashes of all files."""
    return import_torchvision().datasets.CIFAR10


def verify_checksums(folder: Path) -> bool:
    """Tell whether ``folder`` holds all files of the unpacked archive with the right hashes (half a second)."""
    known, batches = torchvision_class(), find_batches(folder)
    check = import_torchvision().datasets.utils.check_integrity
    files = [*known.train_list, *known.test_list, (known.meta["filename"], known.meta["md5"])]
    return batches is not None and all(check(batches / name, md5) for name, md5 in files)


def find_batches(folder: Path) -> Path | None:
    """Return the folder of the unpacked batches: in ``folder``, however deep, or beside it, where people put it."""
    inside = [folder / _BATCHES, *sorted(file.parent for file in folder.rglob("batches.meta"))]
    beside = [folder.with_name(_BATCHES)] if folder == data_dir("cifar10") else []
    return next((place for place in inside + beside if place.is_dir()), None)


def num_class_images(name: str) -> int:
    """Return how many training images of a class there are, without reading them; 0 if CIFAR-10 is not here."""
    folder = data_dir("cifar10")
    if find_batches(folder):
        return TRAIN_PER_CLASS
    return sum(file.suffix.lower() in image_endings() for file in folder.glob(f"train/{name}/*"))


def _from_batches(folder: Path, train: bool) -> tuple[np.ndarray, np.ndarray]:
    named = type("CIFAR10", (torchvision_class(),), {"base_folder": folder.name})
    try:
        data = named(folder.parent, train=train)  # it checks every file's hash before it reads one
    except (RuntimeError, OSError, pickle.UnpicklingError, EOFError) as error:
        raise UserError(
            f"CIFAR-10 in {folder} is damaged or incomplete; fetch it again with: {FETCH_COMMAND}."
        ) from error
    return data.data, np.asarray(data.targets)


def _from_folders(folder: Path, classes: Sequence[str], most: int | None) -> tuple[np.ndarray, np.ndarray]:
    images, labels = [], []
    for name in classes:
        files = list_images(folder / name, f"images of the class {name}")[0][:most]
        images += [load_center_crop(file, 32) for file in files]
        labels += [CLASSES.index(name)] * len(files)
    return np.stack(images), np.asarray(labels)
