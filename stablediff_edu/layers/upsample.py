"""Changes of size by 2 in Stable Diffusion's autoencoder and U-Net."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

# each row of the small image becomes two: [which of the two, row of the 2×2 kernel, row of the 3×3 kernel]
PHASES = [[[1, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]]


class Downsample2D(nn.Module):
    """A 3×3 convolution with stride 2: (B, C, H, W) -> (B, C, H/2, W/2).

    With `padding` 0, as in the autoencoder, there are zeros at the right and at the bottom only.
    """

    def __init__(self, channels: int, padding: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=padding)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x if self.conv.padding[0] else F.pad(x, (0, 1, 0, 1)))


class Upsample2D(nn.Module):
    """Nearest-neighbor upsampling by 2, then a 3×3 convolution: (B, C, H, W) -> (B, C, 2H, 2W).

    With a `size` the image comes out just that large: (2H - 1) × (2W - 1), say, where an odd side had been halved.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: torch.Tensor, size: Sequence[int] | None = None) -> torch.Tensor:
        height, width = x.shape[2:]
        twice = size is None or tuple(size) == (2 * height, 2 * width)
        if twice and x.device.type == "cpu" and height * width >= x.shape[1]:
            return upsample2x_conv3x3(x, self.conv.weight, self.conv.bias)
        x = F.interpolate(x, scale_factor=2)  # (B, C, H, W) -> (B, C, 2H, 2W)
        return self.conv(x if size is None else x[..., : size[0], : size[1]])


def upsample2x_conv3x3(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """Do both at once, in about half the time, gradients too: (B, C, H, W) -> (B, C, 2H, 2W).

    A 3×3 kernel meets only 2×2 different values of the small image, in one of four ways; where two of its values meet
    the same one, their sum does. So four 2×2 kernels compute every fourth output each: 16 products instead of 36.
    """
    batch, channels, height, width = x.shape
    rows = weight.new_tensor(PHASES)
    kernels = torch.einsum("apk,bql,oikl->aboipq", rows, rows, weight)  # (C, C, 3, 3) -> (2, 2, C, C, 2, 2)
    likewise = torch.channels_last if x.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
    large = torch.empty(batch, channels, 2 * height, 2 * width, dtype=x.dtype, memory_format=likewise)
    for row in (0, 1):
        for column in (0, 1):
            found = F.conv2d(x, kernels[row, column], bias, padding=1)  # (B, C, H + 1, W + 1)
            large[..., row::2, column::2] = found[..., row : row + height, column : column + width]
    return large
