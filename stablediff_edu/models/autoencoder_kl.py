"""The autoencoder of Stable Diffusion: images to latents with 48 times fewer values, and back.

Its family is the variational autoencoder (Kingma and Welling, 2013): the encoder gives a mean and a variance, so that
every image has a Gaussian posterior over latents, and near latents decode to similar images. The networks are those
of Rombach et al. (2021, "High-resolution image synthesis with latent diffusion models", section 3.1). With `V1` it
has the sizes of Stable Diffusion v1; with smaller numbers it is chapter 5's, for digits: the same code. Attributes and
sizes have diffusers' names, so that published weights load as they are.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

from stablediff_edu.config import randn_like
from stablediff_edu.errors import UserError
from stablediff_edu.layers.conv_blocks import SpatialSelfAttention
from stablediff_edu.layers.resnet import ResnetBlock2D
from stablediff_edu.layers.upsample import Downsample2D, Upsample2D

EPS = 1e-6  # of all normalizations; PyTorch's own is 1e-5
LOGVAR_RANGE = (-30.0, 20.0)  # so that its exponential stays finite whatever the encoder answers


@dataclass(frozen=True)
class VAEConfig:
    """The sizes of an autoencoder; by default those of Stable Diffusion v1."""

    in_channels: int = 3
    block_out_channels: tuple[int, ...] = (128, 256, 512, 512)  # of each level; all but the last halve the image
    layers_per_block: int = 2  # residual blocks of a level of the encoder; one more in the decoder
    latent_channels: int = 4
    norm_num_groups: int = 32  # of every normalization
    scaling_factor: float = 0.18215  # 1 / the latents' standard deviation: the diffusion meets values of about 1

    def __post_init__(self) -> None:
        # the metadata of a checkpoint gives a list
        object.__setattr__(self, "block_out_channels", tuple(self.block_out_channels))

    @property
    def shrink(self) -> int:
        """How many times smaller than the image the latent is, along each side."""
        return 2 ** (len(self.block_out_channels) - 1)


V1 = VAEConfig()


class AutoencoderKL(nn.Module):
    """Images (B, in_channels, H, W) to latents (B, latent_channels, H / shrink, W / shrink) and back."""

    def __init__(self, config: VAEConfig = V1) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        channels = config.latent_channels
        self.quant_conv = nn.Conv2d(2 * channels, 2 * channels, 1)  # named after the family's quantized sister
        self.post_quant_conv = nn.Conv2d(channels, channels, 1)
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
        mean, logvar = self.quant_conv(self.encoder(x)).chunk(2, dim=1)  # twice (B, latent_channels, h, w)
        return mean, logvar.clamp(*LOGVAR_RANGE)

    def encode(self, x: torch.Tensor, sample: bool = False, generator: torch.Generator | None = None) -> torch.Tensor:
        """Return scaled latents (B, latent_channels, h, w): the mean of each image's posterior, or a sample from it."""
        mean, logvar = self.moments(x)
        return self.config.scaling_factor * (reparameterize(mean, logvar, generator) if sample else mean)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Return the images (B, in_channels, H, W) of scaled latents; a little beyond [-1, 1] at times."""
        return self.decoder(self.post_quant_conv(z / self.config.scaling_factor))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return what training needs: the images decoded from a sample, and the mean and logvar it came from."""
        mean, logvar = self.moments(x)
        return self.decode(self.config.scaling_factor * reparameterize(mean, logvar)), mean, logvar


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
    """(B, in_channels, H, W) -> (B, 2 · latent_channels, h, w), where h = H / shrink and w = W / shrink."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        widths, groups = config.block_out_channels, config.norm_num_groups
        self.conv_in = nn.Conv2d(config.in_channels, widths[0], 3, padding=1)
        self.down_blocks = nn.ModuleList()
        for depth, (before, width) in enumerate(pairwise((widths[0], *widths)), 1):
            level = Level(before, width, config.layers_per_block, groups)
            if depth < len(widths):
                level.downsamplers.append(Downsample2D(width, padding=0))
            self.down_blocks.append(level)
        self.mid_block = MidBlock(widths[-1], groups)
        self.conv_norm_out = nn.GroupNorm(groups, widths[-1], EPS)
        self.conv_out = nn.Conv2d(widths[-1], 2 * config.latent_channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv_in(x)  # (B, in_channels, H, W) -> (B, block_out_channels[0], H, W)
        for level in self.down_blocks:
            x = level(x)  # (B, width, H, W) -> (B, next width, H/2, W/2)
        return self.conv_out(F.silu(self.conv_norm_out(self.mid_block(x))))  # -> (B, 2·latent_channels, h, w)


class Decoder(nn.Module):
    """(B, latent_channels, h, w) -> (B, in_channels, H, W): the encoder mirrored, with one block more a level."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        widths, groups = config.block_out_channels[::-1], config.norm_num_groups
        self.conv_in = nn.Conv2d(config.latent_channels, widths[0], 3, padding=1)
        self.mid_block = MidBlock(widths[0], groups)
        self.up_blocks = nn.ModuleList()
        for depth, (before, width) in enumerate(pairwise((widths[0], *widths)), 1):
            level = Level(before, width, config.layers_per_block + 1, groups)
            if depth < len(widths):
                level.upsamplers.append(Upsample2D(width))
            self.up_blocks.append(level)
        self.conv_norm_out = nn.GroupNorm(groups, widths[-1], EPS)
        self.conv_out = nn.Conv2d(widths[-1], config.in_channels, 3, padding=1)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        x = self.mid_block(self.conv_in(z))  # (B, latent_channels, h, w) -> (B, the encoder's last width, h, w)
        for level in self.up_blocks:
            x = level(x)  # (B, width, h, w) -> (B, next width, 2h, 2w)
        return self.conv_out(F.silu(self.conv_norm_out(x)))  # -> (B, in_channels, H, W)


class Level(nn.Module):
    """Residual blocks, then a change of size if one is added: (B, in, H, W) -> (B, out, H/2, W/2) or (…, 2H, 2W)."""

    def __init__(self, in_channels: int, out_channels: int, layers: int, groups: int) -> None:
        super().__init__()
        channels = [in_channels] + [out_channels] * layers
        self.resnets = nn.ModuleList(ResnetBlock2D(a, b, groups, EPS) for a, b in pairwise(channels))
        self.downsamplers, self.upsamplers = nn.ModuleList(), nn.ModuleList()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for part in (*self.resnets, *self.downsamplers, *self.upsamplers):
            x = part(x)
        return x


class MidBlock(nn.Module):
    """The bottleneck: residual block, self-attention, residual block; (B, C, h, w) -> the same."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(ResnetBlock2D(channels, channels, groups, EPS) for _ in range(2))
        norm = nn.GroupNorm(groups, channels, EPS)
        self.attentions = nn.ModuleList([SpatialSelfAttention(channels, heads=1, norm=norm, bias=True)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.resnets[1](self.attentions[0](self.resnets[0](x)))
