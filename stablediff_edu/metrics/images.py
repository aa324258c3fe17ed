"""Errors and distances between images, and how much detail they show."""

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


def nearest_neighbors(
    images: torch.Tensor, among: torch.Tensor, mirror: bool = True
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return for each image (N, C, S, S) the distance to the nearest one of `among`, and its index: (N,) and (N,).

    The distance is Euclidean, over all pixels and channels. With `mirror` the mirrored images of `among` count as
    well, for models that were trained on them, too; the index is that of the image not mirrored.
    """
    images, among = images.cpu(), among.cpu()
    rows = images.flatten(1)  # (N, 3, S, S) -> (N, D)
    best = torch.full((len(rows),), torch.inf)
    index = torch.zeros(len(rows), dtype=torch.int64)
    for known in (among, among.flip(3)) if mirror else (among,):
        known = known.flatten(1)
        found = torch.cdist(rows, known).argmin(dim=1)
        distance = (rows - known[found]).norm(dim=1)  # exact; cdist rounds the distances of near copies
        index = torch.where(distance < best, found, index)
        best = torch.minimum(distance, best)
    return best, index


def mean_pairwise_distance(images: torch.Tensor) -> float:
    """Return the mean distance between two of the images, a measure of diversity."""
    return torch.pdist(images.cpu().flatten(1)).mean().item()
