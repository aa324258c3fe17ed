"""Blocks of the U-Net: double convolution, timestep embedding, self-attention."""

import math

import torch
from torch import nn

from stablediff_edu.layers.attention import Attention
from stablediff_edu.layers.embeddings import sinusoidal_embedding


def group_norm(channels: int, max_groups: int = 8) -> nn.GroupNorm:
    """Return a group normalization with as many groups as divide `channels`, at most `max_groups` (Wu and He, 2018).

    Unlike batch normalization it treats every image alone, so that images of different noise levels can share a
    batch (chapter 3), and a batch of one works.
    """
    return nn.GroupNorm(math.gcd(channels, max_groups), channels)


class DoubleConv(nn.Module):
    """Two 3×3 convolutions, each followed by normalization and SiLU: (B, in, H, W) -> (B, out, H, W).

    With `time_features` the block is conditioned on the timestep (chapter 3): a linear layer turns the embedding of
    the timestep into one value a channel, added between the two convolutions. The block is then also residual: the
    output of the convolutions is added to the input (He et al., 2016), which preserves fine noise and trains faster.
    """

    def __init__(self, in_channels: int, out_channels: int, time_features: int = 0) -> None:
        super().__init__()
        # the normalization has its own offset for every channel, so the convolution needs none
        self.first = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.first_norm = group_norm(out_channels)
        self.second = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.second_norm = group_norm(out_channels)
        self.activation = nn.SiLU()
        self.time = nn.Linear(time_features, out_channels) if time_features else None
        if time_features:
            self.shortcut = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()
            nn.init.zeros_(self.second_norm.weight)  # at first the block only passes on what came in

    def forward(self, x: torch.Tensor, time: torch.Tensor | None = None) -> torch.Tensor:
        found = self.activation(self.first_norm(self.first(x)))
        if time is None and self.time is None:
            return self.activation(self.second_norm(self.second(found)))
        found = found + self.time(time)[:, :, None, None]  # (B, time_features) -> (B, out, 1, 1)
        return self.shortcut(x) + self.activation(self.second_norm(self.second(found)))


class TimestepEmbedding(nn.Module):
    """Timestep embedding: sinusoidal embedding, then two linear layers: (B,) -> (B, features)."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.features = features
        self.layers = nn.Sequential(nn.Linear(features, features), nn.SiLU(), nn.Linear(features, features), nn.SiLU())

    def forward(self, t: torch.Tensor) -> torch.Tensor:
        waves = sinusoidal_embedding(t.float(), self.features)  # in float32, whatever the weights are in
        return self.layers(waves.to(self.layers[0].weight.dtype))


class SpatialSelfAttention(nn.Module):
    """Residual self-attention over all positions of an image: (B, C, H, W) -> the same.

    `norm` replaces the U-Net's normalization, and `bias` is the attention's: Stable Diffusion's autoencoder
    has its own of both.
    """

    def __init__(self, channels: int, heads: int = 4, norm: nn.Module | None = None, bias: bool = False) -> None:
        super().__init__()
        self.norm = norm or group_norm(channels)
        self.attention = Attention(channels, heads, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        places = self.norm(x).flatten(2).transpose(1, 2)  # (B, C, H, W) -> (B, H·W, C)
        return x + self.attention(places).transpose(1, 2).reshape(x.shape)  # (B, H·W, C) -> (B, C, H, W)
