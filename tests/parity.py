"""What the comparisons with diffusers share: its networks in our sizes, and random weights for both."""

from dataclasses import replace

import diffusers
import torch
from torch import nn

from stablediff_edu.models.autoencoder_kl import V1 as VAE_V1
from stablediff_edu.models.autoencoder_kl import AutoencoderKL, VAEConfig
from stablediff_edu.models.unet_2d_condition import V1 as UNET_V1
from stablediff_edu.models.unet_2d_condition import UNet2DConditionModel, UNetConfig


def randomised(model: nn.Module, seed: int = 0) -> nn.Module:
    """Give every parameter a random value, norms and biases too, and compute in float64."""
    rng = torch.Generator().manual_seed(seed)
    model.double()
    for parameter in model.parameters():
        size = 1 if parameter.ndim == 1 else parameter[0].numel() ** -0.5
        parameter.data = size * torch.randn(parameter.shape, generator=rng, dtype=torch.float64)
    return model.eval().requires_grad_(False)


def their_unet(config: UNetConfig) -> diffusers.UNet2DConditionModel:
    """Return diffusers' U-Net of these sizes, made as it is for Stable Diffusion v1."""
    return diffusers.UNet2DConditionModel(
        in_channels=config.in_channels,
        out_channels=config.out_channels,
        block_out_channels=config.block_out_channels,
        down_block_types=config.down_block_types,
        up_block_types=[kind.replace("Down", "Up") for kind in reversed(config.down_block_types)],
        layers_per_block=config.layers_per_block,
        attention_head_dim=config.num_attention_heads,  # which is diffusers' word for the number of heads
        cross_attention_dim=config.cross_attention_dim,
        norm_num_groups=config.norm_num_groups,
    )


def their_vae(config: VAEConfig) -> diffusers.AutoencoderKL:
    """Return diffusers' autoencoder of these sizes."""
    return diffusers.AutoencoderKL(
        in_channels=config.in_channels,
        out_channels=config.in_channels,
        block_out_channels=config.block_out_channels,
        down_block_types=["DownEncoderBlock2D"] * len(config.block_out_channels),
        up_block_types=["UpDecoderBlock2D"] * len(config.block_out_channels),
        layers_per_block=config.layers_per_block,
        latent_channels=config.latent_channels,
        norm_num_groups=config.norm_num_groups,
        scaling_factor=config.scaling_factor,
    )


SMALL = {"unet": dict(block_out_channels=(32, 32, 64, 64)), "vae": dict(block_out_channels=(32, 32, 32, 32))}


def shared_pair(part: str, device: torch.device | str = "cpu", small: bool = False) -> tuple[nn.Module, nn.Module]:
    """Return ours and diffusers' "unet" or "vae" of Stable Diffusion v1 with the very same random tensors."""
    config, make, make_theirs = {
        "unet": (UNET_V1, UNet2DConditionModel, their_unet),
        "vae": (VAE_V1, AutoencoderKL, their_vae),
    }[part]
    config = replace(config, **SMALL[part]) if small else config
    torch.manual_seed(0)
    with torch.device(device):
        ours = make(config)
    with torch.device("meta"):
        theirs = make_theirs(config)
    theirs.load_state_dict(ours.state_dict(), assign=True)
    return ours.eval().requires_grad_(False), theirs.eval().requires_grad_(False)
