"""Transformer blocks: torch's own and diffusers' compute the same."""

import pytest
import torch
import torch.nn.functional as F
from diffusers.models.transformers import transformer_2d as diffusers
from torch import nn

from stablediff_edu.layers.attention import causal_mask
from stablediff_edu.layers.transformer import (
    GEGLU,
    BasicTransformerBlock,
    CLIPEncoderLayer,
    Transformer2DModel,
    quick_gelu,
)

TOLERANCE = 1e-12  # measured: 2e-15
FEATURES, HEADS, CONTEXT = 12, 3, 8


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def randomised(model: nn.Module) -> nn.Module:
    model.double().requires_grad_(False).eval()
    for seed, parameter in enumerate(model.parameters()):
        parameter.copy_(normal(*parameter.shape, seed=seed) / parameter.shape[-1] ** 0.5)
    return model


def torchs_own(ours: CLIPEncoderLayer) -> nn.TransformerEncoderLayer:
    """nn.TransformerEncoderLayer, pre-norm, with the same weights."""
    theirs = nn.TransformerEncoderLayer(
        FEATURES, HEADS, 4 * FEATURES, dropout=0, activation=quick_gelu, batch_first=True, norm_first=True
    )
    theirs.double().requires_grad_(False).eval()
    parts = [ours.self_attn.q_proj, ours.self_attn.k_proj, ours.self_attn.v_proj]
    theirs.self_attn.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
    theirs.self_attn.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
    pairs = [(theirs.self_attn.out_proj, ours.self_attn.out_proj), (theirs.linear1, ours.mlp.fc1)]
    pairs += [(theirs.linear2, ours.mlp.fc2), (theirs.norm1, ours.layer_norm1), (theirs.norm2, ours.layer_norm2)]
    for their_part, our_part in pairs:
        their_part.load_state_dict(our_part.state_dict())
    return theirs


def test_clips_layer_is_torchs_own():
    ours, x = randomised(CLIPEncoderLayer(FEATURES, HEADS)), normal(2, 5, FEATURES)
    assert (ours(x) - torchs_own(ours)(x, src_mask=~causal_mask(5))).abs().max() < TOLERANCE


def test_the_block_is_that_of_diffusers():
    theirs = randomised(
        diffusers.BasicTransformerBlock(
            FEATURES, HEADS, FEATURES // HEADS, cross_attention_dim=CONTEXT, activation_fn="geglu"
        )
    )
    ours = BasicTransformerBlock(FEATURES, HEADS, CONTEXT).double().eval()
    ours.load_state_dict(theirs.state_dict())
    x, context = normal(2, 5, FEATURES), normal(2, 4, CONTEXT, seed=1)
    assert (ours(x, context) - theirs(x, encoder_hidden_states=context)).abs().max() < TOLERANCE


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["contiguous", "channels_last"])
def test_for_pictures_it_is_diffusers_transformer(layout: torch.memory_format):
    theirs = randomised(
        diffusers.Transformer2DModel(HEADS, FEATURES // HEADS, FEATURES, cross_attention_dim=CONTEXT, norm_num_groups=4)
    )
    ours = Transformer2DModel(FEATURES, HEADS, CONTEXT, norm_num_groups=4).double().eval()
    ours.load_state_dict(theirs.state_dict())
    x, context = normal(2, FEATURES, 3, 5).to(memory_format=layout), normal(2, 4, CONTEXT, seed=1)
    assert (ours(x, context) - theirs(x, context, return_dict=False)[0]).abs().max() < TOLERANCE


def test_geglu_passes_on_nothing_where_the_gate_is_shut():
    layer = randomised(GEGLU(FEATURES, 20))
    layer.proj.weight[20:] = 0
    layer.proj.bias[20:] = -40  # the gates: GELU(-40) = 0
    assert not layer(normal(2, 5, FEATURES)).any()


MISTAKES = {
    "another eps": lambda block: setattr(block.layer_norm1, "eps", 1e-6),
    "another eps of the second norm": lambda block: setattr(block.layer_norm2, "eps", 1e-6),
    "the other activation": lambda block: setattr(block.mlp, "activation", F.gelu),
    "no bias of the query": lambda block: block.self_attn.q_proj.bias.zero_(),
    "fewer heads": lambda block: setattr(block.self_attn, "heads", 2),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_the_comparison_finds(mistake):
    ours = randomised(CLIPEncoderLayer(FEATURES, HEADS))
    theirs = torchs_own(ours)
    mistake(ours)
    x = normal(2, 5, FEATURES)
    assert (ours(x) - theirs(x, src_mask=~causal_mask(5))).abs().max() > 1e6 * TOLERANCE


def test_quick_gelu_is_nearly_gelu():
    x = torch.linspace(-6, 6, 2001)
    assert 0.015 < (quick_gelu(x) - F.gelu(x)).abs().max() < 0.021
    assert torch.equal(quick_gelu(x), x * torch.sigmoid(1.702 * x))


def test_parts_that_find_nothing_leave_the_places_as_they_are():
    block = randomised(BasicTransformerBlock(FEATURES, HEADS, CONTEXT))
    for last in (block.attn1.to_out[0], block.attn2.to_out[0], block.ff.net[2]):
        last.weight.zero_()
        last.bias.zero_()
    x = normal(2, 5, FEATURES)
    assert torch.equal(block(x, normal(2, 4, CONTEXT)), x)
