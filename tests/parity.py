"""What the comparisons with diffusers share: random weights in float64, and diffusers' own networks of our sizes."""

import torch
from torch import nn

from stablediff_edu.models.conditional_unet import UNetConfig
from stablediff_edu.vision import import_torchvision

import_torchvision()  # diffusers' models import it, and a plain import fails where it does not fit torch
from diffusers import UNet2DConditionModel  # noqa: E402


def randomised(model: nn.Module, seed: int = 0) -> nn.Module:
    """Give every parameter a random value, norms and biases too, and compute in float64."""
    random = torch.Generator().manual_seed(seed)
    model.double()
    for parameter in model.parameters():
        size = 1 if parameter.ndim == 1 else parameter[0].numel() ** -0.5
        parameter.data = size * torch.randn(parameter.shape, generator=random, dtype=torch.float64)
    return model.eval().requires_grad_(False)


def their_unet(config: UNetConfig) -> UNet2DConditionModel:
    """Return diffusers' U-Net of these sizes, made as it is for Stable Diffusion v1."""
    down = ["CrossAttnDownBlock2D" if looks else "DownBlock2D" for looks in config.attention]
    up = ["CrossAttnUpBlock2D" if looks else "UpBlock2D" for looks in reversed(config.attention)]
    return UNet2DConditionModel(
        in_channels=config.in_channels,
        out_channels=config.out_channels,
        block_out_channels=config.widths,
        down_block_types=down,
        up_block_types=up,
        layers_per_block=config.blocks,
        attention_head_dim=config.heads,  # which is diffusers' word for the number of heads
        cross_attention_dim=config.context,
        norm_num_groups=config.groups,
    )
