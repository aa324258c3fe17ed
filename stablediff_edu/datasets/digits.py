"""Digits: scanned ones (MNIST) if they have been fetched, else drawn ones."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from stablediff_edu.datasets import mnist
from stablediff_edu.datasets.download import data_folder
from stablediff_edu.datasets.drawn_digits import draw_digit_bytes
from stablediff_edu.errors import CourseError


@dataclass
class Digits:
    """Pictures of single digits.

    Attributes:
        pictures: (N, 1, 28, 28) float32 in [-1, 1]; -1 is the black paper, 1 white ink, as in MNIST.
        labels: (N,) int64, which digit each one is, 0 to 9.
        source: one line for figures, "drawn digits" or "MNIST".
    """

    pictures: torch.Tensor
    labels: torch.Tensor
    source: str

    def __len__(self) -> int:
        return len(self.pictures)

    def take(self, indices: Sequence[int] | torch.Tensor) -> "Digits":
        """Return the digits at ``indices``, in that order."""
        indices = torch.as_tensor(indices, dtype=torch.int64)
        return replace(self, pictures=self.pictures[indices], labels=self.labels[indices])

    def first(self, n: int) -> "Digits":
        """Return the first ``n`` digits (all of them, if there are fewer); of both sources they are well mixed."""
        return replace(self, pictures=self.pictures[:n], labels=self.labels[:n])


def load_digits(count: int = 10_000, source: str = "auto", train: bool = True, seed: int = 0) -> Digits:
    """Load digits to learn from, or others to test on.

    Args:
        count: how many; of MNIST at most as many as there are (60,000 to learn from, 10,000 to test on), in its order.
        source: "mnist" for the scanned digits, "drawn" for drawn ones; "auto" takes MNIST if it has been fetched.
        train: False gives digits that are none of those to learn from.
        seed: which digits are drawn.

    Raises:
        CourseError: there is no such source, MNIST is not here, or one of its files is damaged.
    """
    _check(count)
    if source == "auto":
        source = "mnist" if mnist.is_there() else "drawn"
    if source == "drawn":
        return draw_digits(count, seed, train)
    if source != "mnist":
        raise CourseError(f"There is no source of digits called {source!r}; choose auto, drawn or mnist.")
    pictures, labels = mnist.load(train)
    return Digits(_to_tensor(pictures[:count]), labels[:count], "MNIST")


def draw_digits(count: int = 10_000, seed: int = 0, train: bool = True) -> Digits:
    """Draw digits: each is decided by the seed and its number, and of every ten there is one of each.

    10,000 take about a second on one core. ``train=False`` draws others, never seen by who learned from the first.
    """
    _check(count)
    pictures, labels = draw_digit_bytes(count, (seed, 0 if train else 1))
    return Digits(_to_tensor(torch.from_numpy(pictures)), torch.from_numpy(labels), "drawn digits")


def digits_source() -> str:
    """Return one line on which digits :func:`load_digits` will use, and how to get the real ones."""
    if mnist.is_there():
        return f"MNIST, {count_mnist():,} scanned digits in {data_folder('mnist')}"
    return f"drawn digits (built in) · real ones: {mnist.FETCH}"


def count_mnist() -> int:
    """Return how many scanned digits there are to learn from, without reading them; 0 if MNIST was not fetched."""
    return mnist.count()


def _check(count: int) -> None:
    if count < 1:
        raise CourseError(f"{count} digits cannot be had; ask for at least 1.")


def _to_tensor(pictures: torch.Tensor) -> torch.Tensor:
    """Turn bytes, (N, 28, 28) in 0 … 255, into the pictures of the course, (N, 1, 28, 28) float32 in [-1, 1]."""
    return pictures.unsqueeze(1).float().div_(127.5).sub_(1)
