"""The U-Net of Stable Diffusion: number by number what diffusers computes, and what each part is there for."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from parity import randomised, shared_pair, their_unet
from torch import nn

from stablediff_edu.errors import UserError
from stablediff_edu.layers import conv_blocks, embeddings
from stablediff_edu.layers.attention import Attention
from stablediff_edu.layers.resnet import ResnetBlock2D
from stablediff_edu.layers.transformer import GEGLU, BasicTransformerBlock, Transformer2DModel
from stablediff_edu.layers.upsample import Downsample2D, Upsample2D
from stablediff_edu.models.unet import count_parameters
from stablediff_edu.models.unet_2d_condition import ATTENTION, PLAIN, V1, UNet2DConditionModel, UNetConfig

TOLERANCE = 1e-12  # measured: 6e-15
TINY = UNetConfig(
    block_out_channels=(8, 16),
    layers_per_block=1,
    down_block_types=(ATTENTION, PLAIN),
    num_attention_heads=2,
    cross_attention_dim=6,
    norm_num_groups=4,
)
CONFIGS = {
    "as in v1, narrow": UNetConfig(
        block_out_channels=(8, 16, 32, 32), num_attention_heads=4, cross_attention_dim=6, norm_num_groups=4
    ),
    "tiny": TINY,
    "attention everywhere": replace(TINY, down_block_types=(ATTENTION, ATTENTION), layers_per_block=2),
    "attention below": replace(TINY, down_block_types=(PLAIN, ATTENTION)),
    "attention in the middle only": replace(TINY, down_block_types=(PLAIN, PLAIN)),
    "one level": UNetConfig(
        block_out_channels=(12,), layers_per_block=3, down_block_types=(ATTENTION,), num_attention_heads=3,
        cross_attention_dim=5, norm_num_groups=3,
    ),
    "three levels, narrower below": UNetConfig(
        in_channels=9, out_channels=2, block_out_channels=(16, 8, 24), layers_per_block=1,
        down_block_types=(PLAIN, ATTENTION, ATTENTION), num_attention_heads=4, cross_attention_dim=7,
        norm_num_groups=8,
    ),
}  # fmt: skip


def pair(config: UNetConfig) -> tuple[UNet2DConditionModel, nn.Module]:
    """Ours and that of diffusers, with the same random weights."""
    theirs = randomised(their_unet(config))
    ours = UNet2DConditionModel(config).double().eval().requires_grad_(False)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def question(config: UNetConfig, batch: int = 2, height: int = 8, width: int = 16, words: int = 5) -> tuple:
    """Random latents, steps and sentences."""
    rng = torch.Generator().manual_seed(1)
    x = torch.randn(batch, config.in_channels, height, width, generator=rng, dtype=torch.float64)
    t = torch.randint(1000, (batch,), generator=rng)
    return x, t, torch.randn(batch, words, config.cross_attention_dim, generator=rng, dtype=torch.float64)


def difference(ours: UNet2DConditionModel, theirs: nn.Module, **sizes: int) -> float:
    """The largest difference between the answers to one question."""
    x, t, context = question(ours.config, **sizes)
    answer, want = ours(x, t, context), theirs(x, t, context).sample
    return (answer - want).abs().max().item() if answer.shape == want.shape else torch.inf


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_it_computes_what_diffusers_computes(config: UNetConfig):
    assert difference(*pair(config)) < TOLERANCE


@pytest.mark.parametrize(
    "sizes",
    [
        dict(height=16, width=8, batch=1),
        dict(height=7, width=13),  # odd at the first level
        dict(height=10, width=9),  # odd further down
        dict(height=1, width=3, batch=3),
        dict(words=1),
        dict(words=77, batch=1),
    ],
    ids=str,
)
def test_it_does_so_for_other_sizes_and_sentences(sizes: dict[str, int]):
    assert difference(*pair(CONFIGS["as in v1, narrow"]), **sizes) < TOLERANCE


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_without_gradients_it_computes_the_same(config: UNetConfig):
    with torch.no_grad():
        assert max(difference(*pair(config)), difference(*pair(config), height=7, width=13)) < TOLERANCE


def parts(model: nn.Module, kind: type) -> list[nn.Module]:
    return [module for module in model.modules() if isinstance(module, kind)]


def for_all(kind: type, change: Callable[[nn.Module], None]) -> Callable[[UNet2DConditionModel], None]:
    """A mistake made in every part of a kind."""

    def mistake(model: UNet2DConditionModel) -> None:
        for part in parts(model, kind):
            change(part)

    return mistake


def setting(path: str, value: object) -> Callable[[nn.Module], None]:
    """Set an attribute of an attribute."""
    *parents, name = path.split(".")
    return lambda part: setattr(part.get_submodule(".".join(parents)), name, value)


def swap_gate_and_value(layer: GEGLU) -> None:
    for parameter in layer.proj.parameters():
        parameter.data = parameter.roll(len(parameter) // 2, 0)


def pad_right_and_bottom(model: UNet2DConditionModel) -> None:
    for part in parts(model, Downsample2D):
        part.conv.padding = (0, 0)


def copies_before_what_comes(model: UNet2DConditionModel) -> None:
    for level in model.up_blocks:
        for block in level.resnets:
            for parameter in (block.conv1.weight, block.conv_shortcut.weight):
                parameter.data = parameter.roll(block.conv1.out_channels, 1)


def enlarge_smoothly(model: UNet2DConditionModel) -> None:
    for part in parts(model, Upsample2D):
        part.forward = lambda x, size, part=part: part.conv(F.interpolate(x, scale_factor=2, mode="bilinear"))


def forget_the_words(attention: Attention) -> None:
    attention.register_forward_pre_hook(lambda _, given: (given[0], torch.zeros_like(given[1])) if given[1:] else given)


def with_bias(name: str) -> Callable[[Attention], None]:
    def change(attention: Attention) -> None:
        linear = getattr(attention, name)
        linear.bias = nn.Parameter(torch.linspace(-1, 1, linear.out_features, dtype=torch.float64))

    return change


def heads_for_size(attention: Attention) -> None:
    attention.heads = attention.to_q.out_features // attention.heads


def swap_norms(block: BasicTransformerBlock) -> None:
    block.norm1, block.norm2 = block.norm2, block.norm1


MISTAKES = (
    {
        "tanh in the GELU": for_all(GEGLU, setting("activation", lambda x: F.gelu(x, approximate="tanh"))),
        "SiLU instead of GELU": for_all(GEGLU, setting("activation", F.silu)),
        "gate first, value second": for_all(GEGLU, swap_gate_and_value),
        "heads mistaken for the size of a head": for_all(Attention, heads_for_size),
        "words ignored": for_all(Attention, forget_the_words),
        "norms of the attentions swapped": for_all(BasicTransformerBlock, swap_norms),
        "eps of the transformers' first norm": for_all(Transformer2DModel, setting("norm.eps", 1e-5)),
        "padding at right and bottom": pad_right_and_bottom,
        "copies before what comes": copies_before_what_comes,
        "smooth enlarging": enlarge_smoothly,
        "no look in the middle": lambda model: model.mid_block.attentions[0].register_forward_hook(
            lambda _, given, found: given[0]
        ),
        "no SiLU in the time": lambda model: model.time_embedding.linear_1.register_forward_hook(
            lambda _, given, found: torch.where(found > 0, found, found.expm1())
        ),
        "half the groups": for_all(nn.GroupNorm, setting("num_groups", 2)),
    }
    | {f"a bias of the {name}": for_all(Attention, with_bias(name)) for name in ("to_q", "to_v")}
    | {
        "no bias of the out": for_all(Attention, lambda part: part.to_out[0].bias.data.zero_()),
    }
)


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_the_comparison_finds(mistake: Callable[[UNet2DConditionModel], None]):
    ours, theirs = pair(TINY)
    mistake(ours)
    assert difference(ours, theirs) > 1e5 * TOLERANCE


TIMES = {
    "sines first": dict(flip_sin_to_cos=False),
    "frequency shift": dict(downscale_freq_shift=1),
    "slower waves": dict(max_period=20_000),
}


@pytest.mark.parametrize("settings", TIMES.values(), ids=TIMES)
def test_the_comparison_finds_a_time_told_otherwise(monkeypatch: pytest.MonkeyPatch, settings: dict):
    right = embeddings.sinusoidal_embedding
    monkeypatch.setattr(conv_blocks, "sinusoidal_embedding", lambda t, n, **given: right(t, n, **given | settings))
    assert difference(*pair(TINY)) > 1e5 * TOLERANCE


def test_the_comparison_finds_a_time_in_another_precision(monkeypatch: pytest.MonkeyPatch):
    right = embeddings.sinusoidal_embedding
    monkeypatch.setattr(conv_blocks, "sinusoidal_embedding", lambda t, n, **given: right(t.double(), n, **given))
    assert difference(*pair(TINY)) > 1000 * TOLERANCE


def test_the_comparison_finds_a_missing_silu_before_a_blocks_time():
    ours, theirs = pair(TINY)
    told = []
    ours.time_embedding.register_forward_hook(lambda _, given, found: told.append(found))
    for block in parts(ours, ResnetBlock2D):
        block.time_emb_proj.register_forward_pre_hook(lambda _, given: (told[-1],))
    assert difference(ours, theirs) > 1e5 * TOLERANCE


def test_the_comparison_finds_the_eps_of_every_single_norm():
    ours, theirs = pair(TINY)
    norms = parts(ours, (nn.GroupNorm, nn.LayerNorm))
    assert len(norms) == len([name for name in theirs.state_dict() if re.search(r"norm\w*\.weight", name)])
    for norm in norms:
        right = norm.eps
        norm.eps = 1e-6 if right == 1e-5 else 1e-5
        assert difference(ours, theirs) > 1000 * TOLERANCE, norm
        norm.eps = right
    assert difference(ours, theirs) < TOLERANCE


def test_v1_has_as_many_parameters_as_stable_diffusion():
    with torch.device("meta"):
        model = UNet2DConditionModel(V1)
        answer = model(torch.empty(2, 4, 64, 40), torch.empty(2), torch.empty(2, 77, 768))
    assert count_parameters(model) == 859_520_964 and len(model.state_dict()) == 686
    assert answer.shape == (2, 4, 64, 40)
    kinds = Counter((type(part).__name__, part.eps) for part in parts(model, (nn.GroupNorm, nn.LayerNorm)))
    assert kinds == {("GroupNorm", 1e-5): 45, ("GroupNorm", 1e-6): 16, ("LayerNorm", 1e-5): 48}
    assert {norm.num_groups for norm in parts(model, nn.GroupNorm)} == {32}
    assert {attention.heads for attention in parts(model, Attention)} == {8}


@pytest.mark.slow
@torch.no_grad()
def test_at_full_size_it_computes_what_diffusers_computes():
    ours, theirs = shared_pair("unet")
    rng = torch.Generator().manual_seed(1)
    x, context = torch.randn(1, 4, 16, 24, generator=rng), torch.randn(1, 77, 768, generator=rng)
    answer, want = ours(x, torch.tensor([500]), context), theirs(x, 500, context).sample
    assert (answer - want).abs().max() < 5e-6 * want.abs().max()  # measured: 9e-7; a tanh GELU or a wrong eps: 3e-5


def test_every_parameter_can_learn():
    torch.manual_seed(0)
    model = UNet2DConditionModel(replace(TINY, down_block_types=(ATTENTION, ATTENTION))).double()
    x, t, context = question(TINY)
    F.mse_loss(model(x, t, context), x).backward()
    assert [name for name, parameter in model.named_parameters() if not parameter.grad.any()] == []


def test_the_gradient_is_that_of_diffusers():
    ours, theirs = pair(TINY)
    x, t, context = question(TINY)
    for model, answer in ((ours, lambda: ours(x, t, context)), (theirs, lambda: theirs(x, t, context).sample)):
        model.requires_grad_(True)
        F.mse_loss(answer(), x).backward()
    weights = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        assert torch.allclose(parameter.grad, weights[name].grad, rtol=1e-9, atol=1e-12), name


def test_words_of_another_width_are_refused_in_one_sentence():
    with pytest.raises(UserError, match=r"reads token embeddings of 6 dimensions, not of 8; take the text encoder"):
        UNet2DConditionModel(TINY)(torch.zeros(1, 4, 8, 8), torch.zeros(1), torch.zeros(1, 5, 8))


def test_levels_that_do_not_fit_together_are_refused():
    with pytest.raises(UserError, match=r"2 block_out_channels and 3 down_block_types do not fit together"):
        replace(TINY, down_block_types=(ATTENTION, ATTENTION, PLAIN))


def test_lists_as_a_checkpoints_metadata_gives_them_are_the_same_config():
    kinds = [ATTENTION, ATTENTION, ATTENTION, PLAIN]
    assert UNetConfig(block_out_channels=[320, 640, 1280, 1280], down_block_types=kinds) == V1
