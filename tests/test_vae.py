"""The autoencoder of Stable Diffusion: number by number what diffusers computes, and what each part is there for."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL as Theirs
from diffusers.models.resnet import ResnetBlock2D
from parity import randomised, shared_pair, their_vae
from torch import nn
from torch.distributions import Normal
from torch.distributions import kl_divergence as exact_divergence

from stablediff_edu.errors import UserError
from stablediff_edu.layers.resnet import ResidualBlock
from stablediff_edu.models import autoencoder_kl
from stablediff_edu.models.autoencoder_kl import V1, AutoencoderKL, VAEConfig, kl_divergence, reparameterize
from stablediff_edu.models.unet import count_parameters

TOLERANCE = 1e-10  # measured: 2e-13
DIGITS = VAEConfig(in_channels=1, widths=(16, 32, 64), blocks=1, latent=2, groups=8)
TINY = VAEConfig(widths=(8, 16), blocks=1, groups=4)
CONFIGS = {
    "as in v1, narrow": VAEConfig(widths=(8, 16, 32, 32), groups=8),
    "tiny": TINY,
    "digits": DIGITS,
    "one level": VAEConfig(in_channels=2, widths=(12,), blocks=3, latent=3, groups=3, scaling=0.7),
    "narrower below": VAEConfig(widths=(16, 8, 8), groups=2, latent=1, scaling=1.3),
}

# what diffusers calls a part -> what it is called here
RULES = [
    (r"(down|up)_blocks\.(\d+)\.resnets", r"\1.\2.blocks"),
    (r"(down|up)_blocks\.(\d+)\.(down|up)samplers\.0\.conv", r"\1.\2.resize.1"),
    (r"mid_block\.resnets\.0", "middle.0"),
    (r"mid_block\.resnets\.1", "middle.2"),
    (r"mid_block\.attentions\.0\.group_norm", "middle.1.norm"),
    (r"mid_block\.attentions\.0\.to_(out)\.0", r"middle.1.attention.\1"),
    (r"mid_block\.attentions\.0\.to_q", "middle.1.attention.query"),
    (r"mid_block\.attentions\.0\.to_k", "middle.1.attention.key"),
    (r"mid_block\.attentions\.0\.to_v", "middle.1.attention.value"),
    (r"conv_norm_out", "norm"),
    (r"conv_in", "first"),
    (r"conv_out", "last"),
    (r"norm1", "first_norm"),
    (r"conv1", "first"),
    (r"time_emb_proj", "time"),
    (r"norm2", "second_norm"),
    (r"conv2", "second"),
    (r"conv_shortcut", "shortcut"),
    (r"quant_conv", "quant"),
]


def renamed(name: str) -> str:
    for theirs, ours in RULES:
        name = re.sub(theirs, ours, name)
    return name


def pair(config: VAEConfig) -> tuple[AutoencoderKL, Theirs]:
    """Ours and that of diffusers, with the same random weights; many a logvar lies beyond -30 or 20."""
    theirs = randomised(their_vae(config))
    theirs.quant_conv.weight.data *= 30
    ours = AutoencoderKL(config).double().eval().requires_grad_(False)
    ours.load_state_dict({renamed(name): value for name, value in theirs.state_dict().items()})
    return ours, theirs


def image(config: VAEConfig, batch: int = 2) -> torch.Tensor:
    """Random images, wider than high."""
    rng = torch.Generator().manual_seed(1)
    height, width = 3 * config.shrink, 5 * config.shrink
    return torch.randn(batch, config.in_channels, height, width, generator=rng, dtype=torch.float64)


def difference(ours: AutoencoderKL, theirs: Theirs) -> float:
    """The largest difference in anything that the autoencoder can be asked for."""
    x = image(ours.config)
    cloud = theirs.encode(x).latent_dist
    scaling = theirs.config.scaling_factor
    z = torch.randn(cloud.mean.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    answers = [*ours.moments(x), ours.encode(x), ours.decode(z)]
    wanted = [cloud.mean, cloud.logvar, scaling * cloud.mean, theirs.decode(z / scaling).sample]
    for answer, want in zip(answers, wanted, strict=True):
        if answer.shape != want.shape:
            return torch.inf
    return max((answer - want).abs().max().item() for answer, want in zip(answers, wanted, strict=True))


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_it_computes_what_diffusers_computes(config: VAEConfig):
    assert difference(*pair(config)) < TOLERANCE


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@torch.no_grad()
def test_without_gradients_it_computes_the_same(config: VAEConfig):
    assert difference(*pair(config)) < TOLERANCE


@pytest.mark.slow
@torch.no_grad()
def test_at_full_size_it_computes_what_diffusers_computes():
    ours, theirs = shared_pair("vae")
    rng = torch.Generator().manual_seed(1)
    x, z = torch.randn(1, 3, 128, 192, generator=rng), torch.randn(1, 4, 16, 24, generator=rng)
    cloud = theirs.encode(x).latent_dist
    answers = [*ours.moments(x), ours.decode(V1.scaling * z)]
    for answer, want in zip(answers, [cloud.mean, cloud.logvar, theirs.decode(z).sample], strict=True):
        assert (answer - want).abs().max() < 1e-5 * want.abs().max()  # measured: 2e-6; a wrong eps: 5e-5


def test_the_comparison_reaches_both_ends_of_the_clamp():
    _, logvar = pair(TINY)[0].moments(image(TINY))
    assert logvar.min() == -30 and logvar.max() == 20 and ((logvar > -30) & (logvar < 20)).any()


def test_a_sample_is_that_of_diffusers():
    ours, theirs = pair(TINY)
    x = image(TINY)
    z = ours.encode(x, sample=True, generator=torch.Generator().manual_seed(5))
    want = theirs.encode(x).latent_dist.sample(torch.Generator().manual_seed(5)) * TINY.scaling
    assert torch.allclose(z, want, rtol=1e-12, atol=0)


def norms(model: nn.Module) -> list[nn.GroupNorm]:
    return [module for module in model.modules() if isinstance(module, nn.GroupNorm)]


def pad_all_around(model: AutoencoderKL) -> None:
    for level in model.encoder.down[:-1]:
        level.resize[0], level.resize[1].padding = nn.Identity(), (1, 1)


def pad_left_and_top(model: AutoencoderKL) -> None:
    for level in model.encoder.down[:-1]:
        level.resize[0].padding = (1, 0, 1, 0)


def enlarge_smoothly(model: AutoencoderKL) -> None:
    for level in model.decoder.up[:-1]:
        level.resize[0].mode = "bilinear"


def attention(model: AutoencoderKL, side: str) -> nn.Module:
    return getattr(model, side).middle[1].attention


def without_bias(side: str, name: str) -> Callable[[AutoencoderKL], None]:
    return lambda model: getattr(attention(model, side), name).bias.zero_()


MISTAKES = {
    "padding all around": pad_all_around,
    "padding left and top": pad_left_and_top,
    "smooth enlarging": enlarge_smoothly,
    "no scaling": lambda model: setattr(model, "config", replace(model.config, scaling=1.0)),
    "v1's scaling": lambda model: setattr(model, "config", replace(model.config, scaling=0.18215)),
    "two heads in the encoder": lambda model: setattr(attention(model, "encoder"), "heads", 2),
    "two heads in the decoder": lambda model: setattr(attention(model, "decoder"), "heads", 2),
    "no quant": lambda model: setattr(model, "quant", nn.Identity()),
    "no post_quant": lambda model: setattr(model, "post_quant", nn.Identity()),
} | {
    f"no bias of the {side}'s {name}": without_bias(side, name)
    for side in ("encoder", "decoder")
    for name in ("query", "value", "out")
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_the_comparison_finds(mistake: Callable[[AutoencoderKL], None]):
    ours, theirs = pair(replace(TINY, scaling=0.3))
    mistake(ours)
    assert difference(ours, theirs) > 1000 * TOLERANCE


def test_the_comparison_finds_a_logvar_that_is_not_clamped(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(autoencoder_kl, "LOGVAR_RANGE", (-1e9, 1e9))
    assert difference(*pair(TINY)) > 1


def test_the_comparison_finds_the_eps_and_the_groups_of_every_single_norm():
    ours, theirs = pair(TINY)
    assert len(norms(ours)) == len([name for name in theirs.state_dict() if re.search(r"norm\w*\.weight", name)])
    for norm in norms(ours):
        for name, wrong in (("eps", 1e-5), ("num_groups", 2)):
            right = getattr(norm, name)
            setattr(norm, name, wrong)
            assert difference(ours, theirs) > 10 * TOLERANCE, (norm, name)
            setattr(norm, name, right)
    assert difference(ours, theirs) < TOLERANCE


def test_the_keys_bias_is_there_but_changes_nothing():
    ours, theirs = pair(TINY)
    without_bias("encoder", "key")(ours)
    assert difference(ours, theirs) < TOLERANCE  # the softmax takes no notice of it


def test_v1_has_as_many_parameters_as_stable_diffusion():
    with torch.device("meta"):
        model = AutoencoderKL(V1)
    assert count_parameters(model) == 83_653_863
    assert count_parameters(model.encoder) == 34_163_592
    assert count_parameters(model.decoder) == 49_490_179
    assert count_parameters(model.quant) + count_parameters(model.post_quant) == 92
    assert len(model.state_dict()) == 248
    assert {(norm.num_groups, norm.eps) for norm in norms(model)} == {(32, 1e-6)} and len(norms(model)) == 52
    assert V1.shrink == 8 and model.moments(torch.empty(1, 3, 512, 320, device="meta"))[0].shape == (1, 4, 64, 40)


@pytest.mark.parametrize("time_features", [0, 6])
@pytest.mark.parametrize("out_channels", [8, 12])
@pytest.mark.parametrize("eps", [1e-6, 1e-5])
def test_the_residual_block_is_that_of_diffusers(time_features: int, out_channels: int, eps: float):
    sizes = dict(in_channels=8, out_channels=out_channels, groups=4, eps=eps)
    theirs = randomised(ResnetBlock2D(temb_channels=time_features or None, **sizes))
    ours = ResidualBlock(time_features=time_features, **sizes).double()
    ours.load_state_dict({renamed(name): value for name, value in theirs.state_dict().items()})
    rng = torch.Generator().manual_seed(3)
    x = 0.01 * torch.randn(2, 8, 3, 5, generator=rng, dtype=torch.float64)
    time = torch.randn(2, 6, generator=rng, dtype=torch.float64) if time_features else None
    assert torch.allclose(ours(x, time), theirs(x, time), rtol=0, atol=1e-12)
    ours.first_norm.eps = 3e-6
    assert not torch.allclose(ours(x, time), theirs(x, time), rtol=0, atol=1e-6)


@pytest.mark.parametrize("side", [28, 32])
@pytest.mark.parametrize("latent", [1, 2, 4])
def test_digits_become_latents_a_quarter_of_the_side_and_come_back(side: int, latent: int):
    model = AutoencoderKL(replace(DIGITS, latent=latent))
    x = torch.zeros(3, 1, side, side)
    z = model.encode(x)
    assert z.shape == (3, latent, side // 4, side // 4)
    assert model.decode(z).shape == x.shape


def test_a_sample_lies_around_the_mean_as_far_as_the_variance_says():
    mean, logvar = torch.full((1, 20_000), 3.0), torch.full((1, 20_000), 1.4)
    drawn = reparameterize(mean, logvar, torch.Generator().manual_seed(0))
    assert drawn.mean().item() == pytest.approx(3, abs=0.05) and drawn.var().log().item() == pytest.approx(
        1.4, abs=0.05
    )


def test_encoding_repeats_itself_unless_asked_for_samples():
    model, x = AutoencoderKL(DIGITS), torch.zeros(2, 1, 28, 28)
    mean, _ = model.moments(x)
    assert torch.equal(model.encode(x), DIGITS.scaling * mean)
    seeded = [model.encode(x, sample=True, generator=torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(seeded[0], seeded[1]) and not torch.equal(seeded[0], seeded[2])
    assert not torch.equal(seeded[0], model.encode(x))


def test_the_divergence_is_the_exact_one():
    rng = torch.Generator().manual_seed(0)
    mean, logvar = torch.randn(2, 3, 4, 5, 6, generator=rng, dtype=torch.float64)
    exact = exact_divergence(Normal(mean, torch.exp(logvar / 2)), Normal(torch.zeros_like(mean), 1.0))
    assert kl_divergence(mean, logvar).item() == pytest.approx(exact.flatten(1).sum(1).mean().item(), rel=1e-12)
    assert kl_divergence(torch.zeros(2, 3), torch.zeros(2, 3)) == 0


def test_the_loss_reaches_every_parameter_but_the_keys_biases():
    torch.manual_seed(0)
    model, x = AutoencoderKL(DIGITS).double(), torch.randn(2, 1, 28, 28, dtype=torch.float64)
    again, mean, logvar = model(x)
    assert again.shape == x.shape and mean.shape == logvar.shape == (2, 2, 7, 7)
    (F.mse_loss(again, x) + 1e-3 * kl_divergence(mean, logvar)).backward()
    idle = {name for name, parameter in model.named_parameters() if parameter.grad.abs().max() < 1e-15}
    assert idle == {f"{side}.middle.1.attention.key.bias" for side in ("encoder", "decoder")}


def test_it_can_be_trained():
    torch.manual_seed(0)
    model = AutoencoderKL(replace(DIGITS, widths=(8, 16)))
    x = torch.zeros(8, 1, 8, 8) - 1
    for i in range(8):
        x[i, :, i] = 1  # a bar in another row of each image
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    losses = []
    for _ in range(60):
        again, mean, logvar = model(x)
        loss = F.mse_loss(again, x) + 1e-5 * kl_divergence(mean, logvar)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


@pytest.mark.parametrize("size", [(30, 28), (28, 30), (27, 27)])
def test_a_size_that_does_not_go_is_refused_in_one_sentence(size: tuple[int, int]):
    with pytest.raises(UserError, match=rf"{size[0]}×{size[1]} pixels do not work; resize .* multiples of 4\."):
        AutoencoderKL(DIGITS).encode(torch.zeros(1, 1, *size))


def test_groups_that_do_not_divide_every_width_are_refused():
    with pytest.raises(UserError, match=r"20 channels cannot be shared out among 8 groups; choose widths"):
        VAEConfig(widths=(16, 20), groups=8)


def test_a_list_of_widths_as_a_checkpoints_card_gives_it_is_the_same_config():
    assert VAEConfig(widths=[128, 256, 512, 512]) == V1
