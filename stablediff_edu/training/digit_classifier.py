"""Which digit? A small network that reads digits, trained on drawn ones alone.

How much of MNIST it can read is the measure of the drawing. It also judges what the generators of chapter 5 draw.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from stablediff_edu.datasets import mnist
from stablediff_edu.datasets.digits import Digits, draw_digits, load_digits
from stablediff_edu.device import device_of, pick_device, seed_everything, to_device
from stablediff_edu.layers.blocks import DoubleConvolution
from stablediff_edu.training.keeping import keep, rebuild
from stablediff_edu.training.loop import Observer, Training, train
from stablediff_edu.training.precision import memory_format
from stablediff_edu.training.progress import fingerprint

DIGITS, DIGITS_TO_TEST_ON = 40_000, 2_000


class DigitClassifier(nn.Module):
    """(B, 1, 28, 28) -> (B, 10): one score a digit; `probabilities` makes them numbers that sum to 1.

    Each level has two convolutions and works at half the size of the one before, from 14×14 on: 2×2 pixels are first
    laid into the channels. The mean over all places goes through one linear layer.
    """

    def __init__(self, channels: tuple[int, ...] = (24, 48, 96)) -> None:
        super().__init__()
        self.config = dict(channels=list(channels))
        self.levels = nn.ModuleList(DoubleConvolution(a, b) for a, b in zip([4, *channels], channels, strict=False))
        self.smaller = nn.MaxPool2d(2, ceil_mode=True)  # 14 -> 7 -> 4: no row is left out
        self.last = nn.Linear(channels[-1], 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.pixel_unshuffle(x, 2)  # (B, 1, 28, 28) -> (B, 4, 14, 14)
        for number, level in enumerate(self.levels):
            x = level(self.smaller(x) if number else x)  # (B, channels, S, S) -> (B, channels', S/2, S/2)
        return self.last(x.mean(dim=(2, 3)))  # (B, channels, S, S) -> (B, channels) -> (B, 10)


@dataclass(frozen=True)
class DigitRecipe:
    """How the network learns to read."""

    channels: tuple[int, ...] = (24, 48, 96)
    steps: int = 4000
    batch_size: int = 64
    learning_rate: float = 3e-3
    seed: int = 0

    def model(self) -> DigitClassifier:
        """Return the untrained network; the seed decides its first weights."""
        torch.manual_seed(self.seed)
        return DigitClassifier(self.channels)


DIGIT_CLASSIFIER = DigitRecipe()  # the shipped weights `digit_classifier`


def batches(
    digits: Digits, batch_size: int, device: torch.device | str = "cpu"
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Give batches for ever: (B, 1, 28, 28) and how right each answer is, (B, 10), summing to 1.

    A batch is shifted by up to two pixels, half of them are blurred a little, and all get a little noise. One digit in
    16 is mixed with another, and one in 64 is wiped out, so that the network learns when not to be sure. All chance
    comes from torch's own generator, whose state the training loop saves.
    """
    mixed, empty = batch_size // 16, batch_size // 64
    while True:
        chosen = digits.take(torch.randint(len(digits), (batch_size,)))
        pictures, answers = chosen.pictures, F.one_hot(chosen.labels, 10).float()
        pictures[:mixed], answers[:mixed] = mix(pictures[:mixed], answers[:mixed])
        pictures[mixed : mixed + empty], answers[mixed : mixed + empty] = -1, 0.1
        down, right = torch.randint(-2, 3, (2,)).tolist()
        pictures = pictures.roll((down, right), dims=(2, 3))  # the paper around a digit is wide enough
        if torch.rand(()) < 0.5:
            pictures = torch.lerp(pictures, F.avg_pool2d(pictures, 3, 1, 1), torch.rand(()).item())
        pictures = pictures + 0.1 * torch.randn(pictures.shape)
        yield to_device(pictures, device), to_device(answers, device)


def mix(pictures: torch.Tensor, answers: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mix each digit with its neighbour: both are half right (after Zhang et al., 2018, "mixup").

    In half of the cases the two lie over each other, in half one shows in some places and the other in others.
    """
    others = pictures.roll(1, dims=0)
    shares = F.interpolate(torch.rand(len(pictures), 1, 3, 3), size=pictures.shape[-2:], mode="bilinear")
    shares = (4 * (shares - 0.5) + 0.5).clamp(0, 1)  # (B, 1, 28, 28): mostly the one or mostly the other
    over = torch.rand(len(pictures), 1, 1, 1) < 0.5
    both = torch.where(over, torch.maximum(pictures, others), torch.lerp(pictures, others, shares))
    return both, (answers + answers.roll(1, dims=0)) / 2


def loss(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Return the cross-entropy between the network's answer and the right one."""
    pictures, answers = batch
    return F.cross_entropy(model(pictures), answers)


@torch.no_grad()
def probabilities(model: nn.Module, pictures: torch.Tensor, batch_size: int = 500) -> torch.Tensor:
    """Return how sure the network is of each digit, from 0 to 1: (N, 1, 28, 28) -> (N, 10)."""
    device = device_of(model)
    return torch.cat([model(to_device(part, device)).softmax(dim=1).cpu() for part in pictures.split(batch_size)])


def accuracy(model: nn.Module, digits: Digits) -> float:
    """Return the share of the digits that the network reads rightly."""
    return (probabilities(model, digits.pictures).argmax(dim=1) == digits.labels).float().mean().item()


def train_classifier(
    recipe: DigitRecipe,
    digits: Digits,
    observer: Observer | None = None,
    checkpoint: Path | None = None,
) -> tuple[DigitClassifier, Training]:
    """Train on these digits; return the network and the record."""
    device = pick_device()
    model = recipe.model().to(device, memory_format=memory_format(device))
    training = train(
        model,
        batches(digits, recipe.batch_size, device),
        loss,
        steps=recipe.steps,
        learning_rate=recipe.learning_rate,
        weight_decay=0.05,
        beta2=0.99,
        observer=observer,
        checkpoint=checkpoint,
        about=fingerprint(recipe, digits.pictures, digits.labels),
    )
    return model, training


def load_data() -> Digits:
    """Return the drawn digits that the shipped network learned from; the seed of its training does not change them."""
    return draw_digits(DIGITS)


def make_classifier(
    recipe: DigitRecipe, out: Path, command: str, data: Digits, checkpoint: Path | None = None
) -> tuple[Path, Training, str]:
    """Train, score on digits never seen, and save with a card: the file, the record, the score."""
    seed_everything(recipe.seed)
    model, training = train_classifier(recipe, data, checkpoint=checkpoint)
    scores = score_on_test_pictures(model)
    card = dict(
        command=command,
        seed=recipe.seed,
        data=f"{len(data)} {data.source}",
        licence="drawn by this package (MIT)",
        result=scores,
    )
    return keep(out, model, training, checkpoint, **card), training, scores


def score_on_test_pictures(model: nn.Module) -> str:
    """Return one line: which share of drawn digits never seen the network reads, and of MNIST's test digits."""
    drawn = draw_digits(DIGITS_TO_TEST_ON, train=False)
    line = f"reads {accuracy(model, drawn):.1%} of {len(drawn):,} other drawn digits, and "
    if not mnist.is_there():
        return f"{line}MNIST is not here to test on (get it with: {mnist.FETCH})"
    real = load_digits(10_000, "mnist", train=False)
    return f"{line}{accuracy(model, real):.1%} of {len(real):,} test digits of MNIST, of which it has seen none"


def load_classifier(name: str | Path = "digit_classifier") -> tuple[DigitClassifier, dict[str, str]]:
    """Return the trained classifier and its card."""
    model, card = rebuild(DigitClassifier, name, "a digit classifier")
    device = pick_device()
    return model.to(device, memory_format=memory_format(device)), card
