"""The U-Net of Stable Diffusion: predicts the noise in a latent, conditioned on the timestep and a prompt.

Encoder, decoder and skip connections are those of chapter 2. New: the blocks are conditioned on the timestep, and
self-attention and cross-attention to the tokens follow them (Rombach et al., 2021, "High-resolution image synthesis
with latent diffusion models", section 3.3). With `V1` it has the sizes of Stable Diffusion v1, with smaller numbers
it is chapter 8's: the same code. Attributes and sizes have diffusers' names: published weights load as they are.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import cast

import torch
import torch.nn.functional as F
from torch import nn

from stablediff_edu.errors import UserError
from stablediff_edu.layers.conv_blocks import TimestepEmbedding
from stablediff_edu.layers.resnet import ResnetBlock2D
from stablediff_edu.layers.transformer import Transformer2DModel
from stablediff_edu.layers.upsample import Downsample2D, Upsample2D

EPS = 1e-5  # of all normalizations but the transformers' first, 1e-6 there
ATTENTION, PLAIN = "CrossAttnDownBlock2D", "DownBlock2D"  # diffusers' names of levels with and without attention


@dataclass(frozen=True)
class UNetConfig:
    """The sizes of a U-Net; by default those of Stable Diffusion v1.

    Raises:
        UserError: the levels of `block_out_channels` and `down_block_types` differ in number.
    """

    in_channels: int = 4
    out_channels: int = 4
    block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280)  # of each level; all but the last halve the size
    layers_per_block: int = 2  # residual blocks of a level of the encoder; one more in the decoder
    down_block_types: tuple[str, ...] = (ATTENTION, ATTENTION, ATTENTION, PLAIN)  # the bottleneck always has attention
    num_attention_heads: int = 8
    cross_attention_dim: int = 768  # dimensions of a token embedding
    norm_num_groups: int = 32  # of every normalization over images

    def __post_init__(self) -> None:
        for name in ("block_out_channels", "down_block_types"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # the metadata of a checkpoint gives a list
        if len(self.down_block_types) != len(self.block_out_channels):
            raise UserError(
                f"{len(self.block_out_channels)} block_out_channels and {len(self.down_block_types)} down_block_types "
                "do not fit together; give one of each for every level."
            )

    @property
    def attention(self) -> list[bool]:
        """Which levels have attention, from the largest images to the smallest."""
        return [kind == ATTENTION for kind in self.down_block_types]


V1 = UNetConfig()


class UNet2DConditionModel(nn.Module):
    """Noisy latents (B, in_channels, h, w), timesteps (B,), prompts (B, N, cross_attention_dim) -> predicted noise
    (B, out_channels, h, w).

    Any h and w will do: where a level halves an odd side, the decoder returns to the size of the skip connection.
    """

    def __init__(self, config: UNetConfig = V1) -> None:
        super().__init__()
        self.config = config
        widths, blocks = config.block_out_channels, config.layers_per_block
        top, bottom = widths[0], widths[-1]
        levels = list(zip(widths, config.attention, strict=True))

        self.conv_in = nn.Conv2d(config.in_channels, top, 3, padding=1)
        self.time_embedding = TimestepEmbedding(top, 4 * top, flip_sin_to_cos=True)
        self.down_blocks, self.up_blocks = nn.ModuleList(), nn.ModuleList()
        channels, skips = top, [top]  # of what comes next, and of all skip connections
        for depth, (width, attention) in enumerate(levels, 1):
            level = Level(config, [channels] + [width] * (blocks - 1), width, blocks if attention else 0)
            if depth < len(levels):
                level.downsamplers.append(Downsample2D(width))
            self.down_blocks.append(level)
            skips += [width] * (blocks + (depth < len(levels)))
            channels = width
        self.mid_block = Level(config, [bottom, bottom], bottom, attentions=1)
        for depth, (width, attention) in reversed(list(enumerate(levels))):
            incoming = [number + skips.pop() for number in [channels] + [width] * blocks]
            level = Level(config, incoming, width, blocks + 1 if attention else 0)
            if depth:
                level.upsamplers.append(Upsample2D(width))
            self.up_blocks.append(level)
            channels = width
        self.conv_norm_out = nn.GroupNorm(config.norm_num_groups, top, EPS)
        self.conv_out = nn.Conv2d(top, config.out_channels, 3, padding=1)

    def forward(self, x: torch.Tensor, t: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """Return the predicted noise of each latent, or whatever else the network was trained to predict.

        Raises:
            UserError: the token embeddings have another size than the config's `cross_attention_dim`.
        """
        if context.shape[-1] != self.config.cross_attention_dim:
            raise UserError(
                f"This U-Net reads token embeddings of {self.config.cross_attention_dim} dimensions, not of "
                f"{context.shape[-1]}; take the text encoder that it was trained with."
            )
        temb = self.time_embedding(t)  # (B,) -> (B, 4 · block_out_channels[0])
        x = self.conv_in(x)  # (B, in_channels, h, w) -> (B, block_out_channels[0], h, w)
        skips = [x]
        for level in cast(Iterable[Level], self.down_blocks):
            for resnet, attention in level.stages():
                x = attention(resnet(x, temb), context)  # (B, width, h, w)
                skips.append(x)
            for downsample in level.downsamplers:
                x = downsample(x)  # (B, width, h, w) -> (B, width, h/2, w/2)
                skips.append(x)
        resnet, other_resnet = self.mid_block.resnets
        x = other_resnet(self.mid_block.attentions[0](resnet(x, temb), context), temb)
        for level in cast(Iterable[Level], self.up_blocks):
            for resnet, attention in level.stages():
                x = torch.cat([x, skips.pop()], dim=1)  # (B, width + width of the skip connection, h, w)
                x = attention(resnet(x, temb), context)  # (B, width, h, w)
            for upsample in level.upsamplers:
                x = upsample(x, skips[-1].shape[2:])  # (B, width, h, w) -> (B, width, 2h, 2w)
        return self.conv_out(F.silu(self.conv_norm_out(x)))  # -> (B, out_channels, h, w)


class Level(nn.Module):
    """One resolution: residual blocks, each followed by attention if the level has it, and the change of size."""

    def __init__(self, config: UNetConfig, incoming: Sequence[int], width: int, attentions: int) -> None:
        super().__init__()
        groups, heads, dim = config.norm_num_groups, config.num_attention_heads, config.cross_attention_dim
        time = 4 * config.block_out_channels[0]
        self.resnets = nn.ModuleList(ResnetBlock2D(channels, width, groups, EPS, time) for channels in incoming)
        self.attentions = nn.ModuleList(Transformer2DModel(width, heads, dim, groups) for _ in range(attentions))
        self.downsamplers, self.upsamplers = nn.ModuleList(), nn.ModuleList()

    def stages(self) -> Iterator[tuple[Callable, Callable]]:
        """Run the blocks, each with the attention behind it."""
        resnets: Iterable[Callable] = self.resnets
        return zip_longest(resnets, self.attentions, fillvalue=no_attention)


def no_attention(x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
    return x
