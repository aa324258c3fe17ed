"""The residual block of Stable Diffusion's autoencoder and U-Net."""

import torch
import torch.nn.functional as F
from torch import nn


class ResnetBlock2D(nn.Module):
    """Two convolutions, added to the input: (B, in, H, W) -> (B, out, H, W).

    Normalization and SiLU come before each convolution, not after it, so that the sum passes from block to block
    untouched (He et al., 2016, "Identity mappings in deep residual networks", figure 1b).

    Args:
        in_channels, out_channels: if they differ, a 1×1 convolution maps the input to the new channels.
        groups: of both normalizations; must divide both channel numbers.
        eps: of both normalizations, added to the variance; 1e-6 in the autoencoder, 1e-5 in the U-Net.
        time_features: size of the timestep embedding; 0: not conditioned on the timestep.
    """

    def __init__(
        self, in_channels: int, out_channels: int, groups: int = 32, eps: float = 1e-6, time_features: int = 0
    ) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, in_channels, eps)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.time_emb_proj = nn.Linear(time_features, out_channels) if time_features else None
        self.norm2 = nn.GroupNorm(groups, out_channels, eps)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        same = in_channels == out_channels
        self.conv_shortcut = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: torch.Tensor, time: torch.Tensor | None = None) -> torch.Tensor:
        hidden = self.conv1(F.silu(self.norm1(x), inplace=True))  # (B, in, H, W) -> (B, out, H, W)
        if self.time_emb_proj is not None:
            assert time is not None
            hidden = hidden + self.time_emb_proj(F.silu(time))[:, :, None, None]  # (B, time_features) -> (B, out, 1, 1)
        hidden = self.conv2(F.silu(self.norm2(hidden), inplace=True))
        return self.conv_shortcut(x) + hidden
