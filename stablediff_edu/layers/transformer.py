"""Transformer blocks: attention and an MLP, each with a residual connection (Vaswani et al., 2017, figure 1).

Those of Stable Diffusion's U-Net have diffusers' names, those of CLIP's text encoder transformers', so that published
weights load as they are. The normalizations come before each part, not after it, so that the sum passes from block to
block untouched (Xiong et al., 2020, "On layer normalization in the transformer").
"""

import torch
import torch.nn.functional as F
from torch import nn

from stablediff_edu.layers.attention import Attention


def quick_gelu(x: torch.Tensor) -> torch.Tensor:
    """Return x · σ(1.702 x), a quick stand-in for GELU that CLIP was trained with; it differs by up to 0.02."""
    return x * torch.sigmoid(1.702 * x)


class GEGLU(nn.Module):
    """A linear layer with learned gates on its outputs: (B, N, dim_in) -> (B, N, dim_out).

    Of twice as many values the first half is kept; the second half, through GELU, are the gates (Shazeer, 2020, "GLU
    variants improve transformer").
    """

    def __init__(self, dim_in: int, dim_out: int) -> None:
        super().__init__()
        self.proj = nn.Linear(dim_in, 2 * dim_out)
        self.activation = F.gelu  # the exact one; its tanh approximation is off by up to 0.0005

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        value, gate = self.proj(x).chunk(2, dim=-1)  # (B, N, dim_in) -> twice (B, N, dim_out)
        return value * self.activation(gate)


class FeedForward(nn.Module):
    """The MLP of Stable Diffusion's U-Net, for each position alone: (B, N, dim) -> (B, N, 4·dim) -> (B, N, dim)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.net = nn.Sequential(GEGLU(dim, 4 * dim), nn.Identity(), nn.Linear(4 * dim, dim))  # diffusers: a dropout

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


class BasicTransformerBlock(nn.Module):
    """Self-attention, cross-attention and an MLP, in Stable Diffusion's U-Net: (B, N, dim) -> the same.

    Args:
        dim: dimensions of every position.
        num_attention_heads: of both attentions.
        cross_attention_dim: dimensions of every token of the context.
    """

    def __init__(self, dim: int, num_attention_heads: int, cross_attention_dim: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn1 = Attention(dim, num_attention_heads)
        self.norm2 = nn.LayerNorm(dim)
        self.attn2 = Attention(dim, num_attention_heads, cross_attention_dim)
        self.norm3 = nn.LayerNorm(dim)
        self.ff = FeedForward(dim)

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """Take positions (B, N, dim) and the context (B, M, cross_attention_dim)."""
        x = x + self.attn1(self.norm1(x))
        x = x + self.attn2(self.norm2(x), context)
        return x + self.ff(self.norm3(x))


class Transformer2DModel(nn.Module):
    """Self-attention over the positions of an image, and cross-attention to a prompt: (B, C, H, W) -> the same.

    A transformer block between two 1×1 convolutions, with a residual connection (Rombach et al., 2021, section 3.3).

    Args:
        channels: of the image; a multiple of the heads and of the groups.
        num_attention_heads: of both attentions.
        cross_attention_dim: dimensions of every token of the prompt.
        norm_num_groups: of the normalization, whose eps is 1e-6, unlike that of all others in the U-Net.
    """

    def __init__(
        self, channels: int, num_attention_heads: int, cross_attention_dim: int, norm_num_groups: int = 32
    ) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(norm_num_groups, channels, eps=1e-6)
        self.proj_in = nn.Conv2d(channels, channels, 1)
        block = BasicTransformerBlock(channels, num_attention_heads, cross_attention_dim)
        self.transformer_blocks = nn.ModuleList([block])
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """Take images (B, C, H, W) and token embeddings (B, N, cross_attention_dim)."""
        tokens = self.norm(x).flatten(2).transpose(1, 2)  # (B, C, H, W) -> (B, H·W, C)
        tokens = conv1x1_as_linear(self.proj_in, tokens)
        for block in self.transformer_blocks:
            tokens = block(tokens, context)
        return x + conv1x1_as_linear(self.proj_out, tokens).transpose(1, 2).reshape(x.shape)  # -> (B, C, H, W)


def conv1x1_as_linear(convolution: nn.Conv2d, tokens: torch.Tensor) -> torch.Tensor:
    """A 1×1 convolution is a linear layer, the same at every position: (B, N, C) -> (B, N, C), nothing moved around."""
    return F.linear(tokens, convolution.weight.flatten(1), convolution.bias)


class CLIPAttention(Attention):
    """Self-attention with transformers' attribute names."""

    def __init__(self, hidden_size: int, num_attention_heads: int) -> None:
        nn.Module.__init__(self)
        self.heads = num_attention_heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(hidden_size, hidden_size) for _ in range(4))

    def projections(self) -> tuple[nn.Module, nn.Module, nn.Module, nn.Module]:
        return self.q_proj, self.k_proj, self.v_proj, self.out_proj


class CLIPMLP(nn.Module):
    """Two linear layers with GELU between them, for each position alone: (B, N, hidden_size) -> the same."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(hidden_size, 4 * hidden_size)
        self.activation = quick_gelu
        self.fc2 = nn.Linear(4 * hidden_size, hidden_size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(self.activation(self.fc1(x)))


class CLIPEncoderLayer(nn.Module):
    """Causal self-attention and an MLP, in CLIP's text encoder: (B, N, hidden_size) -> (B, N, hidden_size)."""

    def __init__(self, hidden_size: int, num_attention_heads: int) -> None:
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(hidden_size)
        self.self_attn = CLIPAttention(hidden_size, num_attention_heads)
        self.layer_norm2 = nn.LayerNorm(hidden_size)
        self.mlp = CLIPMLP(hidden_size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.self_attn(self.layer_norm1(x), causal=True)
        return x + self.mlp(self.layer_norm2(x))
