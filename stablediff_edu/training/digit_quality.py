"""How good are drawn digits? A classifier reads them; they are new, not copies; and as varied as others' (chapter 5).

The judge is the shipped classifier, which has learned from drawn digits, and when not to be sure: what looks like no
digit, or like two, gets no high probability.
"""

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from stablediff_edu.datasets.digits import Digits
from stablediff_edu.errors import CourseError
from stablediff_edu.models.vae import AutoencoderKL
from stablediff_edu.training.digit_classifier import load_classifier, probabilities
from stablediff_edu.training.latent_recipes import decode_digits
from stablediff_edu.training.sample_quality import draw, nearest, spread

# With few places the fresh noise of DDPM mends more mistakes than it costs; found with seeds that give no score.
BEST: dict[str, Any] = dict(sampler="ddpm", steps=50, clip=False)
SURE = 0.9  # the highest probability from which on the judge counts as sure
WANTED = dict(sure=0.8, nearest=0.8)


@dataclass(frozen=True)
class Judgement:
    """What the judge says of some pictures; `str` gives it as one line.

    Attributes:
        count: how many pictures.
        sure: the share of them in which it is sure of a digit.
        counts: how often it is sure of each digit, 0 to 9.
    """

    count: int
    sure: float
    counts: list[int]

    @property
    def missing(self) -> list[int]:
        """The digits that it is never sure of."""
        return [digit for digit, count in enumerate(self.counts) if not count]

    def __str__(self) -> str:
        which = f"none is a {', '.join(map(str, self.missing))}" if self.missing else "all ten digits appear"
        each = " ".join(f"{digit}:{count}" for digit, count in enumerate(self.counts))
        return f"sure (> {SURE}) of {self.sure:.1%} of {self.count:,}; {which} ({each})"


def judge(pictures: torch.Tensor, classifier: nn.Module | None = None) -> Judgement:
    """Let the classifier read pictures (N, 1, 28, 28) in [-1, 1]; by default the shipped one."""
    answers = probabilities(classifier or load_classifier()[0], pictures)  # (N, 1, 28, 28) -> (N, 10)
    highest, read = answers.max(dim=1)
    counts = read[highest > SURE].bincount(minlength=10).tolist()
    return Judgement(len(pictures), sum(counts) / len(pictures), counts)


def draw_digits_from(
    model: nn.Module, card: dict[str, str], vae: AutoencoderKL, count: int = 500, seed: int = 0, **options
) -> torch.Tensor:
    """Draw latents with a trained noise predictor and decode them: (count, 1, 28, 28) in [-1, 1].

    `options` are those of `sample`, and go before those in `BEST`. Digit i of a seed is the same whatever `count` is.
    """
    return decode_digits(vae, draw(model, card, count, seed, **BEST | options))


@dataclass(frozen=True)
class DigitQuality:
    """What was measured on samples, beside unseen digits; `str` gives it as lines of text.

    Attributes:
        samples, unseen: what the judge says of each.
        nearest, unseen_nearest: median distance to the nearest digit that was learned from.
        variety, unseen_variety: mean distance between two of them.
        seconds: how long the samples took, decoding included.
    """

    samples: Judgement
    unseen: Judgement
    nearest: float
    unseen_nearest: float
    variety: float
    unseen_variety: float
    seconds: float

    @property
    def newness(self) -> float:
        """1 or more: as far from what was learned as unseen digits are; near 0: copies."""
        return self.nearest / self.unseen_nearest

    @property
    def relative_variety(self) -> float:
        """1: as varied as unseen digits."""
        return self.variety / self.unseen_variety

    def __str__(self) -> str:
        return "\n".join(
            [
                f"samples: the judge is {self.samples} (wanted: at least {WANTED['sure']:.0%}, and all ten)",
                f"unseen digits: the judge is {self.unseen}",
                f"new, not copies: median distance to the nearest digit learned from {self.nearest:.2f}, of unseen "
                f"digits {self.unseen_nearest:.2f}; ratio {self.newness:.2f} (wanted: at least {WANTED['nearest']})",
                f"variety: mean distance between two samples {self.variety:.2f}, between two unseen digits "
                f"{self.unseen_variety:.2f}; ratio {self.relative_variety:.2f}",
                f"{self.samples.count:,} digits in {BEST['steps']} steps ({BEST['sampler']}), decoded: "
                f"{self.seconds:.1f} s",
            ]
        )


def compare_digits(
    samples: torch.Tensor, known: Digits, unseen: Digits, seconds: float = 0.0, classifier: nn.Module | None = None
) -> DigitQuality:
    """Compare samples (N, 1, 28, 28), however they were drawn, with the digits learned from and with unseen ones.

    Raises:
        CourseError: there are fewer than two samples, or the judge's weights are not here.
    """
    if len(samples) < 2:
        raise CourseError(f"{len(samples)} samples cannot be compared with other digits; draw at least 2.")
    classifier = classifier or load_classifier()[0]
    return DigitQuality(
        samples=judge(samples, classifier),
        unseen=judge(unseen.pictures, classifier),
        nearest=_median_distance(samples, known),
        unseen_nearest=_median_distance(unseen.pictures, known),
        variety=spread(samples),
        unseen_variety=spread(unseen.pictures),
        seconds=seconds,
    )


def evaluate_digits(
    model: nn.Module,
    card: dict[str, str],
    vae: AutoencoderKL,
    known: Digits,
    unseen: Digits,
    count: int = 500,
    seed: int = 1,
    classifier: nn.Module | None = None,
    **options,
) -> DigitQuality:
    """Draw `count` digits through latents and compare them with others.

    Args:
        model, card: from `load_diffusion`, with the channels of the latents.
        vae: the autoencoder whose latents the model learned from.
        known, unseen: the digits that it learned from, and others.
        classifier: the judge; by default the shipped one.
        options: those of `sample`, to try another way of drawing than `BEST`.
    """
    draw_digits_from(model, card, vae, 1, seed, **options)  # the first call is slower
    began = time.perf_counter()
    samples = draw_digits_from(model, card, vae, count, seed, **options)
    return compare_digits(samples, known, unseen, time.perf_counter() - began, classifier)


def _median_distance(pictures: torch.Tensor, known: Digits) -> float:
    return nearest(pictures, known.pictures, mirror=False)[0].median().item()
