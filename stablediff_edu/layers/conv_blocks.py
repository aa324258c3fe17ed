"""Blocks of the U-Net: double convolution, timestep embedding, self-attention."""

import math

import torch
import torch.nn.functional as F
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
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.norm1 = group_norm(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = group_norm(out_channels)
        self.activation = nn.SiLU()
        self.time_emb_proj = nn.Linear(time_features, out_channels) if time_features else None
        if time_features:
            same = in_channels == out_channels
            self.conv_shortcut = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, 1)
            nn.init.zeros_(self.norm2.weight)  # at first the block only passes on what came in

    def forward(self, x: torch.Tensor, time: torch.Tensor | None = None) -> torch.Tensor:
        hidden = self.activation(self.norm1(self.conv1(x)))
        if time is None and self.time_emb_proj is None:
            return self.activation(self.norm2(self.conv2(hidden)))
        if time is None or self.time_emb_proj is None:
            raise TypeError("a block takes a timestep embedding if and only if it was made with time_features")
        hidden = hidden + self.time_emb_proj(time)[:, :, None, None]  # (B, time_features) -> (B, out, 1, 1)
        return self.conv_shortcut(x) + self.activation(self.norm2(self.conv2(hidden)))


class TimestepEmbedding(nn.Module):
    """Timestep embedding: sinusoidal embedding, then two linear layers: (B,) -> (B, time_embed_dim).

    Args:
        in_channels: dimensions of the sinusoidal embedding.
        time_embed_dim: dimensions of both linear layers' outputs.
        flip_sin_to_cos: put the cosines first, as Stable Diffusion does.
    """

    def __init__(self, in_channels: int, time_embed_dim: int, flip_sin_to_cos: bool = False) -> None:
        super().__init__()
        self.in_channels, self.flip_sin_to_cos = in_channels, flip_sin_to_cos
        self.linear_1 = nn.Linear(in_channels, time_embed_dim)
        self.linear_2 = nn.Linear(time_embed_dim, time_embed_dim)

    def forward(self, t: torch.Tensor) -> torch.Tensor:
        # in float32, whatever the weights are in
        waves = sinusoidal_embedding(t.float(), self.in_channels, flip_sin_to_cos=self.flip_sin_to_cos)
        return self.linear_2(F.silu(self.linear_1(waves.to(self.linear_1.weight.dtype))))


class SpatialSelfAttention(Attention):
    """Residual self-attention over all positions of an image: (B, C, H, W) -> the same.

    `norm` replaces the U-Net's normalization, and `bias` is the attention's: Stable Diffusion's autoencoder
    has its own of both.
    """

    def __init__(self, channels: int, heads: int = 4, norm: nn.Module | None = None, bias: bool = False) -> None:
        super().__init__(channels, heads, bias=bias)
        self.group_norm = norm or group_norm(channels)

    def forward(self, x: torch.Tensor, *args, **kwargs) -> torch.Tensor:
        output = super().forward(self._tokens(x), *args, **kwargs)
        return x + output.transpose(1, 2).reshape(x.shape)  # (B, H·W, C) -> (B, C, H, W)

    def weights(self, x: torch.Tensor, *args, **kwargs) -> torch.Tensor:
        return super().weights(self._tokens(x), *args, **kwargs)

    def _tokens(self, x: torch.Tensor) -> torch.Tensor:
        return self.group_norm(x).flatten(2).transpose(1, 2)  # (B, C, H, W) -> (B, H·W, C)
