"""What the comparisons with diffusers share: its networks in our sizes, and random weights for both."""

from dataclasses import replace

import diffusers
import torch
from torch import nn

from stablediff_edu.io.key_mapping import key_map
from stablediff_edu.models.autoencoder_kl import V1 as VAE_V1
from stablediff_edu.models.autoencoder_kl import AutoencoderKL, VAEConfig
from stablediff_edu.models.unet_2d_condition import V1 as UNET_V1
from stablediff_edu.models.unet_2d_condition import ConditionalUNet, UNetConfig


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
        block_out_channels=config.widths,
        down_block_types=["CrossAttnDownBlock2D" if looks else "DownBlock2D" for looks in config.attention],
        up_block_types=["CrossAttnUpBlock2D" if looks else "UpBlock2D" for looks in reversed(config.attention)],
        layers_per_block=config.blocks,
        attention_head_dim=config.heads,  # which is diffusers' word for the number of heads
        cross_attention_dim=config.context,
        norm_num_groups=config.groups,
    )


def their_vae(config: VAEConfig) -> diffusers.AutoencoderKL:
    """Return diffusers' autoencoder of these sizes."""
    return diffusers.AutoencoderKL(
        in_channels=config.in_channels,
        out_channels=config.in_channels,
        block_out_channels=config.widths,
        down_block_types=["DownEncoderBlock2D"] * len(config.widths),
        up_block_types=["UpDecoderBlock2D"] * len(config.widths),
        layers_per_block=config.blocks,
        latent_channels=config.latent,
        norm_num_groups=config.groups,
        scaling_factor=config.scaling,
    )


SMALL = {"unet": dict(widths=(32, 32, 64, 64)), "vae": dict(widths=(32, 32, 32, 32))}


def shared_pair(part: str, device: torch.device | str = "cpu", small: bool = False) -> tuple[nn.Module, nn.Module]:
    """Return ours and diffusers' "unet" or "vae" of Stable Diffusion v1 with the very same random tensors."""
    config, make, make_theirs = {
        "unet": (UNET_V1, ConditionalUNet, their_unet),
        "vae": (VAE_V1, AutoencoderKL, their_vae),
    }[part]
    config = replace(config, **SMALL[part]) if small else config
    torch.manual_seed(0)
    with torch.device(device):
        ours = make(config)
    with torch.device("meta"):
        theirs = make_theirs(config)
    called = key_map("diffusers", part, config)
    theirs.load_state_dict({called[name]: value for name, value in ours.state_dict().items()}, assign=True)
    return ours.eval().requires_grad_(False), theirs.eval().requires_grad_(False)
