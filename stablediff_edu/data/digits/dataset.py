"""Digits: scanned ones (MNIST) if they have been fetched, else synthetic ones."""

from dataclasses import dataclass

import numpy as np
import torch

from stablediff_edu.data import real_data
from stablediff_edu.data.columns import Columns
from stablediff_edu.data.digits.synthetic import render_digits_uint8
from stablediff_edu.errors import UserError


@dataclass
class DigitDataset(Columns):
    """Images of single digits.

    Attributes:
        images: (N, 1, 28, 28) float32 in [-1, 1]; -1 is the black paper, 1 white ink, as in MNIST.
        labels: (N,) int64, which digit each one is, 0 to 9.
        source: one line for figures, "synthetic digits" or "MNIST".
    """

    columns = ("images", "labels")
    images: torch.Tensor
    labels: torch.Tensor
    source: str


def load_digits(count: int = 10_000, source: str = "auto", train: bool = True, seed: int = 0) -> DigitDataset:
    """Load digits to train on, or others to test on.

    Args:
        count: how many; of MNIST at most as many as there are (60,000 to learn from, 10,000 to test on), in its order.
        source: "mnist" for the scanned digits, "synthetic" for synthetic ones; "auto" takes MNIST if it has been
            fetched.
        train: False gives digits that are none of those to learn from.
        seed: which synthetic digits.

    Raises:
        UserError: there is no such source, MNIST is not here, or one of its files is damaged.
    """
    if count < 1:
        raise UserError(f"count must be at least 1, got {count}.")
    if source == "auto":
        source = "mnist" if num_mnist_images() else "synthetic"
    if source == "synthetic":
        return render_digits(count, seed, train)
    if source != "mnist":
        raise UserError(f"There is no source of digits called {source!r}; choose auto, synthetic or mnist.")
    part = "train" if train else "t10k"
    pixels, labels = (
        torch.from_numpy(np.frombuffer(real_data.read_file("mnist", file), np.uint8, offset=header).copy())
        for file, header in ((f"{part}-images-idx3-ubyte", 16), (f"{part}-labels-idx1-ubyte", 8))
    )
    return DigitDataset(_to_tensor(pixels.view(-1, 28, 28)[:count]), labels[:count].long(), "MNIST")


def render_digits(count: int = 10_000, seed: int = 0, train: bool = True) -> DigitDataset:
    """Render digits: each is decided by the seed and its number, and of every ten there is one of each.

    10,000 take about a second on one core. ``train=False`` renders other ones, held out from training.
    """
    images, labels = render_digits_uint8(count, (seed, 0 if train else 1))
    return DigitDataset(_to_tensor(torch.from_numpy(images)), torch.from_numpy(labels), "synthetic digits")


def describe_digits() -> str:
    """Return one line on which digits :func:`load_digits` will use, and how to get the real ones."""
    return real_data.describe("mnist", "scanned digits", num_mnist_images(), 1, "synthetic digits")


def num_mnist_images() -> int:
    """Return how many scanned digits there are to learn from, without reading them; 0 if MNIST was not fetched."""
    return 60_000 if real_data.find_files("mnist") else 0


def _to_tensor(images: torch.Tensor) -> torch.Tensor:
    """Turn bytes, (N, 28, 28) in 0 … 255, into the images of the course, (N, 1, 28, 28) float32 in [-1, 1]."""
    return images.unsqueeze(1).float().div_(127.5).sub_(1)
