"""Does a model copy its training images? Distances of samples to the nearest training images.

A sample counts as a copy if its nearest training image is at less than a third of the distance of the second nearest
(Yoon et al., 2023, "Diffusion probabilistic models generalize when they fail to memorize", section 3).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

RATIO = 1 / 3
SIDE = 32  # images are compared at this size: fine detail is the autoencoder's, not the sample's


@dataclass(frozen=True)
class Memorization:
    """How many samples of training captions are copies; `str` says it in one sentence."""

    copies: int
    samples: int
    ratio: float  # median of the nearest distance by the second nearest

    @property
    def share(self) -> float:
        """Return the share of copies."""
        return self.copies / self.samples

    def __str__(self) -> str:
        found = f"{self.copies} of {self.samples} samples of training captions are copies of a training image"
        if self.share >= 0.5:
            return f"This model memorizes its training set: {found}."
        return f"{found}." if self.share < 0.1 else f"This model memorizes a part of its training set: {found}."


def measure_memorization(samples: torch.Tensor, training: torch.Tensor) -> Memorization:
    """Compare samples (N, 3, S, S) with training images (M, 3, S, S), best as the autoencoder decodes them; M > 1."""
    ours, theirs = (F.interpolate(x.float(), (SIDE, SIDE), mode="area").flatten(1) for x in (samples, training))
    two = torch.cdist(ours, theirs).topk(2, dim=1, largest=False).values  # (N, 2)
    ratio = two[:, 0] / two[:, 1].clamp(min=1e-6)
    return Memorization(int((ratio < RATIO).sum()), len(samples), ratio.median().item())
