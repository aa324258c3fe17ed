"""Images that mean the same: what CLIP sees in a decoded image should be what it sees in the true one.

For a pixel's error a small yellow buoy may as well be orange: it is so few pixels. Stable Diffusion's own autoencoder
learned with a perceptual error too, the distance between what a network that knows images finds in the two (Zhang et
al., 2018, "The unreasonable effectiveness of deep features as a perceptual metric", equation 1). Here that network is
the image half of chapter 7's CLIP.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F

from stablediff_edu.models.clip import CLIP
from stablediff_edu.training.amp import autocast_half

FEATURE_WEIGHT, EMBEDDING_WEIGHT = 0.03, 0.5  # the weights of both distances beside an error of the pixels


def perceptual_distances(clip: CLIP, found: torch.Tensor, true: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return how far images (B, 3, S, S) are from the true ones, in what CLIP finds on its way, and in their meaning.

    The first is the mean squared distance of the features at every position, each of length 1, summed over the
    levels; the second is 1 - cosine of the embeddings. Gradients reach `found` alone.
    """
    with torch.no_grad():
        true_levels, true_vector = clip.image_model.forward_features(true)
        true_meaning = clip.image_projection(true_vector)
    levels, vector = clip.image_model.forward_features(found)
    distances = [
        (F.normalize(a.float(), dim=1) - F.normalize(b.float(), dim=1)).square().sum(dim=1).mean()
        for a, b in zip(levels, true_levels, strict=True)
    ]
    return torch.stack(distances).sum(), 1 - F.cosine_similarity(
        clip.image_projection(vector).float(), true_meaning.float()
    ).mean()


def add_perceptual_loss(error: Callable, clip: CLIP, bfloat16: bool = False) -> Callable:
    """Return an error of images that also counts what CLIP sees; the CLIP itself does not learn."""
    clip = clip.requires_grad_(False).eval()

    def both(found: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
        with autocast_half(bfloat16, true.device):
            features, meaning = perceptual_distances(clip, found, true)
        return error(found, true) + FEATURE_WEIGHT * features + EMBEDDING_WEIGHT * meaning

    return both
