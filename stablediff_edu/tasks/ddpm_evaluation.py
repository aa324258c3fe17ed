"""Evaluation of generated ships: recognized by a classifier, no copies of training images, as diverse as real ones."""

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from stablediff_edu.config import device_of, to_device
from stablediff_edu.data.ships.cifar10 import load_cifar10
from stablediff_edu.diffusion.samplers import SamplerStep, sample
from stablediff_edu.errors import UserError
from stablediff_edu.metrics.images import mean_pairwise_distance, nearest_neighbors
from stablediff_edu.tasks.ddpm import SCHEDULES
from stablediff_edu.tasks.ship_classifier import load_ship_classifier, load_ships_and_others, positive_rate
from stablediff_edu.training import losses

# The best way to draw with few looks, found by comparing all samplers with `ships` (tests/benchmarks/ships.py).
DEFAULT_SAMPLING: dict[str, Any] = dict(sampler="dpmpp_2m", steps=25, clip=True)
THRESHOLDS = dict(ships=0.85, nearest=0.8, seconds=5.0)


def sample_images(
    model: nn.Module, metadata: dict[str, str], count: int = 16, seed: int = 0, **options
) -> torch.Tensor:
    """Generate images with a trained noise predictor, whose metadata says how it learned: (count, 3, S, S) in [-1, 1].

    With `clip=False` it returns latents, which have no such bounds: (count, C, S, S). `options` are those of
    `draw_steps` and `sample`, and go before those in `DEFAULT_SAMPLING`.
    """
    drawn = deque(draw_steps(model, metadata, count, seed, **options), maxlen=1)[0].next.cpu()
    return drawn.clamp(-1, 1) if (DEFAULT_SAMPLING | options)["clip"] else drawn


def draw_steps(
    model: nn.Module, metadata: dict[str, str], count: int, seed: int, batch_size: int = 50, **options
) -> Iterator[SamplerStep]:
    """Generate, and yield every sampling step; image i of a seed is the same whatever `count` is.

    The network looks at `batch_size` images at a time.
    """

    def in_parts(xt: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return torch.cat([model(*part) for part in zip(xt.split(batch_size), t.split(batch_size), strict=True)])

    size, channels = int(metadata.get("size", 32)), getattr(model, "config", {}).get("in_channels", 3)
    options = DEFAULT_SAMPLING | dict(prediction=metadata["prediction"], device=device_of(model)) | options
    return sample(in_parts, SCHEDULES[metadata["schedule"]](), (count, channels, size, size), seed=seed, **options)


@torch.no_grad()
def mean_loss(model: nn.Module, metadata: dict[str, str], images: torch.Tensor, seed: int = 0) -> float:
    """Return the loss on these images, each at a step and with noise of its own, the same for every network."""
    schedule, device = SCHEDULES[metadata["schedule"]](), device_of(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        parts = [
            losses.diffusion_loss(model, to_device(part, device), schedule, metadata["prediction"]).item() * len(part)
            for part in images.split(50)
        ]
    return sum(parts) / len(images)


@dataclass(frozen=True)
class SampleReport:
    """What was measured on so many samples; `str` gives it as lines of text.

    Attributes:
        ships: the share of the samples that the classifier calls ships.
        real_ships, other_classes: the same of real test ships, and of test images of the nine other classes.
        nearest: median distance from a sample to the nearest training ship, mirrored ones included.
        real_nearest: the same from a real test ship.
        diversity, real_diversity: mean distance between two samples, between two real test ships.
        loss, known_loss: the mean loss on test ships, and on as many ships that the network has learned from.
        seconds: how long 16 images take.
    """

    count: int
    ships: float
    real_ships: float
    other_classes: float
    nearest: float
    real_nearest: float
    diversity: float
    real_diversity: float
    loss: float
    known_loss: float
    seconds: float

    @property
    def novelty(self) -> float:
        """1 or more: as far from the training ships as real ships are; near 0: copies."""
        return self.nearest / self.real_nearest

    @property
    def relative_diversity(self) -> float:
        """1: as varied as real ships."""
        return self.diversity / self.real_diversity

    def __str__(self) -> str:
        return "\n".join(
            [
                f"called ship: {self.ships:.1%} of {self.count} samples (wanted: at least {THRESHOLDS['ships']:.0%}); "
                f"of real test ships {self.real_ships:.1%}, of other classes {self.other_classes:.1%}",
                f"new, not copies: median distance to the nearest training ship {self.nearest:.2f}, of real test ships "
                f"{self.real_nearest:.2f}; ratio {self.novelty:.2f} (wanted: at least {THRESHOLDS['nearest']})",
                f"variety: mean distance between two samples {self.diversity:.2f}, between two real ships "
                f"{self.real_diversity:.2f}; ratio {self.relative_diversity:.2f}",
                f"loss on test ships {self.loss:.4f}, on training ships {self.known_loss:.4f}",
                f"16 ships in {DEFAULT_SAMPLING['steps']} steps ({DEFAULT_SAMPLING['sampler']}): {self.seconds:.1f} s "
                f"(wanted: at most {THRESHOLDS['seconds']:.0f} s on two cores)",
            ]
        )


def evaluate_ships(
    model: nn.Module,
    metadata: dict[str, str],
    count: int = 500,
    seed: int = 1,
    classifier: nn.Module | None = None,
    **options,
) -> SampleReport:
    """Draw `count` images and compare them with real ships: all that are there, the training and the test ones.

    Args:
        model, metadata: from `load_diffusion`.
        count: how many samples; 50 give a rough idea.
        classifier: the classifier; by default the pretrained one.
        options: those of `sample`, to try another way of drawing than `DEFAULT_SAMPLING`.

    Raises:
        UserError: the real photographs (or the classifier's weights) are not here.
    """
    if count < 2:
        raise UserError(f"{count} samples cannot be compared with real ships; draw at least 2.")
    classifier = classifier or load_ship_classifier()[0]
    known = load_cifar10(["ship"])[0].images
    test = load_ships_and_others(train=False)
    real, others = test.ships, test.others
    size = int(metadata.get("size", 32))
    sample_images(model, metadata, 1, seed, **options)  # the first call is slower
    began = time.perf_counter()
    sample_images(model, metadata, 16, seed, **options)
    seconds = time.perf_counter() - began
    samples = to_size(sample_images(model, metadata, count, seed, **options), real.shape[-1])
    return SampleReport(
        count=count,
        ships=positive_rate(classifier, samples),
        real_ships=positive_rate(classifier, real),
        other_classes=positive_rate(classifier, others),
        nearest=nearest_neighbors(samples, known)[0].median().item(),
        real_nearest=nearest_neighbors(real, known)[0].median().item(),
        diversity=mean_pairwise_distance(samples),
        real_diversity=mean_pairwise_distance(real),
        loss=mean_loss(model, metadata, to_size(real, size)),
        known_loss=mean_loss(model, metadata, to_size(known[: len(real)], size)),
        seconds=seconds,
    )


def to_size(images: torch.Tensor, size: int) -> torch.Tensor:
    """Scale images, since the classifier and the photographs have 32 pixels: (N, 3, S, S) -> (N, 3, size, size)."""
    if images.shape[-1] == size:
        return images
    return F.interpolate(images, size=(size, size), mode="bilinear", antialias=True)
