"""Evaluation of generated digits: recognized by a classifier, no copies, as diverse as real ones (chapter 5).

The classifier is the pretrained one. It was trained on synthetic digits, and also to be unsure: what looks like no
digit, or like two, gets no high probability.
"""

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from stablediff_edu.data.digits.dataset import DigitDataset
from stablediff_edu.errors import UserError
from stablediff_edu.metrics.images import mean_pairwise_distance, nearest_neighbors
from stablediff_edu.models.autoencoder_kl import AutoencoderKL
from stablediff_edu.tasks.ddpm_evaluation import sample_images
from stablediff_edu.tasks.digit_classifier import load_digit_classifier, predict_proba
from stablediff_edu.tasks.latent_diffusion import decode_digits

# In few positions the fresh noise of DDPM corrects more errors than it adds; found with seeds that give no score.
DEFAULT_SAMPLING: dict[str, Any] = dict(sampler="ddpm", steps=50, clip=False)
CONFIDENCE_THRESHOLD = 0.9  # the highest probability from which on the classifier counts as sure
THRESHOLDS = dict(sure=0.8, nearest=0.8)


@dataclass(frozen=True)
class ClassifierReport:
    """What the classifier says of some images; `str` gives it as one line.

    Attributes:
        count: how many images.
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
        return f"sure (> {CONFIDENCE_THRESHOLD}) of {self.sure:.1%} of {self.count:,}; {which} ({each})"


def classify_digits(images: torch.Tensor, classifier: nn.Module | None = None) -> ClassifierReport:
    """Let the classifier read images (N, 1, 28, 28) in [-1, 1]; by default the pretrained one."""
    answers = predict_proba(classifier or load_digit_classifier()[0], images)  # (N, 1, 28, 28) -> (N, 10)
    highest, read = answers.max(dim=1)
    counts = read[highest > CONFIDENCE_THRESHOLD].bincount(minlength=10).tolist()
    return ClassifierReport(len(images), sum(counts) / len(images), counts)


def sample_digits(
    model: nn.Module, metadata: dict[str, str], vae: AutoencoderKL, count: int = 500, seed: int = 0, **options
) -> torch.Tensor:
    """Generate latents with a trained noise predictor and decode them: (count, 1, 28, 28) in [-1, 1].

    `options` are those of `sample`, and go before those in `DEFAULT_SAMPLING`. Digit i of a seed is the same whatever
    `count` is.
    """
    return decode_digits(vae, sample_images(model, metadata, count, seed, **DEFAULT_SAMPLING | options))


@dataclass(frozen=True)
class DigitReport:
    """What was measured on samples, beside unseen digits; `str` gives it as lines of text.

    Attributes:
        samples, unseen: what the classifier says of each.
        nearest, unseen_nearest: median distance to the nearest digit that was learned from.
        diversity, held_out_diversity: mean distance between two of them.
        seconds: how long the samples took, decoding included.
    """

    samples: ClassifierReport
    unseen: ClassifierReport
    nearest: float
    unseen_nearest: float
    diversity: float
    held_out_diversity: float
    seconds: float

    @property
    def novelty(self) -> float:
        """1 or more: as far from what was learned as unseen digits are; near 0: copies."""
        return self.nearest / self.unseen_nearest

    @property
    def relative_diversity(self) -> float:
        """1: as varied as unseen digits."""
        return self.diversity / self.held_out_diversity

    def __str__(self) -> str:
        return "\n".join(
            [
                f"samples: the classifier is {self.samples} (wanted: at least {THRESHOLDS['sure']:.0%}, and all ten)",
                f"unseen digits: the classifier is {self.unseen}",
                f"new, not copies: median distance to the nearest digit learned from {self.nearest:.2f}, of unseen "
                f"digits {self.unseen_nearest:.2f}; ratio {self.novelty:.2f} (wanted: at least "
                f"{THRESHOLDS['nearest']})",
                f"variety: mean distance between two samples {self.diversity:.2f}, between two unseen digits "
                f"{self.held_out_diversity:.2f}; ratio {self.relative_diversity:.2f}",
                f"{self.samples.count:,} digits in {DEFAULT_SAMPLING['steps']} steps "
                f"({DEFAULT_SAMPLING['sampler']}), decoded: "
                f"{self.seconds:.1f} s",
            ]
        )


def compare_digits(
    samples: torch.Tensor,
    known: DigitDataset,
    unseen: DigitDataset,
    seconds: float = 0.0,
    classifier: nn.Module | None = None,
) -> DigitReport:
    """Compare samples (N, 1, 28, 28), however they were drawn, with the digits learned from and with unseen ones.

    Raises:
        UserError: there are fewer than two samples, or the classifier's weights are not here.
    """
    if len(samples) < 2:
        raise UserError(f"{len(samples)} samples cannot be compared with other digits; draw at least 2.")
    classifier = classifier or load_digit_classifier()[0]
    return DigitReport(
        samples=classify_digits(samples, classifier),
        unseen=classify_digits(unseen.images, classifier),
        nearest=_median_distance(samples, known),
        unseen_nearest=_median_distance(unseen.images, known),
        diversity=mean_pairwise_distance(samples),
        held_out_diversity=mean_pairwise_distance(unseen.images),
        seconds=seconds,
    )


def evaluate_digits(
    model: nn.Module,
    metadata: dict[str, str],
    vae: AutoencoderKL,
    known: DigitDataset,
    unseen: DigitDataset,
    count: int = 500,
    seed: int = 1,
    classifier: nn.Module | None = None,
    **options,
) -> DigitReport:
    """Draw `count` digits through latents and compare them with others.

    Args:
        model, metadata: from `load_diffusion`, with the channels of the latents.
        vae: the autoencoder whose latents the model learned from.
        known, unseen: the digits that it learned from, and others.
        classifier: the classifier; by default the pretrained one.
        options: those of `sample`, to try another way of drawing than `DEFAULT_SAMPLING`.
    """
    sample_digits(model, metadata, vae, 1, seed, **options)  # the first call is slower
    began = time.perf_counter()
    samples = sample_digits(model, metadata, vae, count, seed, **options)
    return compare_digits(samples, known, unseen, time.perf_counter() - began, classifier)


def _median_distance(images: torch.Tensor, known: DigitDataset) -> float:
    return nearest_neighbors(images, known.images, mirror=False)[0].median().item()
