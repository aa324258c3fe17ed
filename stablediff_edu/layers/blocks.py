"""The block that every level of the U-Net is made of."""

import math

import torch
from torch import nn


def group_norm(channels: int, most_groups: int = 8) -> nn.GroupNorm:
    """Return a group normalisation with as many groups as divide `channels`, at most `most_groups` (Wu and He, 2018).

    Unlike batch normalisation it treats every picture alone, so that pictures of different noise levels can share a
    batch (chapter 3), and a batch of one works.
    """
    return nn.GroupNorm(math.gcd(channels, most_groups), channels)


class DoubleConvolution(nn.Module):
    """Two 3×3 convolutions, each followed by normalisation and SiLU: (B, in, H, W) -> (B, out, H, W)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        # the normalisation has its own offset for every channel, so the convolution needs none
        self.first = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.first_norm = group_norm(out_channels)
        self.second = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.second_norm = group_norm(out_channels)
        self.activation = nn.SiLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.activation(self.first_norm(self.first(x)))
        return self.activation(self.second_norm(self.second(x)))
