"""The way to a picture of twice the size, in Stable Diffusion's autoencoder as in its U-Net."""

from collections.abc import Sequence

import torch
from torch import nn


class Larger(nn.Sequential):
    """Every number becomes a square of four, then a 3×3 convolution: (B, C, H, W) -> (B, C, 2H, 2W).

    With a `size` the picture comes out just that large: (2H - 1) × (2W - 1), say, where an odd side had been halved.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(nn.Upsample(scale_factor=2), nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, x: torch.Tensor, size: Sequence[int] | None = None) -> torch.Tensor:
        enlarge, convolve = self
        x = enlarge(x)  # (B, C, H, W) -> (B, C, 2H, 2W)
        return convolve(x if size is None else x[..., : size[0], : size[1]])
