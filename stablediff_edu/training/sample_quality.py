"""How good are the drawn ships? Called ships by a classifier, new rather than copies, and as varied as real ones."""

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from stablediff_edu.datasets.cifar10 import load_cifar10
from stablediff_edu.device import device_of, to_device
from stablediff_edu.diffusion.samplers import Step, sample
from stablediff_edu.errors import CourseError
from stablediff_edu.training import denoising
from stablediff_edu.training.diffusion_recipes import SCHEDULES
from stablediff_edu.training.ship_classifier import load_classifier, pictures_to_test_on, share_of_ships

# The best way to draw with few looks, found by comparing all samplers with `ships` (tests/benchmarks/ships.py).
BEST: dict[str, Any] = dict(sampler="dpm++", steps=25, clip=True)
WANTED = dict(ships=0.85, nearest=0.8, seconds=5.0)


def draw(model: nn.Module, card: dict[str, str], count: int = 16, seed: int = 0, **options) -> torch.Tensor:
    """Draw pictures with a trained noise predictor, whose card says how it learned: (count, 3, S, S) in [-1, 1].

    With `clip=False` it draws latents, which have no such bounds: (count, C, S, S). `options` are those of
    `draw_steps` and `sample`, and go before those in `BEST`.
    """
    drawn = deque(draw_steps(model, card, count, seed, **options), maxlen=1)[0].next.cpu()
    return drawn.clamp(-1, 1) if (BEST | options)["clip"] else drawn


def draw_steps(
    model: nn.Module, card: dict[str, str], count: int, seed: int, batch_size: int = 50, **options
) -> Iterator[Step]:
    """Draw, and give every step on the way; picture i of a seed is the same whatever `count` is.

    The network looks at `batch_size` pictures at a time.
    """

    def in_parts(xt: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return torch.cat([model(*part) for part in zip(xt.split(batch_size), t.split(batch_size), strict=True)])

    size, channels = int(card.get("size", 32)), getattr(model, "config", {}).get("in_channels", 3)
    options = BEST | dict(prediction=card["prediction"], device=device_of(model)) | options
    return sample(in_parts, SCHEDULES[card["schedule"]](), (count, channels, size, size), seed=seed, **options)


def nearest(pictures: torch.Tensor, among: torch.Tensor, mirror: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
    """Return for each picture how far the nearest one of `among` is, and the number of that one: (N,) and (N,).

    The distance is the length of the difference over all pixels and colours. With `mirror` the mirrored pictures of
    `among` count as well, since the network learned from them, too; the number is that of the picture not mirrored.
    """
    pictures, among = pictures.cpu(), among.cpu()
    rows = pictures.flatten(1)  # (N, 3, S, S) -> (N, D)
    best = torch.full((len(rows),), torch.inf)
    index = torch.zeros(len(rows), dtype=torch.int64)
    for known in (among, among.flip(3)) if mirror else (among,):
        known = known.flatten(1)
        found = torch.cdist(rows, known).argmin(dim=1)
        distance = (rows - known[found]).norm(dim=1)  # exact; cdist rounds the distances of near copies
        index = torch.where(distance < best, found, index)
        best = torch.minimum(distance, best)
    return best, index


def spread(pictures: torch.Tensor) -> float:
    """Return the mean distance between two of the pictures: how varied they are."""
    return torch.pdist(pictures.cpu().flatten(1)).mean().item()


@torch.no_grad()
def mean_loss(model: nn.Module, card: dict[str, str], pictures: torch.Tensor, seed: int = 0) -> float:
    """Return the loss on these pictures, each at a step and with noise of its own, the same for every network."""
    schedule, device = SCHEDULES[card["schedule"]](), device_of(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        parts = [
            denoising.loss(model, to_device(part, device), schedule, card["prediction"]).item() * len(part)
            for part in pictures.split(50)
        ]
    return sum(parts) / len(pictures)


@dataclass(frozen=True)
class Quality:
    """What was measured on so many samples; `str` gives it as lines of text.

    Attributes:
        ships: the share of the samples that the classifier calls ships.
        real_ships, other_things: the same of real test ships, and of test pictures of the nine other classes.
        nearest: median distance from a sample to the nearest training ship, mirrored ones included.
        real_nearest: the same from a real test ship.
        variety, real_variety: mean distance between two samples, between two real test ships.
        loss, known_loss: the mean loss on test ships, and on as many ships that the network has learned from.
        seconds: how long 16 pictures take.
    """

    count: int
    ships: float
    real_ships: float
    other_things: float
    nearest: float
    real_nearest: float
    variety: float
    real_variety: float
    loss: float
    known_loss: float
    seconds: float

    @property
    def newness(self) -> float:
        """1 or more: as far from the training ships as real ships are; near 0: copies."""
        return self.nearest / self.real_nearest

    @property
    def relative_variety(self) -> float:
        """1: as varied as real ships."""
        return self.variety / self.real_variety

    def __str__(self) -> str:
        return "\n".join(
            [
                f"called ship: {self.ships:.1%} of {self.count} samples (wanted: at least {WANTED['ships']:.0%}); "
                f"of real test ships {self.real_ships:.1%}, of other things {self.other_things:.1%}",
                f"new, not copies: median distance to the nearest training ship {self.nearest:.2f}, of real test ships "
                f"{self.real_nearest:.2f}; ratio {self.newness:.2f} (wanted: at least {WANTED['nearest']})",
                f"variety: mean distance between two samples {self.variety:.2f}, between two real ships "
                f"{self.real_variety:.2f}; ratio {self.relative_variety:.2f}",
                f"loss on test ships {self.loss:.4f}, on training ships {self.known_loss:.4f}",
                f"16 ships in {BEST['steps']} steps ({BEST['sampler']}): {self.seconds:.1f} s "
                f"(wanted: at most {WANTED['seconds']:.0f} s on two cores)",
            ]
        )


def evaluate_ships(
    model: nn.Module,
    card: dict[str, str],
    count: int = 500,
    seed: int = 1,
    classifier: nn.Module | None = None,
    **options,
) -> Quality:
    """Draw `count` pictures and compare them with real ships: all that are there, the training and the test ones.

    Args:
        model, card: from `load_diffusion`.
        count: how many samples; 50 give a rough idea.
        classifier: the judge; by default the shipped one.
        options: those of `sample`, to try another way of drawing than `BEST`.

    Raises:
        CourseError: the real photographs (or the judge's weights) are not here.
    """
    if count < 2:
        raise CourseError(f"{count} samples cannot be compared with real ships; draw at least 2.")
    classifier = classifier or load_classifier()[0]
    known = load_cifar10(["ship"])[0].pictures
    real, others = (kind.pictures for kind in pictures_to_test_on())
    size = int(card.get("size", 32))
    draw(model, card, 1, seed, **options)  # the first call is slower
    began = time.perf_counter()
    draw(model, card, 16, seed, **options)
    seconds = time.perf_counter() - began
    samples = to_size(draw(model, card, count, seed, **options), real.shape[-1])
    return Quality(
        count=count,
        ships=share_of_ships(classifier, samples),
        real_ships=share_of_ships(classifier, real),
        other_things=share_of_ships(classifier, others),
        nearest=nearest(samples, known)[0].median().item(),
        real_nearest=nearest(real, known)[0].median().item(),
        variety=spread(samples),
        real_variety=spread(real),
        loss=mean_loss(model, card, to_size(real, size)),
        known_loss=mean_loss(model, card, to_size(known[: len(real)], size)),
        seconds=seconds,
    )


def to_size(pictures: torch.Tensor, size: int) -> torch.Tensor:
    """Scale pictures, since the judge and the photographs have 32 pixels: (N, 3, S, S) -> (N, 3, size, size)."""
    if pictures.shape[-1] == size:
        return pictures
    return F.interpolate(pictures, size=(size, size), mode="bilinear", antialias=True)
