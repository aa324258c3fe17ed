"""Ship or not? A small network that judges drawn pictures: how many of a diffusion model's ships look like ships.

It learns from CIFAR-10, ships against the nine other classes, and knows nothing of diffusion: so it is a fair judge.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from stablediff_edu.datasets.cifar10 import CLASSES, load_cifar10
from stablediff_edu.datasets.pictures import Pictures
from stablediff_edu.device import device_of, pick_device, seed_everything, to_device
from stablediff_edu.layers.blocks import DoubleConvolution
from stablediff_edu.training.keeping import keep, rebuild
from stablediff_edu.training.loop import Observer, Training, train
from stablediff_edu.training.precision import memory_format
from stablediff_edu.training.progress import fingerprint

OTHERS = tuple(name for name in CLASSES if name != "ship")
CIFAR10_LICENCE = "CIFAR-10: A. Krizhevsky 2009, no formal licence"
# so that the nine other classes together are about as many as the ships
OF_EACH_OTHER = 500
OF_EACH_OTHER_TEST = 100


class ShipClassifier(nn.Module):
    """(B, 3, 32, 32) -> (B,): above 0 means "a ship"; `probability` makes it a number from 0 to 1.

    The way down of a U-Net: 2×2 pixels laid into the channels, then at every level two convolutions and half the
    size. The mean over all places goes through one linear layer.
    """

    def __init__(self, channels: tuple[int, ...] = (32, 64, 128)) -> None:
        super().__init__()
        self.config = dict(channels=list(channels))
        self.levels = nn.ModuleList(DoubleConvolution(a, b) for a, b in zip([12, *channels], channels, strict=False))
        self.smaller = nn.MaxPool2d(2)
        self.last = nn.Linear(channels[-1], 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.pixel_unshuffle(x, 2)  # (B, 3, 32, 32) -> (B, 12, 16, 16)
        for number, level in enumerate(self.levels):
            x = level(self.smaller(x) if number else x)  # (B, channels, S, S) -> (B, channels', S/2, S/2)
        return self.last(x.mean(dim=(2, 3))).squeeze(1)  # (B, channels, S, S) -> (B, channels) -> (B,)


@dataclass(frozen=True)
class ClassifierRecipe:
    """How the network learns what a ship is."""

    channels: tuple[int, ...] = (32, 64, 128)
    steps: int = 2400
    batch_size: int = 64
    learning_rate: float = 3e-3
    seed: int = 0

    def model(self) -> ShipClassifier:
        """Return the untrained network; the seed decides its first weights."""
        torch.manual_seed(self.seed)
        return ShipClassifier(self.channels)


SHIP_CLASSIFIER = ClassifierRecipe()  # the shipped weights `ship_classifier`


def batches(
    ships: torch.Tensor, others: torch.Tensor, batch_size: int, device: torch.device | str = "cpu"
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Give batches, half of them ships, for ever: (B, 3, S, S) and (B,), 1 for a ship.

    Pictures are mirrored and the whole batch is shifted by up to three pixels; half of the batches are blurred a
    little, for a ship painted softly is a ship as well, and all get a little noise. All chance comes from torch's own
    generator, whose state the training loop saves.
    """
    labels = (torch.arange(batch_size) < batch_size // 2).float()
    while True:
        kinds = (ships, batch_size // 2), (others, batch_size - batch_size // 2)
        chosen = torch.cat([pictures[torch.randint(len(pictures), (count,))] for pictures, count in kinds])
        chosen = torch.where(torch.rand(batch_size, 1, 1, 1) < 0.5, chosen.flip(3), chosen)
        size, (down, right) = chosen.shape[-1], torch.randint(7, (2,)).tolist()
        chosen = F.pad(chosen, (3, 3, 3, 3), mode="reflect")[:, :, down : down + size, right : right + size]
        if torch.rand(()) < 0.5:
            chosen = torch.lerp(chosen, F.avg_pool2d(chosen, 3, 1, 1, count_include_pad=False), torch.rand(()).item())
        chosen = chosen + 0.05 * torch.randn(chosen.shape)
        yield to_device(chosen, device), to_device(labels, device)


def loss(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor], smoothing: float = 0.02) -> torch.Tensor:
    """Return the cross-entropy between the network's answer and "ship or not"; never asks for full certainty."""
    pictures, labels = batch
    return F.binary_cross_entropy_with_logits(model(pictures), labels * (1 - 2 * smoothing) + smoothing)


@torch.no_grad()
def probability(model: nn.Module, pictures: torch.Tensor, batch_size: int = 100) -> torch.Tensor:
    """Return how sure the network is that each picture shows a ship, from 0 to 1: (N, 3, 32, 32) -> (N,)."""
    device = device_of(model)
    return torch.cat([model(to_device(part, device)).sigmoid().cpu() for part in pictures.split(batch_size)])


def share_of_ships(model: nn.Module, pictures: torch.Tensor) -> float:
    """Return the share of the pictures that the network calls ships."""
    return (probability(model, pictures) > 0.5).float().mean().item()


def train_classifier(
    recipe: ClassifierRecipe,
    ships: torch.Tensor,
    others: torch.Tensor,
    observer: Observer | None = None,
    checkpoint: Path | None = None,
) -> tuple[ShipClassifier, Training]:
    """Train on ships (N, 3, S, S) and on pictures of other things; return the network and the record."""
    device = pick_device()
    model = recipe.model().to(device, memory_format=memory_format(device))
    training = train(
        model,
        batches(ships, others, recipe.batch_size, device),
        loss,
        steps=recipe.steps,
        learning_rate=recipe.learning_rate,
        weight_decay=0.05,
        beta2=0.99,
        observer=observer,
        checkpoint=checkpoint,
        about=fingerprint(recipe, ships, others),
    )
    return model, training


def load_data() -> tuple[Pictures, Pictures]:
    """Return all real training ships, and about as many pictures of other things."""
    return load_cifar10(["ship"])[0], load_cifar10(OTHERS, most=OF_EACH_OTHER)[0]


def make_classifier(
    recipe: ClassifierRecipe, out: Path, command: str, data: tuple[Pictures, Pictures], checkpoint: Path | None = None
) -> tuple[Path, Training, str]:
    """Train, score on the test pictures of CIFAR-10, and save with a card: the file, the record, the score."""
    seed_everything(recipe.seed)
    ships, others = data
    model, training = train_classifier(recipe, ships.pictures, others.pictures, checkpoint=checkpoint)
    scores = score_on_test_pictures(model)
    card = dict(
        command=command,
        seed=recipe.seed,
        data=f"{len(ships)} ships, {len(others)} pictures of other things, {ships.source}",
        licence=CIFAR10_LICENCE,
        result=scores,
    )
    return keep(out, model, training, checkpoint, **card), training, scores


def pictures_to_test_on() -> tuple[Pictures, Pictures]:
    """Return all real test ships, and about as many test pictures of other things."""
    return load_cifar10(["ship"], train=False)[0], load_cifar10(OTHERS, train=False, most=OF_EACH_OTHER_TEST)[0]


def score_on_test_pictures(model: nn.Module) -> str:
    """Return one line: which share of the test ships, and of other things, the network calls ships."""
    ships, others = pictures_to_test_on()
    return (
        f"calls {share_of_ships(model, ships.pictures):.1%} of {len(ships)} test ships ships, and "
        f"{share_of_ships(model, others.pictures):.1%} of {len(others)} test pictures of other things"
    )


def load_classifier(name: str | Path = "ship_classifier") -> tuple[ShipClassifier, dict[str, str]]:
    """Return the trained classifier and its card."""
    model, card = rebuild(ShipClassifier, name, "a ship classifier")
    device = pick_device()
    return model.to(device, memory_format=memory_format(device)), card
