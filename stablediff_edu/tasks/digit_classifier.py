"""A small classifier of digits, trained on synthetic ones alone. Its accuracy on MNIST measures how realistic they
are. It also evaluates the generated digits of chapter 5.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from stablediff_edu.config import to_device
from stablediff_edu.data.digits.dataset import DigitDataset, load_digits, num_mnist_images, render_digits
from stablediff_edu.data.real_data import fetch_command
from stablediff_edu.models.classifier import ImageClassifier, predict_logits
from stablediff_edu.tasks.classifier import ClassifierTask
from stablediff_edu.tasks.task import MIT
from stablediff_edu.training.loop import TrainResult

Batch = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class DigitClassifierTask(ClassifierTask[DigitDataset]):
    """(B, 1, 28, 28) -> "digit": (B, 10).

    Attributes:
        num_images, num_test: how many synthetic digits are trained on, and tested on.
    """

    name = "digit-classifier"
    weights = "digit_classifier"
    heads: ClassVar[dict[str, int]] = {"digit": 10}
    in_channels = 1

    channels: tuple[int, ...] = (24, 48, 96)
    steps: int = 4000
    num_images: int = 40_000
    num_test: int = 2_000

    def data(self, cache: Path | None = None) -> tuple[DigitDataset, None]:
        return render_digits(self.num_images), None  # the seed of the training does not change them

    def batches(self, data: DigitDataset, device: torch.device) -> Iterator[Batch]:
        return batches(data, self.batch_size, device)

    def loss(self, data: DigitDataset) -> Callable[[nn.Module, Batch], torch.Tensor]:
        return lambda model, batch: F.cross_entropy(model(batch[0])["digit"], batch[1])

    def evaluate(self, model: ImageClassifier, held_out: DigitDataset | None = None) -> str:
        """Return which share of held-out synthetic digits the network reads, and of MNIST's test digits."""
        synthetic = render_digits(self.num_test, train=False)
        line = f"reads {accuracy(model, synthetic):.1%} of {len(synthetic):,} other synthetic digits, and "
        if not num_mnist_images():
            return f"{line}MNIST is not here to test on (get it with: {fetch_command('mnist')})"
        real = load_digits(10_000, "mnist", train=False)
        return f"{line}{accuracy(model, real):.1%} of {len(real):,} test digits of MNIST, of which it has seen none"

    def metadata(self, data: DigitDataset, training: TrainResult) -> dict[str, object]:
        return dict(data=f"{len(data)} {data.source}", licence=MIT)


DigitClassifierTask.presets = {"pretrained": DigitClassifierTask()}


def load_digit_classifier(name: str | Path = "digit_classifier") -> tuple[ImageClassifier, dict[str, str]]:
    """Return a trained classifier of digits, by default the pretrained one, and its metadata."""
    return DigitClassifierTask().load(name)


def batches(digits: DigitDataset, batch_size: int, device: torch.device | str = "cpu") -> Iterator[Batch]:
    """Yield batches forever: images (B, 1, 28, 28) and the probability of each digit, (B, 10).

    A batch is shifted by up to two pixels, half of them are blurred a little, and all get a little noise. One digit in
    16 is mixed with another, and one in 64 is wiped out, so that the network learns when not to be sure.
    """
    mixed, empty = batch_size // 16, batch_size // 64
    while True:
        chosen = digits.take(torch.randint(len(digits), (batch_size,)))
        images, targets = chosen.images, F.one_hot(chosen.labels, 10).float()
        images[:mixed], targets[:mixed] = mixup(images[:mixed], targets[:mixed])
        images[mixed : mixed + empty], targets[mixed : mixed + empty] = -1, 0.1
        down, right = torch.randint(-2, 3, (2,)).tolist()
        images = images.roll((down, right), dims=(2, 3))  # the paper around a digit is wide enough
        if torch.rand(()) < 0.5:
            images = torch.lerp(images, F.avg_pool2d(images, 3, 1, 1), torch.rand(()).item())
        images = images + 0.1 * torch.randn(images.shape)
        yield to_device(images, device), to_device(targets, device)


def mixup(images: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mix each digit with its neighbor: both are half right (after Zhang et al., 2018, "mixup").

    In half of the cases the two lie over each other, in half one shows in some places and the other in others.
    """
    others = images.roll(1, dims=0)
    shares = F.interpolate(torch.rand(len(images), 1, 3, 3), size=images.shape[-2:], mode="bilinear")
    shares = (4 * (shares - 0.5) + 0.5).clamp(0, 1)  # (B, 1, 28, 28): mostly the one or mostly the other
    over = torch.rand(len(images), 1, 1, 1) < 0.5
    both = torch.where(over, torch.maximum(images, others), torch.lerp(images, others, shares))
    return both, (targets + targets.roll(1, dims=0)) / 2


def predict_proba(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return the probability of each digit: (N, 1, 28, 28) -> (N, 10)."""
    return predict_logits(model, images)["digit"].softmax(dim=1)


def accuracy(model: nn.Module, digits: DigitDataset) -> float:
    """Return the share of the digits that are classified correctly."""
    return (predict_proba(model, digits.images).argmax(dim=1) == digits.labels).float().mean().item()
