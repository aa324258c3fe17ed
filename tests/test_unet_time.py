"""The U-Net that is conditioned on the timestep: what time, patch and attention add, and that each part really takes
part."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stablediff_edu.layers.attention import Attention
from stablediff_edu.layers.conv_blocks import DoubleConv, SpatialSelfAttention, TimestepEmbedding
from stablediff_edu.layers.embeddings import sinusoidal_embedding
from stablediff_edu.models.probing import ablate_time_embedding
from stablediff_edu.models.unet import UNet, count_parameters


def woken(model: nn.Module) -> nn.Module:
    """Give every parameter a random value, so that nothing is hidden behind a zero."""
    torch.manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model.eval()


@pytest.fixture
def model() -> nn.Module:
    return woken(UNet(3, 3, (8, 12, 16), time=16, patch=2, attention=2))


X = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("patch", [1, 2, 4])
@pytest.mark.parametrize("attention", [0, 1, 3])
def test_the_answer_has_the_shape_of_the_picture(patch: int, attention: int):
    model = UNet(3, 3, (8, 12, 16), time=16, patch=patch, attention=attention)
    assert model.shrink == 4 * patch
    assert model(X, torch.tensor([0, 999])).shape == X.shape


def test_without_time_it_is_the_network_of_chapter_2():
    names = {name.partition(".")[0] for name in UNet(3, 1, (8, 12)).state_dict()}
    assert names == {"down", "middle", "larger", "up", "last"}


def test_every_picture_is_told_its_own_step(model: nn.Module):
    together = model(X, torch.tensor([3, 700]))
    alone = [model(X[i : i + 1], torch.tensor([t])) for i, t in enumerate((3, 700))]
    assert torch.allclose(together, torch.cat(alone), atol=1e-5)
    assert not torch.allclose(together, model(X, torch.tensor([700, 3])), atol=1e-3)


def test_the_step_reaches_every_stage(model: nn.Module):
    t = torch.tensor([10, 500])
    told = model(X, t)
    for name in model.stages():
        if name == "output":
            continue
        with ablate_time_embedding(model, name):
            assert not torch.allclose(told, model(X, t), atol=1e-4), name
    assert torch.equal(told, model(X, t))  # and afterwards all is as before


def test_keeping_the_step_from_a_stage_takes_its_share_away():
    block = woken(DoubleConv(3, 4, time_features=6))
    x, time = X[:, :, :4, :4], torch.randn(2, 6)
    found = block.activation(block.first_norm(block.first(x)))
    share = block.time(time)[:, :, None, None]
    by_hand = block.shortcut(x) + block.activation(block.second_norm(block.second(found + share)))
    assert torch.allclose(block(x, time), by_hand, atol=1e-6)


def test_a_new_block_passes_on_what_came_in():
    block = DoubleConv(8, 8, time_features=4)
    x = torch.randn(1, 8, 6, 6)
    assert torch.allclose(block(x, torch.randn(1, 4)), x)


def test_attention_stands_at_the_smallest_stages():
    def here(model: UNet) -> list[str]:
        looks = [*model.look_down, model.look_middle, *model.look_up]
        names = [name for name in model.stages() if name != "output"]
        return [name for name, look in zip(names, looks, strict=True) if isinstance(look, SpatialSelfAttention)]

    sizes = (8, 8, 8)
    assert here(UNet(channels=sizes, time=4)) == []
    assert here(UNet(channels=sizes, time=4, attention=1)) == ["middle"]
    assert here(UNet(channels=sizes, time=4, attention=2)) == ["down 2", "middle", "up 2"]
    assert here(UNet(channels=sizes, time=4, attention=3)) == ["down 1", "down 2", "middle", "up 2", "up 1"]


def test_a_block_is_told_the_time_if_and_only_if_it_was_made_for_it():
    x, time = torch.zeros(1, 8, 4, 4), torch.zeros(1, 4)
    for block, wrong in ((DoubleConv(8, 8, 4), (x,)), (DoubleConv(8, 8), (x, time))):
        with pytest.raises(TypeError):
            block(*wrong)


def test_the_time_embedding_starts_from_the_waves():
    embedding = TimestepEmbedding(8)
    t = torch.tensor([0, 7, 999])
    assert torch.equal(embedding(t), embedding.layers(sinusoidal_embedding(t.float(), 8)))
    assert embedding(t).shape == (3, 8)


def test_attention_is_torchs_own():
    """Against nn.MultiheadAttention with the same weights, in float64."""
    ours = woken(Attention(12, heads=3)).double()
    theirs = nn.MultiheadAttention(12, 3, bias=True, batch_first=True).double()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key.weight, ours.value.weight]))
        theirs.in_proj_bias.zero_()
        theirs.out_proj.weight.copy_(ours.out.weight)
        theirs.out_proj.bias.copy_(ours.out.bias)
    x = torch.randn(2, 5, 12, dtype=torch.float64)
    assert torch.allclose(ours(x), theirs(x, x, x, need_weights=False)[0], atol=1e-12)


def test_attention_to_a_context_is_torchs_own():
    ours = woken(Attention(12, heads=2, context_features=7)).double()
    x, context = torch.randn(2, 5, 12, dtype=torch.float64), torch.randn(2, 3, 7, dtype=torch.float64)
    q, k, v = ours.query(x), ours.key(context), ours.value(context)
    heads = [
        F.softmax(q[..., part] @ k[..., part].transpose(1, 2) / 6**0.5, dim=-1) @ v[..., part]
        for part in (slice(0, 6), slice(6, 12))
    ]
    assert torch.allclose(ours(x, context), ours.out(torch.cat(heads, dim=-1)), atol=1e-12)


def test_heads_must_share_out_the_features():
    with pytest.raises(ValueError, match="10 features cannot be shared out among 4 heads"):
        Attention(10, 4)


def test_a_patch_costs_no_parameters_but_at_both_ends():
    plain, patched = (UNet(3, 3, (8, 12, 16), time=16, patch=patch) for patch in (1, 2))
    ends = (12 - 3) * 8 * 9 + (12 - 3) * 8 + (12 - 3) * (8 + 1)  # first kernels, first shortcut, last layer
    assert count_parameters(patched) - count_parameters(plain) == ends
