"""Attention: every place looks at all others and takes from those that matter (Vaswani et al., 2017, section 3.2)."""

import torch
import torch.nn.functional as F
from torch import nn


class Attention(nn.Module):
    """Self-attention, or cross-attention when a context is given: (B, N, features) -> (B, N, features).

    Args:
        features: of every place.
        heads: how many looks at once, each with features / heads numbers.
        context_features: of every place of the context, if that differs.
    """

    def __init__(self, features: int, heads: int = 4, context_features: int | None = None) -> None:
        super().__init__()
        if features % heads:
            raise ValueError(f"{features} features cannot be shared out among {heads} heads")
        self.heads = heads
        self.query = nn.Linear(features, features, bias=False)
        self.key = nn.Linear(context_features or features, features, bias=False)
        self.value = nn.Linear(context_features or features, features, bias=False)
        self.out = nn.Linear(features, features)

    def forward(self, x: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        context = x if context is None else context  # (B, M, context_features)
        q, k, v = (self._split(part) for part in (self.query(x), self.key(context), self.value(context)))
        found = F.scaled_dot_product_attention(q, k, v)  # softmax(q kᵀ / √(features / heads)) v
        return self.out(found.transpose(1, 2).flatten(2))  # (B, heads, N, F/heads) -> (B, N, features)

    def _split(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)  # (B, N, features) -> (B, heads, N, features/heads)
