"""CIFAR-10 (Krizhevsky, 2009): 60,000 photographs of 32×32 pixels in ten classes, 5,000 training ships among them.

Read from what `fetch cifar10` brought, or from folders of images, `train/ship/0000.jpg`.
"""

import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from stablediff_edu.data.download import data_dir
from stablediff_edu.data.image_files import image_endings, list_images, open_image, square
from stablediff_edu.data.image_folder import ImageDataset, normalize_images
from stablediff_edu.data.real_data import fetch_command, find_files, read_file
from stablediff_edu.errors import UserError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
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
    if unknown := sorted(set(classes) - set(CLASSES)):
        raise UserError(f"CIFAR-10 has no class {unknown[0]!r}; its classes are {', '.join(CLASSES)}.")
    folder = data_dir("cifar10")
    if find_files("cifar10"):
        images, labels = _from_batches(train)
        chosen = np.concatenate([np.flatnonzero(labels == CLASSES.index(name))[:limit] for name in classes])
        images, labels, source = images[chosen], labels[chosen], "CIFAR-10"
    elif (folder / "train").is_dir():
        images, labels = _from_folders(folder / ("train" if train else "test"), classes, limit)
        source = "CIFAR-10 (JPEG copies)"
    else:
        raise UserError(f"CIFAR-10 is not in {folder}; get it with: {fetch_command('cifar10')}.")
    return ImageDataset(normalize_images(images), source), torch.from_numpy(labels)


def num_class_images(name: str) -> int:
    """Return how many training images of a class there are, without reading them; 0 if CIFAR-10 is not here."""
    if find_files("cifar10"):
        return TRAIN_PER_CLASS
    return sum(file.suffix.lower() in image_endings() for file in data_dir("cifar10").glob(f"train/{name}/*"))


def _from_batches(train: bool) -> tuple[np.ndarray, np.ndarray]:
    names = [f"data_batch_{number}" for number in range(1, 6)] if train else ["test_batch"]
    # a pickle may run any code: only files with the published hashes are opened
    batches = [pickle.loads(read_file("cifar10", name), encoding="latin1") for name in names]
    images = np.concatenate([batch["data"] for batch in batches]).reshape(-1, 3, 32, 32)
    return images.transpose(0, 2, 3, 1), np.concatenate([batch["labels"] for batch in batches])


def _from_folders(folder: Path, classes: Sequence[str], limit: int | None) -> tuple[np.ndarray, np.ndarray]:
    images, labels = [], []
    for name in classes:
        files = list_images(folder / name, f"images of the class {name}")[0][:limit]
        images += [square(open_image(file), 32) for file in files]
        labels += [CLASSES.index(name)] * len(files)
    return np.stack(images), np.asarray(labels)
