"""CIFAR-10 (Krizhevsky, 2009): 60,000 photographs of 32×32 pixels in ten classes, 5,000 training ships among them.

Read from what `fetch cifar10` brought (through torchvision), or from folders of pictures, `train/ship/0000.jpg`.
"""

import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from stablediff_edu.datasets.download import data_folder
from stablediff_edu.datasets.image_files import image_endings, list_images
from stablediff_edu.datasets.pictures import Pictures, read_square, to_tensor
from stablediff_edu.errors import CourseError
from stablediff_edu.vision import import_torchvision

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FETCH = "python -m stablediff_edu fetch cifar10"
_BATCHES = "cifar-10-batches-py"  # the folder in the archive that holds the pictures
_OF_EACH = 5000  # training pictures of a class


def load_cifar10(
    classes: Sequence[str] = CLASSES, train: bool = True, most: int | None = None
) -> tuple[Pictures, torch.Tensor]:
    """Return pictures of these classes, (N, 3, 32, 32), and for each its class as a number in `CLASSES`, (N,).

    Args:
        classes: names from `CLASSES`; the pictures come class by class in this order.
        train: the training pictures (5,000 a class in the whole set) or the test pictures (1,000).
        most: of each class at most so many, the first ones.

    Raises:
        CourseError: a class is unknown, CIFAR-10 is not here, or its files are damaged (their hashes are checked).
    """
    classes = [classes] if isinstance(classes, str) else list(classes)
    unknown = sorted(set(classes) - set(CLASSES))
    if unknown or not classes:
        what = f"no class {unknown[0]!r}" if unknown else "nothing to show when no class is named"
        raise CourseError(f"CIFAR-10 has {what}; its classes are {', '.join(CLASSES)}.")
    if most is not None and most < 1:
        raise CourseError(f"{most} pictures of each class cannot be loaded; ask for at least 1.")
    folder = data_folder("cifar10")
    if batches := find_batches(folder):
        pictures, labels = _from_batches(batches, train)
        chosen = np.concatenate([np.flatnonzero(labels == CLASSES.index(name))[:most] for name in classes])
        pictures, labels, source = pictures[chosen], labels[chosen], "CIFAR-10"
    elif (folder / "train").is_dir():
        pictures, labels = _from_folders(folder / ("train" if train else "test"), classes, most)
        source = "CIFAR-10 (JPEG copies)"
    else:
        raise CourseError(f"CIFAR-10 is not in {folder}; get it with: {FETCH}.")
    return Pictures(to_tensor(pictures), source), torch.from_numpy(labels)


def dataset() -> type:
    """Return torchvision's class ``CIFAR10``, which knows the archive's address and the hashes of all files."""
    return import_torchvision().datasets.CIFAR10


def is_intact(folder: Path) -> bool:
    """Tell whether ``folder`` holds all files of the unpacked archive with the right hashes (half a second)."""
    known, batches = dataset(), find_batches(folder)
    check = import_torchvision().datasets.utils.check_integrity
    files = [*known.train_list, *known.test_list, (known.meta["filename"], known.meta["md5"])]
    return batches is not None and all(check(batches / name, md5) for name, md5 in files)


def find_batches(folder: Path) -> Path | None:
    """Return the folder of the unpacked batches: in ``folder``, however deep, or beside it, where people put it."""
    inside = [folder / _BATCHES, *sorted(file.parent for file in folder.rglob("batches.meta"))]
    beside = [folder.with_name(_BATCHES)] if folder == data_folder("cifar10") else []
    return next((place for place in inside + beside if place.is_dir()), None)


def count_class(name: str) -> int:
    """Return how many training pictures of a class there are, without reading them; 0 if CIFAR-10 is not here."""
    folder = data_folder("cifar10")
    if find_batches(folder):
        return _OF_EACH
    return sum(file.suffix.lower() in image_endings() for file in folder.glob(f"train/{name}/*"))


def _from_batches(folder: Path, train: bool) -> tuple[np.ndarray, np.ndarray]:
    named = type("CIFAR10", (dataset(),), {"base_folder": folder.name})
    try:
        data = named(folder.parent, train=train)  # it checks every file's hash before it reads one
    except (RuntimeError, OSError, pickle.UnpicklingError, EOFError) as error:
        raise CourseError(f"CIFAR-10 in {folder} is damaged or incomplete; fetch it again with: {FETCH}.") from error
    return data.data, np.asarray(data.targets)


def _from_folders(folder: Path, classes: Sequence[str], most: int | None) -> tuple[np.ndarray, np.ndarray]:
    pictures, labels = [], []
    for name in classes:
        files = list_images(folder / name, f"images of the class {name}")[0][:most]
        pictures += [read_square(file, 32) for file in files]
        labels += [CLASSES.index(name)] * len(files)
    return np.stack(pictures), np.asarray(labels)
