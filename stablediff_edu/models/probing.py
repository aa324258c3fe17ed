"""Probing a network: correlation of channels with known regions, and ablation of a part."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F

from stablediff_edu.models.unet import UNet


def foreground_background_masks(images: torch.Tensor, masks: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return masks of the fish and of two parts of the background: name -> (N, 1, S, S) in {0, 1}.

    The body is the mask. The ground around it is separated by its brightness: the lighter half of its pixels (light
    from the lamp, glare, a white board) and the darker half (shadow, black corners).
    """
    body = masks > 0.5
    brightness = images.mean(dim=1, keepdim=True)  # (N, 3, S, S) -> (N, 1, S, S)
    ground = brightness.masked_fill(body, torch.nan).flatten(1)  # (N, S * S)
    middle = ground.nanmedian(dim=1).values.view(-1, 1, 1, 1)
    light, dark = ~body & (brightness > middle), ~body & (brightness <= middle)
    named = {"the body": body, "the background": ~body, "bright ground": light, "dark ground": dark}
    return {name: region.float() for name, region in named.items()}


def channel_correlations(maps: torch.Tensor, region: torch.Tensor) -> torch.Tensor:
    """Return how well each channel follows a region: Pearson's correlation over all pixels of all images.

    Args:
        maps: (N, C, h, w), one stage's output.
        region: (N, 1, S, S); it is averaged down to h × w.

    Returns:
        (C,) numbers in [-1, 1]; a channel that never changes gives 0.
    """
    maps, region = maps.cpu(), region.cpu()  # float64 follows, which MPS has not
    small = F.adaptive_avg_pool2d(region, (maps.shape[-2], maps.shape[-1]))  # (N, 1, h, w)
    channels = maps.transpose(0, 1).flatten(1).double()  # (C, N * h * w)
    target = small.flatten().double()  # (N * h * w,)
    channels, target = channels - channels.mean(dim=1, keepdim=True), target - target.mean()
    length = channels.norm(dim=1) * target.norm()
    return torch.where(length > 0, channels @ target / length.clamp(min=1e-12), 0.0).float()


@contextmanager
def ablate_time_embedding(model: UNet, stage: str) -> Iterator[None]:
    """Remove the timestep embedding from one stage of a noise predictor, such as "middle", while the block runs."""
    handle = (
        model.stages()[stage]
        .get_submodule("time_emb_proj")
        .register_forward_hook(lambda module, inputs, told: torch.zeros_like(told))
    )
    try:
        yield
    finally:
        handle.remove()
