"""Scaled dot-product attention, self and cross (Vaswani et al., 2017, section
3.2)."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import nn


def attention_weights(q: torch.Tensor, k: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Return the attention weights of queries and keys: (..., N, F), (..., M, F) -> (..., N, M), rows of sum 1.

    softmax(q kᵀ / √F), written out. `mask`, (N, M) or anything that broadcasts to (..., N, M), is True where a query
    may attend; a query that may attend to nothing gets zeros.
    """
    scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5  # by chance they grow with √F, and the softmax would saturate
    if mask is None:
        return scores.softmax(dim=-1)
    return scores.masked_fill(~mask, -torch.inf).softmax(dim=-1).masked_fill(~mask, 0)


def causal_mask(length: int, device: torch.device | str | None = None) -> torch.Tensor:
    """Return the mask (N, N) with which a position attends to itself and the positions before it."""
    return torch.ones(length, length, dtype=torch.bool, device=device).tril()


class Attention(nn.Module):
    """Self-attention, or cross-attention when a context is given: (B, N, features) -> (B, N, features).

    Args:
        features: of every position.
        heads: number of heads, each of features / heads dimensions.
        context_features: of every position of the context, if that differs.
        bias: whether query, key and value have one, as in CLIP and in Stable Diffusion's autoencoder. (The key's
            changes nothing: it adds the same to all scores of a query, and the softmax takes no notice.)
    """

    def __init__(self, features: int, heads: int = 4, context_features: int | None = None, bias: bool = False) -> None:
        super().__init__()
        if features % heads:
            raise ValueError(f"{features} features cannot be shared out among {heads} heads")
        self.heads = heads
        self.query = nn.Linear(features, features, bias=bias)
        self.key = nn.Linear(context_features or features, features, bias=bias)
        self.value = nn.Linear(context_features or features, features, bias=bias)
        self.out = nn.Linear(features, features)

    def forward(
        self,
        x: torch.Tensor,
        context: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        causal: bool = False,
    ) -> torch.Tensor:
        """Attend from positions (B, N, features) to the context (B, M, context_features), or to themselves.

        `mask` is True where a position may attend: (N, M), (B, 1, 1, M), or anything that broadcasts to (B, heads, N,
        M). `causal` is the mask of `causal_mask` without a tensor: a GPU's fastest kernel takes no other.
        """
        context = x if context is None else context
        q, k, v = (self._split(part) for part in (self.query(x), self.key(context), self.value(context)))
        # attention_weights(q, k, mask) @ v, in one fast kernel
        found = F.scaled_dot_product_attention(q, k, v, mask, is_causal=causal)
        return self.out(found.transpose(1, 2).flatten(2))  # (B, heads, N, F/heads) -> (B, N, features)

    def weights(
        self,
        x: torch.Tensor,
        context: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        causal: bool = False,
    ) -> torch.Tensor:
        """Return the attention weights, for figures: (B, heads, N, M)."""
        context = x if context is None else context
        mask = causal_mask(x.shape[1], x.device) if causal else mask
        return attention_weights(self._split(self.query(x)), self._split(self.key(context)), mask)

    def _split(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)  # (B, N, features) -> (B, heads, N, features/heads)


@contextmanager
def record_attention(model: nn.Module) -> Iterator[dict[str, torch.Tensor]]:
    """Record the attention weights of every `Attention` in a model: name -> (B, heads, N, M).

    with record_attention(model) as seen:
        model(x)
    """
    seen: dict[str, torch.Tensor] = {}

    def watch(name: str, attention: Attention):
        @torch.no_grad()
        def look(_, args: tuple, named: dict) -> None:
            seen[name] = attention.weights(*args, **named)

        return attention.register_forward_pre_hook(look, with_kwargs=True)

    hooks = [watch(name, part) for name, part in model.named_modules() if isinstance(part, Attention)]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
