"""The autoencoder of Stable Diffusion: images to latents with 48 times fewer values, and back.

Its family is the variational autoencoder (Kingma and Welling, 2013): the encoder gives a mean and a variance, so that
every image has a Gaussian posterior over latents, and near latents decode to similar images. The networks are those
of Rombach et al. (2021, "High-resolution image synthesis with latent diffusion models", section 3.1). With `V1` it
has the sizes of Stable Diffusion v1; with smaller numbers it is chapter 5's, for digits: the same code.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

from stablediff_edu.config import randn_like
from stablediff_edu.errors import UserError
from stablediff_edu.layers.conv_blocks import SpatialSelfAttention
from stablediff_edu.layers.resnet import ResidualBlock
from stablediff_edu.layers.upsample import Upsample

EPS = 1e-6  # of all normalizations; PyTorch's own is 1e-5
LOGVAR_RANGE = (-30.0, 20.0)  # so that its exponential stays finite whatever the encoder answers


@dataclass(frozen=True)
class VAEConfig:
    """The sizes of an autoencoder.

    Raises:
        UserError: `groups` does not divide every width.
    """

    in_channels: int = 3
    widths: tuple[int, ...] = (
        128,
        256,
        512,
        512,
    )  # channels of each level; every level but the last halves the image
    blocks: int = 2  # of a level on the way down; one more on the way up
    latent: int = 4  # channels of the latent
    groups: int = 32  # of every normalization
    scaling: float = 0.18215  # 1 / the latents' standard deviation, so that the diffusion meets numbers of about 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))  # the metadata of a checkpoint gives a list
        for width in self.widths:
            if width % self.groups:
                raise UserError(
                    f"{width} channels cannot be shared out among {self.groups} groups; "
                    "choose widths that are multiples of groups."
                )

    @property
    def shrink(self) -> int:
        """How many times smaller than the image the latent is, along each side."""
        return 2 ** (len(self.widths) - 1)


V1 = VAEConfig()


class AutoencoderKL(nn.Module):
    """Images (B, in_channels, H, W) to latents (B, latent, H / shrink, W / shrink) and back."""

    def __init__(self, config: VAEConfig = V1) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.quant = nn.Conv2d(2 * config.latent, 2 * config.latent, 1)  # named after the family's quantised sister
        self.post_quant = nn.Conv2d(config.latent, config.latent, 1)
        self.decoder = Decoder(config)

    def moments(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and logarithm of the variance of each image's latents, not yet scaled.

        Raises:
            UserError: height or width is not a multiple of `shrink`.
        """
        height, width = x.shape[-2:]
        if height % self.config.shrink or width % self.config.shrink:
            raise UserError(
                f"This autoencoder shrinks each side {self.config.shrink} times, so {height}×{width} pixels do not "
                f"work; resize or crop the image to multiples of {self.config.shrink}."
            )
        mean, logvar = self.quant(self.encoder(x)).chunk(2, dim=1)  # (B, 2·latent, h, w) -> twice (B, latent, h, w)
        return mean, logvar.clamp(*LOGVAR_RANGE)

    def encode(self, x: torch.Tensor, sample: bool = False, generator: torch.Generator | None = None) -> torch.Tensor:
        """Return scaled latents (B, latent, h, w): the mean of each image's posterior, or a `sample` from it."""
        mean, logvar = self.moments(x)
        return self.config.scaling * (reparameterize(mean, logvar, generator) if sample else mean)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Return the images (B, in_channels, H, W) of scaled latents; a little beyond [-1, 1] at times."""
        return self.decoder(self.post_quant(z / self.config.scaling))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return what training needs: the images decoded from a sample, and the mean and logvar it came from."""
        mean, logvar = self.moments(x)
        return self.decode(self.config.scaling * reparameterize(mean, logvar)), mean, logvar


def reparameterize(mean: torch.Tensor, logvar: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
    """Sample from a normal distribution so that gradients reach mean and logvar (Kingma and Welling, section 2.4)."""
    return mean + torch.exp(logvar / 2) * randn_like(mean, generator)


def kl_divergence(mean: torch.Tensor, logvar: torch.Tensor) -> torch.Tensor:
    """Return the KL divergence of the posteriors from the standard normal distribution, in nats: mean over B of (B,
    ...).

    The closed form of Kingma and Welling (2013, appendix B), summed over all values of a latent.
    """
    return (mean**2 + logvar.exp() - 1 - logvar).flatten(1).sum(1).mean() / 2


class Encoder(nn.Module):
    """(B, in_channels, H, W) -> (B, 2 · latent, h, w), where h = H / shrink and w = W / shrink."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        widths = config.widths
        self.first = nn.Conv2d(config.in_channels, widths[0], 3, padding=1)
        self.down = levels(widths, config.blocks, config.groups, make_downsample)
        self.middle = make_mid_block(widths[-1], config.groups)
        self.norm = nn.GroupNorm(config.groups, widths[-1], EPS)
        self.last = nn.Conv2d(widths[-1], 2 * config.latent, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)  # (B, in_channels, H, W) -> (B, widths[0], H, W)
        x = self.middle(self.down(x))  # -> (B, widths[-1], h, w)
        return self.last(F.silu(self.norm(x)))  # -> (B, 2·latent, h, w)


class Decoder(nn.Module):
    """(B, latent, h, w) -> (B, in_channels, H, W): the encoder mirrored, with one block more in every level."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        widths = config.widths[::-1]
        self.first = nn.Conv2d(config.latent, widths[0], 3, padding=1)
        self.middle = make_mid_block(widths[0], config.groups)
        self.up = levels(widths, config.blocks + 1, config.groups, Upsample)
        self.norm = nn.GroupNorm(config.groups, widths[-1], EPS)
        self.last = nn.Conv2d(widths[-1], config.in_channels, 3, padding=1)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        x = self.first(z)  # (B, latent, h, w) -> (B, the encoder's widths[-1], h, w)
        x = self.up(self.middle(x))  # -> (B, the encoder's widths[0], H, W)
        return self.last(F.silu(self.norm(x)))  # -> (B, in_channels, H, W)


class Level(nn.Module):
    """Residual blocks, then a change of size: (B, in, H, W) -> (B, out, H/2, W/2) down, (B, out, 2H, 2W) up."""

    def __init__(self, in_channels: int, out_channels: int, blocks: int, groups: int, resize: nn.Module) -> None:
        super().__init__()
        channels = [in_channels] + [out_channels] * blocks
        self.blocks = nn.Sequential(*(ResidualBlock(a, b, groups, EPS) for a, b in pairwise(channels)))
        self.resize = resize

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.resize(self.blocks(x))  # (B, in, H, W) -> (B, out, H, W) -> (B, out, H/2, W/2) or (B, out, 2H, 2W)


def levels(widths: Sequence[int], blocks: int, groups: int, resize: Callable[[int], nn.Module]) -> nn.Sequential:
    """Return a level for each width; all but the last change the size."""
    resizes = [*(resize(width) for width in widths[:-1]), nn.Identity()]
    channels = pairwise((widths[0], *widths))
    return nn.Sequential(*(Level(a, b, blocks, groups, end) for (a, b), end in zip(channels, resizes, strict=True)))


def make_downsample(channels: int) -> nn.Module:
    """Halve the sides: zeros at the right and at the bottom only, then a 3×3 convolution with stride 2."""
    return nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(channels, channels, 3, stride=2))


def make_mid_block(channels: int, groups: int) -> nn.Module:
    """Make the middle block, at the smallest size: residual block, self-attention, residual block; (B, C, h, w) ->
    the same."""
    block, other_block = (ResidualBlock(channels, channels, groups, EPS) for _ in range(2))
    look_around = SpatialSelfAttention(channels, heads=1, norm=nn.GroupNorm(groups, channels, EPS), bias=True)
    return nn.Sequential(block, look_around, other_block)
