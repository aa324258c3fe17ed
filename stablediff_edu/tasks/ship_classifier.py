"""A small classifier, ship or not, that evaluates generated images: how many are recognized as ships.

It learns from CIFAR-10, ships against the nine other classes, and knows nothing of diffusion: so it is a fair judge.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from stablediff_edu.config import device_of, pick_device, seed_everything, to_device
from stablediff_edu.data.image_folder import ImageDataset
from stablediff_edu.data.ships.cifar10 import CLASSES, load_cifar10
from stablediff_edu.layers.conv_blocks import DoubleConv
from stablediff_edu.training.amp import memory_format
from stablediff_edu.training.loop import Callback, TrainResult, train
from stablediff_edu.training.progress import fingerprint
from stablediff_edu.training.trained_models import load_trained, save_trained

OTHER_CLASSES = tuple(name for name in CLASSES if name != "ship")
CIFAR10_LICENCE = "CIFAR-10: A. Krizhevsky 2009, no formal licence"
# so that the nine other classes together are about as many as the ships
TRAIN_PER_OTHER_CLASS = 500
TEST_PER_OTHER_CLASS = 100


class ShipClassifier(nn.Module):
    """(B, 3, 32, 32) -> (B,): above 0 means "a ship"; `predict_proba` makes it a number from 0 to 1.

    The way down of a U-Net: 2×2 pixels laid into the channels, then at every level two convolutions and half the
    size. The mean over all positions goes through one linear layer.
    """

    def __init__(self, channels: tuple[int, ...] = (32, 64, 128)) -> None:
        super().__init__()
        self.config = dict(channels=list(channels))
        self.levels = nn.ModuleList(DoubleConv(a, b) for a, b in zip([12, *channels], channels, strict=False))
        self.smaller = nn.MaxPool2d(2)
        self.last = nn.Linear(channels[-1], 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.pixel_unshuffle(x, 2)  # (B, 3, 32, 32) -> (B, 12, 16, 16)
        for number, level in enumerate(self.levels):
            x = level(self.smaller(x) if number else x)  # (B, channels, S, S) -> (B, channels', S/2, S/2)
        return self.last(x.mean(dim=(2, 3))).squeeze(1)  # (B, channels, S, S) -> (B, channels) -> (B,)


@dataclass(frozen=True)
class ShipClassifierTrainConfig:
    """Hyperparameters of the classifier."""

    channels: tuple[int, ...] = (32, 64, 128)
    steps: int = 2400
    batch_size: int = 64
    learning_rate: float = 3e-3
    seed: int = 0

    def model(self) -> ShipClassifier:
        """Return the untrained network; the seed decides its first weights."""
        torch.manual_seed(self.seed)
        return ShipClassifier(self.channels)


SHIP_CLASSIFIER = ShipClassifierTrainConfig()  # the pretrained weights `ship_classifier`


def batches(
    ships: torch.Tensor, others: torch.Tensor, batch_size: int, device: torch.device | str = "cpu"
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Give batches, half of them ships, for ever: (B, 3, S, S) and (B,), 1 for a ship.

    Images are mirrored and the whole batch is shifted by up to three pixels; half of the batches are blurred a
    little, for a ship painted softly is a ship as well, and all get a little noise. All chance comes from torch's own
    generator, whose state the training loop saves.
    """
    labels = (torch.arange(batch_size) < batch_size // 2).float()
    while True:
        kinds = (ships, batch_size // 2), (others, batch_size - batch_size // 2)
        chosen = torch.cat([images[torch.randint(len(images), (count,))] for images, count in kinds])
        chosen = torch.where(torch.rand(batch_size, 1, 1, 1) < 0.5, chosen.flip(3), chosen)
        size, (down, right) = chosen.shape[-1], torch.randint(7, (2,)).tolist()
        chosen = F.pad(chosen, (3, 3, 3, 3), mode="reflect")[:, :, down : down + size, right : right + size]
        if torch.rand(()) < 0.5:
            chosen = torch.lerp(chosen, F.avg_pool2d(chosen, 3, 1, 1, count_include_pad=False), torch.rand(()).item())
        chosen = chosen + 0.05 * torch.randn(chosen.shape)
        yield to_device(chosen, device), to_device(labels, device)


def loss(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor], smoothing: float = 0.02) -> torch.Tensor:
    """Return the cross-entropy between the network's prediction and "ship or not"; never asks for full certainty."""
    images, labels = batch
    return F.binary_cross_entropy_with_logits(model(images), labels * (1 - 2 * smoothing) + smoothing)


@torch.no_grad()
def predict_proba(model: nn.Module, images: torch.Tensor, batch_size: int = 100) -> torch.Tensor:
    """Return how sure the network is that each image shows a ship, from 0 to 1: (N, 3, 32, 32) -> (N,)."""
    device = device_of(model)
    return torch.cat([model(to_device(part, device)).sigmoid().cpu() for part in images.split(batch_size)])


def positive_rate(model: nn.Module, images: torch.Tensor) -> float:
    """Return the share of the images that the network calls ships."""
    return (predict_proba(model, images) > 0.5).float().mean().item()


def train_classifier(
    config: ShipClassifierTrainConfig,
    ships: torch.Tensor,
    others: torch.Tensor,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> tuple[ShipClassifier, TrainResult]:
    """Train on ships (N, 3, S, S) and on images of other classes; return the network and the record."""
    device = pick_device()
    model = config.model().to(device, memory_format=memory_format(device))
    training = train(
        model,
        batches(ships, others, config.batch_size, device),
        loss,
        steps=config.steps,
        learning_rate=config.learning_rate,
        weight_decay=0.05,
        beta2=0.99,
        callback=callback,
        checkpoint=checkpoint,
        about=fingerprint(config, ships, others),
    )
    return model, training


def load_data() -> tuple[ImageDataset, ImageDataset]:
    """Return all real training ships, and about as many images of other classes."""
    return load_cifar10(["ship"])[0], load_cifar10(OTHER_CLASSES, limit=TRAIN_PER_OTHER_CLASS)[0]


def make_classifier(
    config: ShipClassifierTrainConfig,
    out: Path,
    command: str,
    data: tuple[ImageDataset, ImageDataset],
    checkpoint: Path | None = None,
) -> tuple[Path, TrainResult, str]:
    """Train, score on the test images of CIFAR-10, and save with metadata: the file, the record, the score."""
    seed_everything(config.seed)
    ships, others = data
    model, training = train_classifier(config, ships.images, others.images, checkpoint=checkpoint)
    scores = score_on_test_images(model)
    metadata = dict(
        command=command,
        seed=config.seed,
        data=f"{len(ships)} ships, {len(others)} images of other things, {ships.source}",
        licence=CIFAR10_LICENCE,
        result=scores,
    )
    return save_trained(out, model, training, checkpoint, **metadata), training, scores


def test_images() -> tuple[ImageDataset, ImageDataset]:
    """Return all real test ships, and about as many test images of other classes."""
    return load_cifar10(["ship"], train=False)[0], load_cifar10(OTHER_CLASSES, train=False, limit=TEST_PER_OTHER_CLASS)[
        0
    ]


def score_on_test_images(model: nn.Module) -> str:
    """Return one line: which share of the test ships, and of other classes, the network calls ships."""
    ships, others = test_images()
    return (
        f"calls {positive_rate(model, ships.images):.1%} of {len(ships)} test ships ships, and "
        f"{positive_rate(model, others.images):.1%} of {len(others)} test images of other things"
    )


def load_classifier(name: str | Path = "ship_classifier") -> tuple[ShipClassifier, dict[str, str]]:
    """Return the trained classifier and its metadata."""
    model, metadata = load_trained(ShipClassifier, name, "a ship classifier")
    device = pick_device()
    return model.to(device, memory_format=memory_format(device)), metadata
