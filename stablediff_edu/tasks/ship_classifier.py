"""A small classifier, ship or not, that evaluates generated images: how many are recognized as ships.

It learns from CIFAR-10, ships against the nine other classes, and knows nothing of diffusion.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from stablediff_edu.config import to_device
from stablediff_edu.data.ships.cifar10 import CLASSES, load_cifar10
from stablediff_edu.models.classifier import ImageClassifier, predict_logits
from stablediff_edu.tasks.classifier import ClassifierTask, soften
from stablediff_edu.training.loop import TrainResult

OTHER_CLASSES = tuple(name for name in CLASSES if name != "ship")
CIFAR10_LICENCE = "CIFAR-10: A. Krizhevsky 2009, no formal licence"
Batch = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class ShipsAndOthers:
    """Ships and images of other classes, (N, 3, S, S) and (M, 3, S, S), in [-1, 1]."""

    ships: torch.Tensor
    others: torch.Tensor
    source: str = ""

    def __len__(self) -> int:
        return len(self.ships) + len(self.others)


def load_ships_and_others(train: bool = True) -> ShipsAndOthers:
    """Return all real ships of the training or test set, and about as many images of the nine other classes."""
    ships = load_cifar10(["ship"], train=train)[0]
    others = load_cifar10(OTHER_CLASSES, train=train, limit=500 if train else 100)[0]
    return ShipsAndOthers(ships.images, others.images, ships.source)


@dataclass(frozen=True, kw_only=True)
class ShipClassifierTask(ClassifierTask[ShipsAndOthers]):
    """(B, 3, 32, 32) -> "ship": (B, 1), above 0 for a ship."""

    name = "ship-classifier"
    weights = "ship_classifier"
    heads: ClassVar[dict[str, int]] = {"ship": 1}

    steps: int = 2400

    def data(self, cache: Path | None = None) -> tuple[ShipsAndOthers, None]:
        return load_ships_and_others(), None

    def batches(self, data: ShipsAndOthers, device: torch.device) -> Iterator[Batch]:
        return batches(data, self.batch_size, device)

    def loss(self, data: ShipsAndOthers) -> Callable[[nn.Module, Batch], torch.Tensor]:
        return loss

    def evaluate(self, model: ImageClassifier, held_out: ShipsAndOthers | None = None) -> str:
        """Return which share of the test ships, and of test images of other classes, the network calls ships."""
        test = held_out or load_ships_and_others(train=False)
        return (
            f"calls {positive_rate(model, test.ships):.1%} of {len(test.ships)} test ships ships, and "
            f"{positive_rate(model, test.others):.1%} of {len(test.others)} test images of other classes"
        )

    def metadata(self, data: ShipsAndOthers, training: TrainResult) -> dict[str, object]:
        counted = f"{len(data.ships)} ships, {len(data.others)} images of other classes, {data.source}"
        return dict(data=counted, licence=CIFAR10_LICENCE)


ShipClassifierTask.presets = {"pretrained": ShipClassifierTask()}


def load_ship_classifier(name: str | Path = "ship_classifier") -> tuple[ImageClassifier, dict[str, str]]:
    """Return a trained classifier of ships, by default the pretrained one, and its metadata."""
    return ShipClassifierTask().load(name)


def batches(data: ShipsAndOthers, batch_size: int, device: torch.device | str = "cpu") -> Iterator[Batch]:
    """Yield batches forever, half of them ships: images (B, 3, S, S) and labels (B,), 1 for a ship.

    Images are mirrored and the whole batch is shifted by up to three pixels; half of the batches are blurred a
    little, for a ship painted softly is a ship as well, and all get a little noise.
    """
    labels = (torch.arange(batch_size) < batch_size // 2).float()
    while True:
        kinds = (data.ships, batch_size // 2), (data.others, batch_size - batch_size // 2)
        chosen = torch.cat([images[torch.randint(len(images), (count,))] for images, count in kinds])
        chosen = torch.where(torch.rand(batch_size, 1, 1, 1) < 0.5, chosen.flip(3), chosen)
        size, (down, right) = chosen.shape[-1], torch.randint(7, (2,)).tolist()
        chosen = F.pad(chosen, (3, 3, 3, 3), mode="reflect")[:, :, down : down + size, right : right + size]
        if torch.rand(()) < 0.5:
            chosen = soften(chosen, torch.rand(()).item())
        chosen = chosen + 0.05 * torch.randn(chosen.shape)
        yield to_device(chosen, device), to_device(labels, device)


def loss(model: nn.Module, batch: Batch, smoothing: float = 0.02) -> torch.Tensor:
    """Return the cross-entropy of "ship or not", with label smoothing."""
    images, labels = batch
    logits = model(images)["ship"].squeeze(1)
    return F.binary_cross_entropy_with_logits(logits, labels * (1 - 2 * smoothing) + smoothing)


def positive_rate(model: nn.Module, images: torch.Tensor) -> float:
    """Return the share of the images (N, 3, 32, 32) that the network calls ships."""
    return (predict_logits(model, images)["ship"] > 0).float().mean().item()
