"""The U-Net of Stable Diffusion: predicts the noise in a latent, conditioned on the timestep and a prompt.

Encoder, decoder and skip connections are those of chapter 2. New: the blocks are conditioned on the timestep, and
self-attention and cross-attention to the tokens follow them (Rombach et al., 2021, "High-resolution image synthesis
with latent diffusion models", section 3.3). With `V1` it has the sizes of Stable Diffusion v1, with smaller numbers
it is chapter 8's: the same code.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import torch
import torch.nn.functional as F
from torch import nn

from stablediff_edu.errors import UserError
from stablediff_edu.layers.embeddings import sinusoidal_embedding
from stablediff_edu.layers.resnet import ResidualBlock
from stablediff_edu.layers.transformer import SpatialTransformer
from stablediff_edu.layers.upsample import Upsample

EPS = 1e-5  # of all normalizations but the transformers' first, 1e-6 there


@dataclass(frozen=True)
class UNetConfig:
    """The sizes of a U-Net; by default those of Stable Diffusion v1.

    Raises:
        UserError: the levels of `widths` and `attention` differ in number, `groups` does not divide every width, or
        `heads` not every width with attention.
    """

    in_channels: int = 4
    out_channels: int = 4
    widths: tuple[int, ...] = (320, 640, 1280, 1280)  # channels of each level; every level but the last halves the size
    blocks: int = 2  # of a level on the way down; one more on the way up
    attention: tuple[bool, ...] = (True, True, True, False)  # which levels look around; the middle always does
    heads: int = 8  # of every attention, each with width / heads numbers
    context: int = 768  # numbers a word
    groups: int = 32  # of every normalization over images

    def __post_init__(self) -> None:
        for name in ("widths", "attention"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # the metadata of a checkpoint gives a list
        if len(self.attention) != len(self.widths):
            raise UserError(
                f"{len(self.widths)} widths and {len(self.attention)} entries of attention do not fit together; "
                "give one of each a level."
            )
        for width, looks in zip(self.widths, (*self.attention[:-1], True), strict=True):
            if width % self.groups:
                raise UserError(
                    f"{width} channels cannot be shared out among {self.groups} groups; "
                    "choose widths that are multiples of groups."
                )
            if looks and width % self.heads:
                raise UserError(
                    f"{width} channels cannot be shared out among {self.heads} heads; "
                    "choose widths that are multiples of heads."
                )


V1 = UNetConfig()


class ConditionalUNet(nn.Module):
    """Noisy latents (B, in_channels, h, w), steps (B,), sentences (B, N, context) -> noise (B, out_channels, h, w).

    Any h and w will do: where a level halves an odd side, the decoder returns to the size of the skip connection.
    """

    def __init__(self, config: UNetConfig = V1) -> None:
        super().__init__()
        self.config = config
        widths, blocks = config.widths, config.blocks
        top, bottom = widths[0], widths[-1]
        levels = list(zip(widths, config.attention, strict=True))

        self.first = nn.Conv2d(config.in_channels, top, 3, padding=1)
        self.time = nn.Sequential(nn.Linear(top, 4 * top), nn.SiLU(), nn.Linear(4 * top, 4 * top))
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        channels, copies = top, [top]  # of what comes next, and of all that is kept for the way up
        for depth, (width, looks) in enumerate(levels, 1):
            resize: nn.Module | None = nn.Conv2d(width, width, 3, stride=2, padding=1) if depth < len(levels) else None
            self.down.append(Level(config, [channels] + [width] * (blocks - 1), width, looks, resize))
            copies += [width] * (blocks + 1 if resize else blocks)
            channels = width
        block, other_block = (make_resnet_block(config, bottom, bottom) for _ in range(2))
        self.middle = nn.ModuleList([block, make_spatial_transformer(config, bottom), other_block])
        for depth, (width, looks) in reversed(list(enumerate(levels))):
            resize = Upsample(width) if depth else None
            incoming = [number + copies.pop() for number in [channels] + [width] * blocks]
            self.up.append(Level(config, incoming, width, looks, resize))
            channels = width
        self.norm = nn.GroupNorm(config.groups, top, EPS)
        self.last = nn.Conv2d(top, config.out_channels, 3, padding=1)

    def forward(self, x: torch.Tensor, t: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """Return the predicted noise of each latent, or whatever else the network was trained to predict.

        Raises:
            UserError: the token embeddings have another size than `context` of the config.
        """
        if context.shape[-1] != self.config.context:
            raise UserError(
                f"This U-Net reads words of {self.config.context} numbers, not of {context.shape[-1]}; "
                "take the text encoder that it was trained with."
            )
        # in float32, whatever x is in
        waves = sinusoidal_embedding(t.float(), self.config.widths[0], flip_sin_to_cos=True)
        time = self.time(waves.to(x))  # (B,) -> (B, widths[0]) -> (B, 4 · widths[0])
        x = self.first(x)  # (B, in_channels, h, w) -> (B, widths[0], h, w)
        copies = [x]
        for level in self.down:
            for block, look in level.stages():
                x = look(block(x, time), context)  # (B, width, h, w)
                copies.append(x)
            if level.resize:
                x = level.resize(x)  # (B, width, h, w) -> (B, width, h/2, w/2)
                copies.append(x)
        block, look, other_block = self.middle
        x = other_block(look(block(x, time), context), time)
        for level in self.up:
            for block, look in level.stages():
                x = torch.cat([x, copies.pop()], dim=1)  # (B, width + width of the copy, h, w)
                x = look(block(x, time), context)  # (B, width, h, w)
            if level.resize:
                x = level.resize(x, copies[-1].shape[2:])  # (B, width, h, w) -> (B, width, 2h, 2w)
        return self.last(F.silu(self.norm(x)))  # (B, widths[0], h, w) -> (B, out_channels, h, w)


class Level(nn.Module):
    """One resolution: residual blocks, each followed by attention if the level has it, and the change of size."""

    def __init__(
        self, config: UNetConfig, incoming: Sequence[int], width: int, looks: bool, resize: nn.Module | None
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(make_resnet_block(config, channels, width) for channels in incoming)
        self.looks = nn.ModuleList(make_spatial_transformer(config, width) for _ in incoming if looks)
        self.resize = resize

    def stages(self) -> Iterator[tuple[nn.Module, Callable]]:
        """Run the blocks, each with the attention behind it."""
        return zip_longest(self.blocks, self.looks, fillvalue=no_attention)


def make_resnet_block(config: UNetConfig, in_channels: int, out_channels: int) -> ResidualBlock:
    return ResidualBlock(in_channels, out_channels, config.groups, EPS, time_features=4 * config.widths[0])


def make_spatial_transformer(config: UNetConfig, channels: int) -> SpatialTransformer:
    return SpatialTransformer(channels, config.heads, config.context, config.groups)


def no_attention(x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
    return x
