"""A small classifier of digits, trained on synthetic ones alone. Its accuracy on MNIST measures how realistic they
are. It also evaluates the generated digits of chapter 5.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from stablediff_edu.config import device_of, pick_device, seed_everything, to_device
from stablediff_edu.data.digits.dataset import DigitDataset, load_digits, num_mnist_images, render_digits
from stablediff_edu.data.real_data import fetch_command
from stablediff_edu.layers.conv_blocks import DoubleConv
from stablediff_edu.training.amp import memory_format
from stablediff_edu.training.loop import Callback, TrainResult, train
from stablediff_edu.training.progress import fingerprint
from stablediff_edu.training.trained_models import load_trained, save_trained

DIGITS, NUM_TEST_DIGITS = 40_000, 2_000


class DigitClassifier(nn.Module):
    """(B, 1, 28, 28) -> (B, 10): one score a digit; `predict_proba` makes them numbers that sum to 1.

    Each level has two convolutions and works at half the size of the one before, from 14×14 on: 2×2 pixels are first
    laid into the channels. The mean over all positions goes through one linear layer.
    """

    def __init__(self, channels: tuple[int, ...] = (24, 48, 96)) -> None:
        super().__init__()
        self.config = dict(channels=list(channels))
        self.levels = nn.ModuleList(DoubleConv(a, b) for a, b in zip([4, *channels], channels, strict=False))
        self.smaller = nn.MaxPool2d(2, ceil_mode=True)  # 14 -> 7 -> 4: no row is left out
        self.last = nn.Linear(channels[-1], 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.pixel_unshuffle(x, 2)  # (B, 1, 28, 28) -> (B, 4, 14, 14)
        for number, level in enumerate(self.levels):
            x = level(self.smaller(x) if number else x)  # (B, channels, S, S) -> (B, channels', S/2, S/2)
        return self.last(x.mean(dim=(2, 3)))  # (B, channels, S, S) -> (B, channels) -> (B, 10)


@dataclass(frozen=True)
class DigitClassifierTrainConfig:
    """Hyperparameters of the classifier."""

    channels: tuple[int, ...] = (24, 48, 96)
    steps: int = 4000
    batch_size: int = 64
    learning_rate: float = 3e-3
    seed: int = 0

    def model(self) -> DigitClassifier:
        """Return the untrained network; the seed decides its first weights."""
        torch.manual_seed(self.seed)
        return DigitClassifier(self.channels)


DIGIT_CLASSIFIER = DigitClassifierTrainConfig()  # the pretrained weights `digit_classifier`


def batches(
    digits: DigitDataset, batch_size: int, device: torch.device | str = "cpu"
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Give batches for ever: (B, 1, 28, 28) and how right each answer is, (B, 10), summing to 1.

    A batch is shifted by up to two pixels, half of them are blurred a little, and all get a little noise. One digit in
    16 is mixed with another, and one in 64 is wiped out, so that the network learns when not to be sure. All chance
    comes from torch's own generator, whose state the training loop saves.
    """
    mixed, empty = batch_size // 16, batch_size // 64
    while True:
        chosen = digits.take(torch.randint(len(digits), (batch_size,)))
        images, answers = chosen.images, F.one_hot(chosen.labels, 10).float()
        images[:mixed], answers[:mixed] = mixup(images[:mixed], answers[:mixed])
        images[mixed : mixed + empty], answers[mixed : mixed + empty] = -1, 0.1
        down, right = torch.randint(-2, 3, (2,)).tolist()
        images = images.roll((down, right), dims=(2, 3))  # the paper around a digit is wide enough
        if torch.rand(()) < 0.5:
            images = torch.lerp(images, F.avg_pool2d(images, 3, 1, 1), torch.rand(()).item())
        images = images + 0.1 * torch.randn(images.shape)
        yield to_device(images, device), to_device(answers, device)


def mixup(images: torch.Tensor, answers: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mix each digit with its neighbor: both are half right (after Zhang et al., 2018, "mixup").

    In half of the cases the two lie over each other, in half one shows in some places and the other in others.
    """
    others = images.roll(1, dims=0)
    shares = F.interpolate(torch.rand(len(images), 1, 3, 3), size=images.shape[-2:], mode="bilinear")
    shares = (4 * (shares - 0.5) + 0.5).clamp(0, 1)  # (B, 1, 28, 28): mostly the one or mostly the other
    over = torch.rand(len(images), 1, 1, 1) < 0.5
    both = torch.where(over, torch.maximum(images, others), torch.lerp(images, others, shares))
    return both, (answers + answers.roll(1, dims=0)) / 2


def loss(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Return the cross-entropy between the network's prediction and the right one."""
    images, answers = batch
    return F.cross_entropy(model(images), answers)


@torch.no_grad()
def predict_proba(model: nn.Module, images: torch.Tensor, batch_size: int = 500) -> torch.Tensor:
    """Return the probability of each digit: (N, 1, 28, 28) -> (N, 10)."""
    device = device_of(model)
    return torch.cat([model(to_device(part, device)).softmax(dim=1).cpu() for part in images.split(batch_size)])


def accuracy(model: nn.Module, digits: DigitDataset) -> float:
    """Return the share of the digits that are classified correctly."""
    return (predict_proba(model, digits.images).argmax(dim=1) == digits.labels).float().mean().item()


def train_classifier(
    config: DigitClassifierTrainConfig,
    digits: DigitDataset,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> tuple[DigitClassifier, TrainResult]:
    """Train on these digits; return the network and the record."""
    device = pick_device()
    model = config.model().to(device, memory_format=memory_format(device))
    training = train(
        model,
        batches(digits, config.batch_size, device),
        loss,
        steps=config.steps,
        learning_rate=config.learning_rate,
        weight_decay=0.05,
        beta2=0.99,
        callback=callback,
        checkpoint=checkpoint,
        about=fingerprint(config, digits.images, digits.labels),
    )
    return model, training


def load_data() -> DigitDataset:
    """Return the synthetic digits that the pretrained network learned from; the seed of its training does not change
    them."""
    return render_digits(DIGITS)


def make_classifier(
    config: DigitClassifierTrainConfig, out: Path, command: str, data: DigitDataset, checkpoint: Path | None = None
) -> tuple[Path, TrainResult, str]:
    """Train, score on held-out digits, and save with metadata: the file, the record, the score."""
    seed_everything(config.seed)
    model, training = train_classifier(config, data, checkpoint=checkpoint)
    scores = score_on_test_images(model)
    metadata = dict(
        command=command,
        seed=config.seed,
        data=f"{len(data)} {data.source}",
        licence="generated by this package (MIT)",
        result=scores,
    )
    return save_trained(out, model, training, checkpoint, **metadata), training, scores


def score_on_test_images(model: nn.Module) -> str:
    """Return one line: which share of synthetic held-out digits the network reads, and of MNIST's test digits."""
    drawn = render_digits(NUM_TEST_DIGITS, train=False)
    line = f"reads {accuracy(model, drawn):.1%} of {len(drawn):,} other synthetic digits, and "
    if not num_mnist_images():
        return f"{line}MNIST is not here to test on (get it with: {fetch_command('mnist')})"
    real = load_digits(10_000, "mnist", train=False)
    return f"{line}{accuracy(model, real):.1%} of {len(real):,} test digits of MNIST, of which it has seen none"


def load_classifier(name: str | Path = "digit_classifier") -> tuple[DigitClassifier, dict[str, str]]:
    """Return the trained classifier and its metadata."""
    model, metadata = load_trained(DigitClassifier, name, "a digit classifier")
    device = pick_device()
    return model.to(device, memory_format=memory_format(device)), metadata
