"""The classifier of images: one encoder, and a linear layer for each attribute.

It tells digits apart, ships from other classes, and what a scene shows; with it the course evaluates generated images.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

from stablediff_edu.config import device_of, to_device
from stablediff_edu.layers.conv_blocks import DoubleConv
from stablediff_edu.models.clip import ImageConfig, ImageEncoder


class ConvEncoder(nn.Module):
    """The downsampling path of a U-Net and the mean over all positions: (B, C, S, S) -> (B, channels[-1])."""

    def __init__(self, in_channels: int, channels: Sequence[int]) -> None:
        super().__init__()
        self.levels = nn.ModuleList(DoubleConv(a, b) for a, b in pairwise([4 * in_channels, *channels]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.pixel_unshuffle(x, 2)  # (B, C, S, S) -> (B, 4·C, S/2, S/2)
        for number, level in enumerate(self.levels):
            x = level(F.max_pool2d(x, 2, ceil_mode=True) if number else x)  # 14 -> 7 -> 4: no row is left out
        return x.mean(dim=(2, 3))


class ImageClassifier(nn.Module):
    """Images to logits, for each head its own: (B, C, S, S) -> name of the head -> (B, classes).

    Args:
        heads: name -> number of classes; 1 for a yes or no.
        channels: of every level of the encoder; each level but the first works at half the size of the one before.
        in_channels: C.
        size: S, if attention pools the positions, as in the image encoder of CLIP; 0 for their mean, at any size.
    """

    def __init__(self, heads: Mapping[str, int], channels: Sequence[int], in_channels: int = 3, size: int = 0) -> None:
        super().__init__()
        self.config = dict(heads=dict(heads), channels=list(channels), in_channels=in_channels, size=size)
        attention = ImageEncoder(ImageConfig(size, channels=tuple(channels))) if size else None
        self.encoder = attention or ConvEncoder(in_channels, channels)
        self.heads = nn.ModuleDict({name: nn.Linear(channels[-1], classes) for name, classes in heads.items()})

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        features = self.encoder(x)  # (B, C, S, S) -> (B, channels[-1])
        return {name: head(features) for name, head in self.heads.items()}


@torch.no_grad()
def predict_logits(model: nn.Module, images: torch.Tensor, batch_size: int = 250) -> dict[str, torch.Tensor]:
    """Return the logits of many images, on the CPU: (N, C, S, S) -> name of the head -> (N, classes)."""
    parts = [model(to_device(part, device_of(model))) for part in images.split(batch_size)]
    return {name: torch.cat([part[name] for part in parts]).cpu() for name in parts[0]}
