"""The transformer block: torch's own and diffusers' compute the same, with mask, context and either activation."""

import pytest
import torch
import torch.nn.functional as F
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import nn

from stablediff_edu.layers.attention import causal_mask
from stablediff_edu.layers.transformer import GEGLU, MLP, SpatialTransformer, TransformerBlock, quick_gelu

TOLERANCE = 1e-12  # measured: 2e-15
FEATURES, HEADS, CONTEXT = 12, 3, 8


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def randomised(model: nn.Module) -> nn.Module:
    model.double().requires_grad_(False).eval()
    for seed, parameter in enumerate(model.parameters()):
        parameter.copy_(normal(*parameter.shape, seed=seed) / parameter.shape[-1] ** 0.5)
    return model


def torchs_own(ours: TransformerBlock, activation) -> nn.TransformerEncoderLayer:
    """nn.TransformerEncoderLayer, pre-norm, with the same weights."""
    theirs = nn.TransformerEncoderLayer(
        FEATURES, HEADS, 4 * FEATURES, dropout=0, activation=activation, batch_first=True, norm_first=True
    )
    theirs.double().requires_grad_(False).eval()
    parts = [ours.attention.query, ours.attention.key, ours.attention.value]
    theirs.self_attn.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
    theirs.self_attn.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
    pairs = [(theirs.self_attn.out_proj, ours.attention.out), (theirs.linear1, ours.mlp.first)]
    pairs += [(theirs.linear2, ours.mlp.second), (theirs.norm1, ours.norm1), (theirs.norm2, ours.norm2)]
    for their_part, our_part in pairs:
        their_part.load_state_dict(our_part.state_dict())
    return theirs


@pytest.mark.parametrize("activation", [F.gelu, quick_gelu])
@pytest.mark.parametrize("causal", [False, True])
def test_it_is_torchs_own_layer(causal: bool, activation):
    ours = randomised(TransformerBlock(FEATURES, HEADS, activation=activation))
    mask = causal_mask(5) if causal else None
    x = normal(2, 5, FEATURES)
    want = torchs_own(ours, activation)(x, src_mask=None if mask is None else ~mask)
    for found in (ours(x, mask=mask), ours(x, causal=causal)):
        assert (found - want).abs().max() < TOLERANCE


def from_diffusers(name: str) -> str:
    """What diffusers calls a part -> what it is called here."""
    rules = {"norm2": "norm_cross", "norm3": "norm2", "attn1": "attention", "attn2": "cross", "to_out.0": "out"}
    rules |= {"to_q": "query", "to_k": "key", "to_v": "value", "ff.net.0.proj": "mlp.first", "ff.net.2": "mlp.second"}
    for theirs, ours in rules.items():
        if theirs in name:
            name = name.replace(theirs, ours)
            if theirs == "norm2":
                break
    return name


@pytest.mark.parametrize("gated", [False, True])
def test_with_a_context_it_is_diffusers_block(gated: bool):
    activation = "geglu" if gated else "gelu"
    theirs = randomised(
        BasicTransformerBlock(FEATURES, HEADS, FEATURES // HEADS, cross_attention_dim=CONTEXT, activation_fn=activation)
    )
    ours = TransformerBlock(FEATURES, HEADS, CONTEXT, bias=False, geglu=gated).double().eval()
    ours.load_state_dict({from_diffusers(name): value for name, value in theirs.state_dict().items()})
    x, context = normal(2, 5, FEATURES), normal(2, 4, CONTEXT, seed=1)
    assert (ours(x, context) - theirs(x, encoder_hidden_states=context)).abs().max() < TOLERANCE


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["contiguous", "channels_last"])
def test_for_pictures_it_is_diffusers_transformer(layout: torch.memory_format):
    theirs = randomised(
        Transformer2DModel(HEADS, FEATURES // HEADS, FEATURES, cross_attention_dim=CONTEXT, norm_num_groups=4)
    )
    ours = SpatialTransformer(FEATURES, HEADS, CONTEXT, groups=4).double().eval()
    called = {"transformer_blocks": "blocks", "proj_in": "enter", "proj_out": "leave"}
    for name, value in theirs.state_dict().items():
        head, _, rest = name.partition(".")
        rest = from_diffusers(rest) if head == "transformer_blocks" else rest
        ours.get_parameter(f"{called.get(head, head)}.{rest}").data.copy_(value)
    x, context = normal(2, FEATURES, 3, 5).to(memory_format=layout), normal(2, 4, CONTEXT, seed=1)
    assert (ours(x, context) - theirs(x, context, return_dict=False)[0]).abs().max() < TOLERANCE


def test_geglu_passes_on_nothing_where_the_gate_is_shut():
    mlp = randomised(GEGLU(FEATURES, 20))
    mlp.first.weight[20:] = 0
    mlp.first.bias[20:] = -40  # the gates: GELU(-40) = 0
    assert torch.equal(mlp(normal(2, 5, FEATURES)), mlp.second.bias.expand(2, 5, -1))


MISTAKES = {
    "another eps": lambda block: setattr(block.norm1, "eps", 1e-6),
    "another eps of the second norm": lambda block: setattr(block.norm2, "eps", 1e-6),
    "the other activation": lambda block: setattr(block.mlp, "activation", quick_gelu),
    "no bias of the query": lambda block: block.attention.query.bias.zero_(),
    "fewer heads": lambda block: setattr(block.attention, "heads", 2),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_the_comparison_finds(mistake):
    ours = randomised(TransformerBlock(FEATURES, HEADS))
    theirs = torchs_own(ours, F.gelu)
    mistake(ours)
    x = normal(2, 5, FEATURES)
    assert (ours(x) - theirs(x)).abs().max() > 1e6 * TOLERANCE


def test_quick_gelu_is_nearly_gelu():
    x = torch.linspace(-6, 6, 2001)
    assert 0.015 < (quick_gelu(x) - F.gelu(x)).abs().max() < 0.021
    assert torch.equal(quick_gelu(x), x * torch.sigmoid(1.702 * x))


def test_parts_that_find_nothing_leave_the_places_as_they_are():
    block = randomised(TransformerBlock(FEATURES, HEADS, CONTEXT))
    for last in (block.attention.out, block.cross.out, block.mlp.second):
        last.weight.zero_()
        last.bias.zero_()
    x = normal(2, 5, FEATURES)
    assert torch.equal(block(x, normal(2, 4, CONTEXT)), x)


def test_it_has_the_parameters_of_a_clip_layer():
    with torch.device("meta"):
        layer = TransformerBlock(768, 12, activation=quick_gelu)
    assert sum(parameter.numel() for parameter in layer.parameters()) == 7_087_872  # × 12 + embeddings: 123,060,480
    assert layer.norm1.eps == layer.norm2.eps == 1e-5


def test_the_mlp_thinks_about_each_place_alone():
    mlp = randomised(MLP(FEATURES, 20))
    x = normal(2, 5, FEATURES)
    assert (mlp(x)[:, 2] - mlp(x[:, 2])).abs().max() < TOLERANCE
