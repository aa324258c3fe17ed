"""The transformer block: self-attention, cross-attention and an MLP, each with a residual connection (Vaswani et al.,
2017, figure 1).

The normalizations come before each part, not after it, so that the sum passes from block to block untouched: the way of
CLIP's text encoder and of Stable Diffusion's U-Net (Xiong et al., 2020, "On layer normalization in the transformer").
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from stablediff_edu.layers.attention import Attention

Activation = Callable[[torch.Tensor], torch.Tensor]


def quick_gelu(x: torch.Tensor) -> torch.Tensor:
    """Return x · σ(1.702 x), a quick stand-in for GELU that CLIP was trained with; it differs by up to 0.02."""
    return x * torch.sigmoid(1.702 * x)


class MLP(nn.Module):
    """Two linear layers with an activation between them, for each position alone: (B, N, features) -> the same."""

    def __init__(self, features: int, hidden: int, activation: Activation = F.gelu) -> None:
        super().__init__()
        self.first = nn.Linear(features, hidden)
        self.activation = activation
        self.second = nn.Linear(hidden, features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.activation(self.first(x)))  # (B, N, features) -> (B, N, hidden) -> (B, N, features)


class GEGLU(nn.Module):
    """An MLP with learned gates on its hidden features: (B, N, features) -> the same.

    Of twice as many hidden features the first half are values; the second half, through GELU, are their gates
    (Shazeer, 2020, "GLU variants improve transformer"). Used in Stable Diffusion's U-Net.
    """

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.first = nn.Linear(features, 2 * hidden)
        self.activation = F.gelu  # the exact one; its tanh approximation is off by up to 0.0005
        self.second = nn.Linear(hidden, features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        value, gate = self.first(x).chunk(2, dim=-1)  # (B, N, features) -> twice (B, N, hidden)
        return self.second(value * self.activation(gate))


class TransformerBlock(nn.Module):
    """Self-attention, cross-attention if there is a context, and an MLP: (B, N, features) -> (B, N, features).

    Args:
        features: of every position.
        heads: of every attention.
        context_features: of every position of the context; without it the block has no cross-attention.
        hidden: features inside the MLP; four times as many by default.
        activation: of the MLP: `quick_gelu` in CLIP, the exact GELU by default.
        bias: whether query, key and value have one.
        eps: of the normalizations, added to the variance.
        geglu: take GEGLU for the MLP, with an activation of its own, as in Stable Diffusion's U-Net.
    """

    def __init__(
        self,
        features: int,
        heads: int = 4,
        context_features: int | None = None,
        *,
        hidden: int | None = None,
        activation: Activation = F.gelu,
        bias: bool = True,
        eps: float = 1e-5,
        geglu: bool = False,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(features, eps)
        self.attention = Attention(features, heads, bias=bias)
        if context_features:
            self.norm_cross = nn.LayerNorm(features, eps)
            self.cross: Attention | None = Attention(features, heads, context_features, bias)
        else:
            self.cross = None
        self.norm2 = nn.LayerNorm(features, eps)
        hidden = hidden or 4 * features
        self.mlp = GEGLU(features, hidden) if geglu else MLP(features, hidden, activation)

    def forward(
        self,
        x: torch.Tensor,
        context: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        causal: bool = False,
    ) -> torch.Tensor:
        """Take positions (B, N, features), the context (B, M, context_features), and the self-attention's mask."""
        x = x + self.attention(self.norm1(x), mask=mask, causal=causal)
        if self.cross:
            x = x + self.cross(self.norm_cross(x), context)
        return x + self.mlp(self.norm2(x))


class SpatialTransformer(nn.Module):
    """Self-attention over the positions of an image, and cross-attention to a prompt: (B, C, H, W) -> the same.

    A transformer block between two 1×1 convolutions, with a residual connection (Rombach et al., 2021, section 3.3).

    Args:
        channels: of the image; a multiple of `heads` and of `groups`.
        heads: of both attentions.
        context_features: of every token of the prompt.
        groups: of the normalization, whose eps is 1e-6, unlike that of all others in the U-Net.
    """

    def __init__(self, channels: int, heads: int, context_features: int, groups: int = 32) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, eps=1e-6)
        self.enter = nn.Conv2d(channels, channels, 1)
        self.blocks = nn.ModuleList([TransformerBlock(channels, heads, context_features, bias=False, geglu=True)])
        self.leave = nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """Take images (B, C, H, W) and token embeddings (B, N, context_features)."""
        places = self.norm(x).flatten(2).transpose(1, 2)  # (B, C, H, W) -> (B, H·W, C)
        places = conv1x1_as_linear(self.enter, places)
        for block in self.blocks:
            places = block(places, context)
        return x + conv1x1_as_linear(self.leave, places).transpose(1, 2).reshape(x.shape)  # (B, H·W, C) -> (B, C, H, W)


def conv1x1_as_linear(convolution: nn.Conv2d, places: torch.Tensor) -> torch.Tensor:
    """A 1×1 convolution is a linear layer, the same at every position: (B, N, C) -> (B, N, C), nothing moved around."""
    return F.linear(places, convolution.weight.flatten(1), convolution.bias)
