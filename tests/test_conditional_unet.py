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
from stablediff_edu.io.key_mapping import key_map
from stablediff_edu.layers import embeddings
from stablediff_edu.layers.attention import Attention
from stablediff_edu.layers.resnet import ResidualBlock
from stablediff_edu.layers.transformer import GEGLU, SpatialTransformer, TransformerBlock
from stablediff_edu.models import unet_2d_condition
from stablediff_edu.models.unet import count_parameters
from stablediff_edu.models.unet_2d_condition import V1, ConditionalUNet, UNetConfig

TOLERANCE = 1e-12  # measured: 6e-15
TINY = UNetConfig(widths=(8, 16), blocks=1, attention=(True, False), heads=2, context=6, groups=4)
CONFIGS = {
    "as in v1, narrow": UNetConfig(widths=(8, 16, 32, 32), heads=4, context=6, groups=4),
    "tiny": TINY,
    "attention everywhere": replace(TINY, attention=(True, True), blocks=2),
    "attention below": replace(TINY, attention=(False, True)),
    "attention in the middle only": replace(TINY, attention=(False, False)),
    "one level": UNetConfig(widths=(12,), blocks=3, attention=(True,), heads=3, context=5, groups=3),
    "three levels, narrower below": UNetConfig(
        in_channels=9, out_channels=2, widths=(16, 8, 24), blocks=1, attention=(False, True, True), heads=4, context=7,
        groups=8,
    ),
}  # fmt: skip


def pair(config: UNetConfig) -> tuple[ConditionalUNet, nn.Module]:
    """Ours and that of diffusers, with the same random weights."""
    theirs = randomised(their_unet(config))
    ours = ConditionalUNet(config).double().eval().requires_grad_(False)
    weights = theirs.state_dict()
    ours.load_state_dict({name: weights[called] for name, called in key_map("diffusers", "unet", config).items()})
    return ours, theirs


def question(config: UNetConfig, batch: int = 2, height: int = 8, width: int = 16, words: int = 5) -> tuple:
    """Random latents, steps and sentences."""
    rng = torch.Generator().manual_seed(1)
    x = torch.randn(batch, config.in_channels, height, width, generator=rng, dtype=torch.float64)
    t = torch.randint(1000, (batch,), generator=rng)
    return x, t, torch.randn(batch, words, config.context, generator=rng, dtype=torch.float64)


def difference(ours: ConditionalUNet, theirs: nn.Module, **sizes: int) -> float:
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


def for_all(kind: type, change: Callable[[nn.Module], None]) -> Callable[[ConditionalUNet], None]:
    """A mistake made in every part of a kind."""

    def mistake(model: ConditionalUNet) -> None:
        for part in parts(model, kind):
            change(part)

    return mistake


def setting(path: str, value: object) -> Callable[[nn.Module], None]:
    """Set an attribute of an attribute."""
    *parents, name = path.split(".")
    return lambda part: setattr(part.get_submodule(".".join(parents)), name, value)


def swap_gate_and_value(mlp: GEGLU) -> None:
    for parameter in mlp.first.parameters():
        parameter.data = parameter.roll(len(parameter) // 2, 0)


def pad_right_and_bottom(model: ConditionalUNet) -> None:
    for level in model.down[:-1]:
        level.resize.padding = (0, 0)
        level.resize.register_forward_pre_hook(lambda _, given: (F.pad(given[0], (0, 1, 0, 1)),))


def copies_before_what_comes(model: ConditionalUNet) -> None:
    for level in model.up:
        for block in level.blocks:
            for parameter in (block.first.weight, block.shortcut.weight):
                parameter.data = parameter.roll(block.first.out_channels, 1)


def enlarge_smoothly(model: ConditionalUNet) -> None:
    for level in model.up[:-1]:
        level.resize[0].mode = "bilinear"
        level.resize.forward = lambda x, size, both=level.resize: nn.Sequential.forward(both, x)


def forget_the_words(attention: Attention) -> None:
    attention.register_forward_pre_hook(lambda _, given: (given[0], torch.zeros_like(given[1])) if given[1:] else given)


def without(name: str) -> Callable[[nn.Module], None]:
    def change(attention: nn.Module) -> None:
        getattr(attention, name).bias.data.zero_()

    return change


def with_bias(name: str) -> Callable[[Attention], None]:
    def change(attention: Attention) -> None:
        linear = getattr(attention, name)
        linear.bias = nn.Parameter(torch.linspace(-1, 1, linear.out_features, dtype=torch.float64))

    return change


def heads_for_size(attention: Attention) -> None:
    attention.heads = attention.query.out_features // attention.heads


def swap_norms(block: TransformerBlock) -> None:
    block.norm1, block.norm_cross = block.norm_cross, block.norm1


MISTAKES = (
    {
        "tanh in the GELU": for_all(GEGLU, setting("activation", lambda x: F.gelu(x, approximate="tanh"))),
        "SiLU instead of GELU": for_all(GEGLU, setting("activation", F.silu)),
        "gate first, value second": for_all(GEGLU, swap_gate_and_value),
        "heads mistaken for the size of a head": for_all(Attention, heads_for_size),
        "words ignored": for_all(Attention, forget_the_words),
        "norms of the attentions swapped": for_all(TransformerBlock, swap_norms),
        "eps of the transformers' first norm": for_all(SpatialTransformer, setting("norm.eps", 1e-5)),
        "padding at right and bottom": pad_right_and_bottom,
        "copies before what comes": copies_before_what_comes,
        "smooth enlarging": enlarge_smoothly,
        "no look in the middle": lambda model: model.middle[1].register_forward_hook(lambda _, given, found: given[0]),
        "no SiLU in the time": setting("time.1", nn.Identity()),
        "half the groups": for_all(nn.GroupNorm, setting("num_groups", 2)),
    }
    | {f"a bias of the {name}": for_all(Attention, with_bias(name)) for name in ("query", "value")}
    | {
        "no bias of the out": for_all(Attention, without("out")),
    }
)


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_the_comparison_finds(mistake: Callable[[ConditionalUNet], None]):
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
    monkeypatch.setattr(
        unet_2d_condition, "sinusoidal_embedding", lambda t, n, **given: right(t, n, **given | settings)
    )
    assert difference(*pair(TINY)) > 1e5 * TOLERANCE


def test_the_comparison_finds_a_time_in_another_precision(monkeypatch: pytest.MonkeyPatch):
    right = embeddings.sinusoidal_embedding
    monkeypatch.setattr(unet_2d_condition, "sinusoidal_embedding", lambda t, n, **given: right(t.double(), n, **given))
    assert difference(*pair(TINY)) > 1000 * TOLERANCE


def test_the_comparison_finds_a_missing_silu_before_a_blocks_time():
    ours, theirs = pair(TINY)
    told = []
    ours.time.register_forward_hook(lambda _, given, found: told.append(found))
    for block in parts(ours, ResidualBlock):
        block.time.register_forward_pre_hook(lambda _, given: (told[-1],))
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
        model = ConditionalUNet(V1)
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
    model = ConditionalUNet(replace(TINY, attention=(True, True))).double()
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
    for name, called in key_map("diffusers", "unet", TINY).items():
        gradient = ours.get_parameter(name).grad
        assert torch.allclose(gradient, weights[called].grad, rtol=1e-9, atol=1e-12), name


def test_it_can_be_trained():
    torch.manual_seed(0)
    model = ConditionalUNet(replace(TINY, in_channels=1, out_channels=1))
    words = torch.randn(4, 3, TINY.context)  # four sentences, and for each its own image
    wanted = torch.randn(4, 1, 4, 4)
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    losses = []
    for _ in range(150):
        loss = F.mse_loss(model(torch.zeros_like(wanted), torch.full((4,), 10), words), wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


def test_each_picture_of_a_batch_is_answered_as_if_it_were_alone():
    ours, _ = pair(TINY)
    x, t, context = question(TINY, batch=3)
    alone = torch.cat([ours(x[i : i + 1], t[i : i + 1], context[i : i + 1]) for i in range(3)])
    assert (ours(x, t, context) - alone).abs().max() < TOLERANCE


def test_words_of_another_width_are_refused_in_one_sentence():
    with pytest.raises(UserError, match=r"reads words of 6 numbers, not of 8; take the text encoder"):
        ConditionalUNet(TINY)(torch.zeros(1, 4, 8, 8), torch.zeros(1), torch.zeros(1, 5, 8))


WRONG = {
    r"20 channels cannot be shared out among 8 groups; choose widths": dict(widths=(16, 20), groups=8),
    r"20 channels cannot be shared out among 8 heads; choose widths": dict(widths=(16, 20), heads=8),
    r"2 widths and 3 entries of attention do not fit together; give one": dict(attention=(True, True, False)),
}


@pytest.mark.parametrize(("sentence", "sizes"), WRONG.items())
def test_sizes_that_do_not_go_are_refused_in_one_sentence(sentence: str, sizes: dict):
    with pytest.raises(UserError, match=sentence):
        replace(TINY, **sizes)


def test_lists_as_a_checkpoints_card_gives_them_are_the_same_config():
    assert UNetConfig(widths=[320, 640, 1280, 1280], attention=[True, True, True, False]) == V1
