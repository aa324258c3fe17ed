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
    """Self-attention, or cross-attention when a context is given: (B, N, query_dim) -> (B, N, query_dim).

    Args:
        query_dim: dimensions of every position.
        heads: number of heads, each of query_dim / heads dimensions.
        cross_attention_dim: dimensions of every position of the context, if they differ.
        bias: whether query, key and value have one, as in CLIP and in Stable Diffusion's autoencoder. (The key's
            changes nothing: it adds the same to all scores of a query, and the softmax takes no notice.)
    """

    def __init__(
        self, query_dim: int, heads: int = 4, cross_attention_dim: int | None = None, bias: bool = False
    ) -> None:
        super().__init__()
        if query_dim % heads:
            raise ValueError(f"{query_dim} dimensions cannot be shared out among {heads} heads")
        self.heads = heads
        self.to_q = nn.Linear(query_dim, query_dim, bias=bias)
        self.to_k = nn.Linear(cross_attention_dim or query_dim, query_dim, bias=bias)
        self.to_v = nn.Linear(cross_attention_dim or query_dim, query_dim, bias=bias)
        self.to_out = nn.Sequential(nn.Linear(query_dim, query_dim))  # in diffusers a dropout follows: `to_out.0`

    def projections(self) -> tuple[nn.Module, nn.Module, nn.Module, nn.Module]:
        """Return the linear layers of query, key, value and output."""
        return self.to_q, self.to_k, self.to_v, self.to_out

    def forward(
        self,
        x: torch.Tensor,
        context: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        causal: bool = False,
    ) -> torch.Tensor:
        """Attend from positions (B, N, query_dim) to the context (B, M, cross_attention_dim), or to themselves.

        `mask` is True where a position may attend: (N, M), (B, 1, 1, M), or anything that broadcasts to (B, heads, N,
        M). `causal` is the mask of `causal_mask` without a tensor: a GPU's fastest kernel takes no other.
        """
        context = x if context is None else context
        to_q, to_k, to_v, to_out = self.projections()
        q, k, v = (self._split_heads(part) for part in (to_q(x), to_k(context), to_v(context)))
        # attention_weights(q, k, mask) @ v, in one fast kernel
        output = F.scaled_dot_product_attention(q, k, v, mask, is_causal=causal)
        return to_out(output.transpose(1, 2).flatten(2))  # (B, heads, N, dim/heads) -> (B, N, query_dim)

    def weights(
        self,
        x: torch.Tensor,
        context: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        causal: bool = False,
    ) -> torch.Tensor:
        """Return the attention weights, for figures: (B, heads, N, M)."""
        context = x if context is None else context
        to_q, to_k, *_ = self.projections()
        mask = causal_mask(x.shape[1], x.device) if causal else mask
        return attention_weights(self._split_heads(to_q(x)), self._split_heads(to_k(context)), mask)

    def _split_heads(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)  # (B, N, dim) -> (B, heads, N, dim/heads)


@contextmanager
def record_attention(model: nn.Module) -> Iterator[dict[str, torch.Tensor]]:
    """Record the attention weights of every `Attention` in a model: name -> (B, heads, N, M).

    with record_attention(model) as seen:
        model(x)
    """
    seen: dict[str, torch.Tensor] = {}

    def register(name: str, attention: Attention):
        @torch.no_grad()
        def record(_, args: tuple, named: dict) -> None:
            seen[name] = attention.weights(*args, **named)

        return attention.register_forward_pre_hook(record, with_kwargs=True)

    hooks = [register(name, part) for name, part in model.named_modules() if isinstance(part, Attention)]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
