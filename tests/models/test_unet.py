"""The U-Net: sizes and parameters that follow from the channel list, receptive fields, and what can be read inside."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from stablediff_edu.errors import UserError
from stablediff_edu.layers.conv import effective_receptive_field, receptive_field, receptive_field_size
from stablediff_edu.layers.conv_blocks import DoubleConv, SpatialSelfAttention
from stablediff_edu.models.probing import ablate_time_embedding
from stablediff_edu.models.unet import UNet, count_parameters

SMALL = (4, 8, 12, 16)


def expected_parameters(in_channels: int, out_channels: int, channels: list[int], skips: bool) -> int:
    """Count by hand what the channel list implies: 3×3 weights, a scale and an offset per normalized channel, …"""

    def block(a: int, b: int) -> int:
        return 9 * a * b + 9 * b * b + 4 * b

    total = sum(block(a, b) for a, b in pairwise([in_channels, *channels]))
    for b, a in pairwise(channels):
        total += 4 * a * b + b + block(2 * b if skips else b, b)
    return total + channels[0] * out_channels + out_channels


@pytest.mark.parametrize("skips", [True, False])
def test_full_size_has_exactly_the_parameters_of_its_channel_list(skips):
    model = UNet(skips=skips)
    assert count_parameters(model) == expected_parameters(3, 1, [64, 128, 256, 512, 1024], skips)


def test_full_size_middle_is_1024_channels_at_a_sixteenth():
    model = UNet().eval()
    with torch.no_grad(), model.record_activations() as maps:
        output = model(torch.zeros(1, 3, 64, 96))
    assert maps["middle"].shape == (1, 1024, 4, 6)
    assert [maps[f"down {i}"].shape[1] for i in (1, 2, 3, 4)] == [64, 128, 256, 512]
    assert [maps[f"up {i}"].shape[1] for i in (4, 3, 2, 1)] == [512, 256, 128, 64]
    assert output.shape == (1, 1, 64, 96)


@settings(max_examples=15, deadline=None)
@given(rows=st.integers(1, 5), columns=st.integers(1, 5), batch=st.integers(1, 2), skips=st.booleans())
def test_output_is_as_large_as_any_input_that_divides(rows, columns, batch, skips):
    model = UNet(1, 2, SMALL, skips=skips)
    assert model(torch.zeros(batch, 1, 8 * rows, 8 * columns)).shape == (batch, 2, 8 * rows, 8 * columns)


def test_wrong_size_names_the_sizes_that_work():
    with pytest.raises(UserError, match=r"multiples of 8: 20×30 does not work.*16×24 or 24×32"):
        UNet(channels=SMALL)(torch.zeros(1, 3, 20, 30))
    with pytest.raises(UserError, match="8×8 or 8×8"):
        UNet(channels=SMALL)(torch.zeros(1, 3, 5, 5))


class Widen(torch.nn.Conv2d):
    """A convolution instead of a block, which may be conditioned on the timestep."""

    def forward(self, x, time=None):
        return super().forward(x)


def test_skips_carry_detail_across():
    """Change one input pixel by a checker that averaging cancels: only a skip connection can let it through."""
    torch.manual_seed(0)
    checker = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(8, 8)
    for skips, expected in ((True, True), (False, False)):
        model = UNet(1, 1, SMALL, skips=skips).double()
        # an identity-like first block keeps the checker what it is: only the average decides what gets down
        model.encoder[0] = Widen(1, SMALL[0], 1, bias=False).double()
        plain = model(torch.zeros(1, 1, 16, 16).double())
        checked = model(checker.view(1, 1, 16, 16).double())
        assert ((plain - checked).abs().max().item() > 1e-6) is expected


def test_watch_records_every_stage_and_costs_nothing_afterwards():
    model = UNet(channels=SMALL)
    x = torch.zeros(1, 3, 16, 16)
    with model.record_activations() as maps:
        output = model(x)
    assert (
        list(maps) == list(model.stages()) == ["down 1", "down 2", "down 3", "middle", "up 3", "up 2", "up 1", "output"]
    )
    assert torch.equal(maps["output"], output)
    assert not any(module._forward_hooks for module in model.modules())


def test_the_last_convolution_is_a_weighted_sum_of_maps():
    model = UNet(channels=SMALL)
    with torch.no_grad(), model.record_activations() as maps:
        output = model(torch.randn(1, 3, 16, 16))
    by_hand = torch.einsum("c,chw->hw", model.conv_out.weight[0, :, 0, 0], maps["up 1"][0]) + model.conv_out.bias
    assert torch.allclose(by_hand, output[0, 0], atol=1e-6)


def test_fields_of_view_agree_with_the_general_formula_on_the_way_down():
    layers, expected = [], {}
    for level in (1, 2, 3):
        layers += [(3, 1), (3, 1)]
        expected[f"down {level}"] = receptive_field(layers)[-1].size
        layers.append((2, 2))
    expected["middle"] = receptive_field([*layers, (3, 1), (3, 1)])[-1].size
    fields = UNet(channels=SMALL).receptive_fields()
    assert {name: fields[name] for name in expected} == expected
    assert UNet().receptive_fields()["middle"] == 140


@pytest.mark.parametrize("patch", [1, 2])
@pytest.mark.parametrize("stage", ["down 1", "down 2", "middle", "up 2", "up 1"])
def test_fields_of_view_are_what_gradients_measure(stage, patch):
    torch.manual_seed(0)
    model = UNet(channels=(4, 6, 8), patch=patch)

    def read(network, x):
        with network.record_activations() as maps:
            network(x)
        return maps[stage]

    footprint = effective_receptive_field(model, (1, 3, 96, 96), forward_fn=read)
    assert receptive_field_size(footprint) == (model.receptive_fields()[stage],) * 2


@pytest.mark.parametrize("attention", [1, 2])
def test_behind_an_attention_everything_is_seen(attention):
    model = UNet(channels=(4, 8, 8), time=8, attention=attention)
    seen = {name for name, field in model.receptive_fields().items() if field == math.inf}
    assert seen == {"up 2", "up 1", "output", *["middle"] * (attention == 2)}
    assert "inf px" in model.summary(16), "a network with time is told one"


def test_summary_prints_real_shapes_and_the_total():
    text = UNet().summary(64)
    assert "1 × 1024 × 4 × 4" in text and "140 px" in text
    counted = [int(line.split()[-3].replace(",", "")) for line in text.splitlines()[1:-1]]
    assert sum(counted) == count_parameters(UNet())
    assert f"{count_parameters(UNet()):,}" in text.splitlines()[-1]


# --- conditioned on the timestep --------------------------------------------------------------------------------------


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
    assert names == {"encoder", "bottleneck", "upsample", "decoder", "conv_out"}


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
    found = block.activation(block.norm1(block.conv1(x)))
    share = block.time_emb_proj(time)[:, :, None, None]
    by_hand = block.conv_shortcut(x) + block.activation(block.norm2(block.conv2(found + share)))
    assert torch.allclose(block(x, time), by_hand, atol=1e-6)


def test_a_new_block_passes_on_what_came_in():
    block = DoubleConv(8, 8, time_features=4)
    x = torch.randn(1, 8, 6, 6)
    assert torch.allclose(block(x, torch.randn(1, 4)), x)


def test_attention_stands_at_the_smallest_stages():
    def here(model: UNet) -> list[str]:
        looks = [*model.encoder_attention, model.bottleneck_attention, *model.decoder_attention]
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


def test_a_patch_costs_no_parameters_but_at_both_ends():
    plain, patched = (UNet(3, 3, (8, 12, 16), time=16, patch=patch) for patch in (1, 2))
    ends = (12 - 3) * 8 * 9 + (12 - 3) * 8 + (12 - 3) * (8 + 1)  # first kernels, first shortcut, last layer
    assert count_parameters(patched) - count_parameters(plain) == ends
