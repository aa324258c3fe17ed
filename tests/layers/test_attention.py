"""Attention: the formula written out, torch's kernel, torch's own layer and diffusers' compute the same, masks too."""

from collections.abc import Callable

import pytest
import torch
from diffusers.models.attention_processor import Attention as Theirs
from torch import nn

from stablediff_edu.layers.attention import Attention, attention_weights, causal_mask, record_attention

TOLERANCE = 1e-12  # measured: 4e-16 … 2e-15
BATCH, PLACES, LOOKED_AT, FEATURES, HEADS = 2, 5, 7, 12, 3


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def randomised(model: nn.Module) -> nn.Module:
    """Give every parameter a random value, biases too, and compute in float64."""
    model.double().requires_grad_(False).eval()
    for seed, parameter in enumerate(model.parameters()):
        parameter.copy_(normal(*parameter.shape, seed=seed) / parameter.shape[-1] ** 0.5)
    return model


def some_mask(*shape: int) -> torch.Tensor:
    """A random mask in which everybody may look somewhere."""
    mask = normal(*shape, seed=9) > 0
    mask[..., 0] = True
    return mask


def written_out(model: Attention, x: torch.Tensor, context: torch.Tensor | None, mask: torch.Tensor | None):
    """Softmax and sum head by head and row by row, with Python's loops: nothing is shared with the class."""
    context = x if context is None else context
    q, k, v = model.to_q(x), model.to_k(context), model.to_v(context)
    size = q.shape[2] // model.heads
    if mask is not None:
        mask = mask.expand(len(x), model.heads, x.shape[1], context.shape[1])
    found = torch.zeros_like(q)
    for b in range(len(x)):
        for head in range(model.heads):
            part = slice(head * size, (head + 1) * size)
            for n in range(x.shape[1]):
                allowed = [m for m in range(context.shape[1]) if mask is None or mask[b, head, n, m]]
                shares = [torch.exp(q[b, n, part] @ k[b, m, part] / size**0.5) for m in allowed]
                for m, share in zip(allowed, shares, strict=True):
                    found[b, n, part] += share / sum(shares) * v[b, m, part]
    return model.to_out(found)


MASKS = {
    "no mask": lambda n, m: None,
    "causal": lambda n, m: torch.ones(n, m, dtype=torch.bool).tril(),
    "each pair": lambda n, m: some_mask(n, m),
    "padding": lambda n, m: some_mask(BATCH, 1, 1, m),
    "each head": lambda n, m: some_mask(BATCH, HEADS, n, m),
}
Mask = Callable[[int, int], torch.Tensor | None]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("crossed", [False, True], ids=["self", "cross"])
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_it_is_the_formula_written_out(mask: Mask, crossed: bool, bias: bool):
    model = randomised(Attention(FEATURES, HEADS, 8 if crossed else None, bias))
    x, context = normal(BATCH, PLACES, FEATURES), normal(BATCH, LOOKED_AT, 8, seed=1) if crossed else None
    chosen = mask(PLACES, LOOKED_AT if crossed else PLACES)
    want = written_out(model, x, context, chosen)
    assert (model(x, context, chosen) - want).abs().max() < TOLERANCE


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_the_softmax_written_out_is_torchs_fused_kernel(mask: Mask):
    q, k, v = (normal(BATCH, HEADS, length, 4, seed=length) for length in (PLACES, LOOKED_AT, LOOKED_AT))
    chosen = mask(PLACES, LOOKED_AT)
    fused = nn.functional.scaled_dot_product_attention(q, k, v, chosen)
    assert (attention_weights(q, k, chosen) @ v - fused).abs().max() < TOLERANCE


def torchs_own(model: Attention, context_features: int) -> nn.MultiheadAttention:
    """nn.MultiheadAttention with the same weights."""
    theirs = nn.MultiheadAttention(
        FEATURES, HEADS, kdim=context_features, vdim=context_features, batch_first=True, dtype=torch.float64
    ).requires_grad_(False)
    parts = [model.to_q, model.to_k, model.to_v]
    if context_features == FEATURES:
        theirs.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
    else:
        for name, part in zip("qkv", parts, strict=True):
            getattr(theirs, f"{name}_proj_weight").copy_(part.weight)
    theirs.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
    theirs.out_proj.load_state_dict(model.to_out[0].state_dict())
    return theirs


@pytest.mark.parametrize("crossed", [False, True], ids=["self", "cross"])
@pytest.mark.parametrize("name", ["no mask", "causal", "each pair", "each head"])
def test_it_is_torchs_own_layer_and_so_are_its_weights(name: str, crossed: bool):
    features = 8 if crossed else FEATURES
    model = randomised(Attention(FEATURES, HEADS, features, bias=True))
    x = normal(BATCH, PLACES, FEATURES)
    context = normal(BATCH, LOOKED_AT, features, seed=1) if crossed else x
    mask = MASKS[name](PLACES, context.shape[1])
    forbidden = None if mask is None else ~(mask.flatten(0, 1) if mask.ndim == 4 else mask)
    want, weights = torchs_own(model, features)(x, context, context, attn_mask=forbidden, average_attn_weights=False)
    assert (model(x, context if crossed else None, mask) - want).abs().max() < TOLERANCE
    assert (model.weights(x, context if crossed else None, mask) - weights).abs().max() < TOLERANCE


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("crossed", [False, True], ids=["self", "cross"])
@pytest.mark.parametrize("name", ["no mask", "each pair"])
def test_it_is_diffusers_attention(name: str, crossed: bool, bias: bool):
    model = randomised(Attention(FEATURES, HEADS, 8 if crossed else None, bias))
    theirs = Theirs(FEATURES, 8 if crossed else None, heads=HEADS, dim_head=FEATURES // HEADS, bias=bias).double()
    theirs.load_state_dict(model.state_dict())
    x, context = normal(BATCH, PLACES, FEATURES), normal(BATCH, LOOKED_AT, 8, seed=1) if crossed else None
    mask = MASKS[name](PLACES, LOOKED_AT if crossed else PLACES)
    added = None if mask is None else torch.zeros(mask.shape, dtype=torch.float64).masked_fill(~mask, -torch.inf)
    want = theirs(x, context, attention_mask=None if added is None else added.expand(BATCH * HEADS, -1, -1))
    assert (model(x, context, mask) - want).abs().max() < TOLERANCE


def test_long_vectors_leave_the_weights_soft():
    """Scores are divided by √F: else they would grow with it, and every softmax would choose one place alone."""
    for features in (16, 64, 1024):
        q, k = normal(50, features), normal(50, features, seed=1)
        assert attention_weights(q, k).amax(dim=1).mean() < 0.25
    assert (q @ k.T).softmax(dim=1).amax(dim=1).mean() > 0.9


def test_rows_sum_to_one_and_nobody_takes_from_what_is_masked():
    mask = some_mask(PLACES, LOOKED_AT)
    weights = attention_weights(normal(BATCH, HEADS, PLACES, 4), normal(BATCH, HEADS, LOOKED_AT, 4, seed=1), mask)
    assert (weights.sum(dim=-1) - 1).abs().max() < TOLERANCE
    assert (weights[..., ~mask] == 0).all() and (weights[..., mask] > 0).all()


def test_who_may_look_nowhere_finds_nothing():
    mask = some_mask(PLACES, PLACES)
    mask[2] = False
    model = randomised(Attention(FEATURES, HEADS))
    x = normal(BATCH, PLACES, FEATURES)
    assert (model.weights(x, mask=mask)[:, :, 2] == 0).all()
    assert torch.equal(model(x, mask=mask)[:, 2], model.to_out[0].bias.expand(BATCH, -1))


@pytest.mark.parametrize("how", [dict(mask=causal_mask(PLACES)), dict(causal=True)], ids=["mask", "causal"])
def test_a_causal_mask_keeps_what_comes_later_from_what_came_before(how: dict):
    model = randomised(Attention(FEATURES, HEADS))
    x = normal(1, PLACES, FEATURES)
    other = x.clone()
    other[:, 3:] = normal(1, 2, FEATURES, seed=5)
    before, after = (model(each, **how) for each in (x, other))
    assert torch.equal(model.weights(x, **how), model.weights(x, mask=causal_mask(PLACES)))
    assert torch.equal(before[:, :3], after[:, :3]) and (before[:, 3:] - after[:, 3:]).abs().min() > 0
    assert (model(x)[:, :3] - model(other)[:, :3]).abs().max() > 1e-3  # without the mask they do notice


def test_without_positions_it_knows_no_order():
    model, order = randomised(Attention(FEATURES, HEADS)), torch.tensor([3, 0, 4, 1, 2])
    x = normal(BATCH, PLACES, FEATURES)
    assert (model(x[:, order]) - model(x)[:, order]).abs().max() < TOLERANCE


def test_watching_sees_every_layer_and_changes_nothing():
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = Attention(FEATURES, HEADS), Attention(FEATURES, 2, 8)

        def forward(self, x, context):
            return self.second(self.first(x, mask=causal_mask(PLACES)), context)

    model = randomised(Two())
    x, context = normal(BATCH, PLACES, FEATURES), normal(BATCH, LOOKED_AT, 8, seed=1)
    with record_attention(model) as seen:
        answer = model(x, context)
    assert torch.equal(answer, model(x, context))
    middle = model.first(x, mask=causal_mask(PLACES))
    assert torch.equal(seen["first"], model.first.weights(x, mask=causal_mask(PLACES)))
    assert torch.equal(seen["second"], model.second.weights(middle, context))
    seen.clear()
    model(x, context)
    assert not seen  # nobody watches any more


def test_watching_ends_with_an_error_too():
    model = Attention(FEATURES)
    with pytest.raises(RuntimeError), record_attention(model):
        model(torch.zeros(1, 2, FEATURES + 1))
    assert not model._forward_pre_hooks


def test_heads_must_share_out_the_features():
    with pytest.raises(ValueError, match="10 dimensions cannot be shared out among 4 heads"):
        Attention(10, 4)
