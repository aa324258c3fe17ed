"""The U-Net of the course (Ronneberger, Fischer and Brox, 2015, "U-Net", figure 1).

Encoder: two convolutions, then downsample, repeated. Decoder: upsample, concatenate the skip connection, two
convolutions. A last 1×1 convolution mixes the channels into the output. Four points differ from the
paper: convolutions are padded, so that the output is as large as the input; the image is shrunk by averaging; every
convolution is normalized, which trains faster; and SiLU replaces ReLU.

With `time` it is conditioned on a timestep at every level, and is the noise predictor of chapters 3 and 4 (Ho et al.,
2020).
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from stablediff_edu.errors import UserError
from stablediff_edu.layers.conv_blocks import DoubleConv, SpatialSelfAttention, TimestepEmbedding


class UNet(nn.Module):
    """A U-Net: (B, in_channels, H, W) -> (B, out_channels, H, W) for any H and W that `shrink` divides.

    Args:
        in_channels: 3 for color images.
        out_channels: 1 for a mask.
        channels: the channels of every level from the largest image to the smallest, the middle.
        skips: False removes the skip connections.
        time: size of the timestep embedding; 0: not conditioned on a timestep (chapter 2).
        patch: 2: pixel unshuffle of 2×2 pixels at the input and pixel shuffle at the output, so that the network
            works at half the size: about four times as fast.
        attention: on how many of the smallest levels, the middle first, every position attends to all others (with
            time).

    Attributes:
        shrink: how many times smaller the middle is, patch · 2 ** (levels - 1).
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 1,
        channels: Sequence[int] = (64, 128, 256, 512, 1024),
        skips: bool = True,
        time: int = 0,
        patch: int = 1,
        attention: int = 0,
    ) -> None:
        super().__init__()
        self.config: dict[str, Any] = dict(
            in_channels=in_channels, out_channels=out_channels, channels=list(channels), skips=skips, time=time,
            patch=patch, attention=attention,
        )  # fmt: skip
        self.shrink = patch * 2 ** (len(channels) - 1)
        self.skips, self.patch = skips, patch
        *levels, middle = channels
        widths = [in_channels * patch**2, *levels]
        upwards = list(pairwise([middle, *reversed(levels)]))
        deep = [depth > len(levels) - attention for depth in range(len(levels) + 1)]  # the middle is the deepest
        self.time_embedding = TimestepEmbedding(time, time) if time else None
        self.encoder = nn.ModuleList(DoubleConv(a, b, time) for a, b in pairwise(widths))
        self.downsample = nn.AvgPool2d(2)
        self.bottleneck = DoubleConv(levels[-1], middle, time)
        self.upsample = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, stride=2) for a, b in upwards)
        self.decoder = nn.ModuleList(DoubleConv(2 * b if skips else b, b, time) for _, b in upwards)
        self.conv_out = nn.Conv2d(levels[0], out_channels * patch**2, 1)
        # what follows a block: attention over all positions, or nothing
        self.encoder_attention = nn.ModuleList(make_attention(b, here) for b, here in zip(levels, deep, strict=False))
        self.bottleneck_attention = make_attention(middle, deep[-1])
        self.decoder_attention = nn.ModuleList(
            make_attention(b, here) for (_, b), here in zip(upwards, deep[-2::-1], strict=True)
        )

    def forward(self, x: torch.Tensor, t: torch.Tensor | None = None) -> torch.Tensor:
        self._check_size(x)
        time = F.silu(self.time_embedding(t)) if self.time_embedding else None  # (B,) -> (B, time)
        skips = []
        x = F.pixel_unshuffle(x, self.patch)  # (B, in_channels, H, W) -> (B, in_channels · p², H/p, W/p)
        for block, attention in zip(self.encoder, self.encoder_attention, strict=True):
            x = attention(block(x, time))  # (B, channels, H, W)
            skips.append(x)
            x = self.downsample(x)  # (B, channels, H/2, W/2)
        x = self.bottleneck_attention(self.bottleneck(x, time))
        for upsample, block, attention in zip(self.upsample, self.decoder, self.decoder_attention, strict=True):
            x = upsample(x)  # (B, channels/2, 2H, 2W)
            skip = skips.pop()
            if self.skips:
                x = torch.cat([skip, x], dim=1)  # (B, channels, 2H, 2W)
            x = attention(block(x, time))  # (B, channels/2, 2H, 2W)
        return F.pixel_shuffle(self.conv_out(x), self.patch)

    def _check_size(self, x: torch.Tensor) -> None:
        height, width = x.shape[-2:]
        if height % self.shrink or width % self.shrink:
            smaller = [max(1, side // self.shrink) * self.shrink for side in (height, width)]
            larger = [-(-side // self.shrink) * self.shrink for side in (height, width)]
            raise UserError(
                f"This U-Net halves the image {len(self.encoder)} times, so height and width must be multiples of "
                f"{self.shrink}: {height}×{width} does not work; resize or crop the image to "
                f"{smaller[0]}×{smaller[1]} or {larger[0]}×{larger[1]}."
            )

    def stages(self) -> dict[str, nn.Module]:
        """Return the stages by name, in the order in which they run."""
        named: dict[str, nn.Module] = {f"down {i}": block for i, block in enumerate(self.encoder, 1)}
        named["middle"] = self.bottleneck
        named |= {f"up {i}": block for i, block in zip(range(len(self.decoder), 0, -1), self.decoder, strict=True)}
        return named | {"output": self.conv_out}

    @contextmanager
    def record_activations(self) -> Iterator[dict[str, torch.Tensor]]:
        """Record the output of every stage while the block runs: ``with unet.record_activations() as maps: unet(x)``.

        `maps` goes from the stage's name to its tensor. Outside such a block nothing is recorded and nothing costs.
        """
        maps: dict[str, torch.Tensor] = {}

        def recorder(name: str):
            def record(module: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
                maps[name] = output

            return record

        handles = [module.register_forward_hook(recorder(name)) for name, module in self.stages().items()]
        try:
            yield maps
        finally:
            for handle in handles:
                handle.remove()

    def receptive_fields(self) -> dict[str, float]:
        """Return the receptive field of every stage, in input pixels along one side, by formula.

        The range of pixels that count is followed backwards: two 3×3 convolutions widen it by 2 on each side, below
        an averaging each pixel stands for two, below an enlargement two pixels share one. (The normalization looks at
        the whole image too, but only to set brightness and contrast.) For a pixel on the grid of the middle. Behind
        an attention it is infinite: everything there sees the whole image.
        """

        def back_to_input(first: int, last: int, blocks: int) -> int:
            for block in range(blocks, 0, -1):
                first, last = first - 2, last + 2
                if block > 1:
                    first, last = 2 * first, 2 * last + 1
            return (last - first + 1) * self.patch

        levels = len(self.encoder)
        fields = {f"down {level}": back_to_input(0, 0, level) for level in range(1, levels + 1)}
        fields["middle"] = back_to_input(0, 0, levels + 1)
        for level in range(levels, 0, -1):
            first, last = 0, 0
            for _ in range(level, levels + 1):
                first, last = (first - 2) // 2, (last + 2) // 2
            fields[f"up {level}"] = back_to_input(first, last, levels + 1)
        fields["output"] = fields["up 1"]
        attention = self.config["attention"]
        behind = list(fields)[levels + 2 - attention :] if attention else []  # the first of these looks is the deepest
        return fields | dict.fromkeys(behind, math.inf)

    @torch.no_grad()
    def summary(self, height: int = 128, width: int | None = None) -> str:
        """Return a table of every stage, read off a real run: shape, channels, parameters, receptive field."""
        device = self.conv_out.weight.device
        x = torch.zeros(1, self.config["in_channels"], height, width or height, device=device)
        with self.record_activations() as maps:
            self(x, torch.zeros(1, device=device) if self.time_embedding else None)
        fields = self.receptive_fields()
        lines = [f"{'stage':<8} {'shape':<22} {'channels':>8} {'parameters':>12} {'receptive field':>14}"]
        upsample = dict(zip((name for name in maps if name.startswith("up")), self.upsample, strict=True))
        for name, module in self.stages().items():
            count = count_parameters(module) + (count_parameters(upsample[name]) if name in upsample else 0)
            shape = " × ".join(map(str, maps[name].shape))
            lines.append(f"{name:<8} {shape:<22} {maps[name].shape[1]:>8} {count:>12,} {fields[name]:>10} px")
        return "\n".join([*lines, f"{'total':<40} {count_parameters(self):>12,}"])


def make_attention(channels: int, here: bool) -> nn.Module:
    return SpatialSelfAttention(channels) if here else nn.Identity()


def count_parameters(module: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(parameter.numel() for parameter in module.parameters())
