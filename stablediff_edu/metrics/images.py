"""Errors between images, and how much detail they show."""

import torch
import torch.nn.functional as F


def squared_error(found: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Return the mean squared error per pixel of images in [-1, 1], as if they were in [0, 1]."""
    return F.mse_loss(found, true) / 4  # half the range, a quarter of the square


def psnr(found: torch.Tensor, true: torch.Tensor) -> float:
    """Return how alike images in [-1, 1] are, in decibels: 10 more for a tenth of the mean squared error.

    One of the two may be a single image, (1, 3, S, S), to compare many with.
    """
    error = (found.cpu().clamp(-1, 1) - true.cpu()).square().mean().clamp(min=1e-12)
    return float(10 * torch.log10(4 / error))  # 4 is the square of the range


def mean_abs_gradient(images: torch.Tensor) -> float:
    """Return the mean difference between neighboring pixels, (B, 3, S, S) -> one number: less in a blurred image."""
    across, down = images.diff(dim=3), images.diff(dim=2)
    return ((across.abs().mean() + down.abs().mean()) / 2).item()
