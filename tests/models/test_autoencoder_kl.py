"""The autoencoder of Stable Diffusion: number by number what diffusers computes, and what each part is there for."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL as Theirs
from diffusers.models.resnet import ResnetBlock2D as TheirBlock
from parity import randomised, shared_pair, their_vae
from torch import nn
from torch.distributions import Normal
from torch.distributions import kl_divergence as exact_divergence

from stablediff_edu.errors import UserError
from stablediff_edu.layers.resnet import ResnetBlock2D
from stablediff_edu.layers.upsample import Downsample2D, Upsample2D
from stablediff_edu.models import autoencoder_kl
from stablediff_edu.models.autoencoder_kl import V1, AutoencoderKL, VAEConfig, kl_divergence, reparameterize
from stablediff_edu.models.unet import count_parameters

TOLERANCE = 1e-10  # measured: 2e-13
DIGITS = VAEConfig(
    in_channels=1, block_out_channels=(16, 32, 64), layers_per_block=1, latent_channels=2, norm_num_groups=8
)
TINY = VAEConfig(block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4)
CONFIGS = {
    "as in v1, narrow": VAEConfig(block_out_channels=(8, 16, 32, 32), norm_num_groups=8),
    "tiny": TINY,
    "digits": DIGITS,
    "one level": VAEConfig(
        in_channels=2,
        block_out_channels=(12,),
        layers_per_block=3,
        latent_channels=3,
        norm_num_groups=3,
        scaling_factor=0.7,
    ),
    "narrower below": VAEConfig(
        block_out_channels=(16, 8, 8), norm_num_groups=2, latent_channels=1, scaling_factor=1.3
    ),
}


def pair(config: VAEConfig) -> tuple[AutoencoderKL, Theirs]:
    """Ours and that of diffusers, with the same random weights; many a logvar lies beyond -30 or 20."""
    theirs = randomised(their_vae(config))
    theirs.quant_conv.weight.data *= 30
    ours = AutoencoderKL(config).double().eval().requires_grad_(False)
    ours.load_state_dict(theirs.state_dict())
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
    answers = [*ours.moments(x), ours.decode(V1.scaling_factor * z)]
    for answer, want in zip(answers, [cloud.mean, cloud.logvar, theirs.decode(z).sample], strict=True):
        assert (answer - want).abs().max() < 1e-5 * want.abs().max()  # measured: 2e-6; a wrong eps: 5e-5


def test_the_comparison_reaches_both_ends_of_the_clamp():
    _, logvar = pair(TINY)[0].moments(image(TINY))
    assert logvar.min() == -30 and logvar.max() == 20 and ((logvar > -30) & (logvar < 20)).any()


def test_a_sample_is_that_of_diffusers():
    ours, theirs = pair(TINY)
    x = image(TINY)
    z = ours.encode(x, sample=True, generator=torch.Generator().manual_seed(5))
    want = theirs.encode(x).latent_dist.sample(torch.Generator().manual_seed(5)) * TINY.scaling_factor
    assert torch.allclose(z, want, rtol=1e-12, atol=0)


def parts(model: nn.Module, kind: type) -> list[nn.Module]:
    return [module for module in model.modules() if isinstance(module, kind)]


def norms(model: nn.Module) -> list[nn.GroupNorm]:
    return parts(model, nn.GroupNorm)


def pad_all_around(model: AutoencoderKL) -> None:
    for part in parts(model, Downsample2D):
        part.conv.padding = (1, 1)


def pad_left_and_top(model: AutoencoderKL) -> None:
    for part in parts(model, Downsample2D):
        part.forward = lambda x, part=part: part.conv(F.pad(x, (1, 0, 1, 0)))


def enlarge_smoothly(model: AutoencoderKL) -> None:
    for part in parts(model, Upsample2D):
        part.forward = lambda x, part=part: part.conv(F.interpolate(x, scale_factor=2, mode="bilinear"))


def attention(model: AutoencoderKL, side: str) -> nn.Module:
    return getattr(model, side).mid_block.attentions[0]


def without_bias(side: str, name: str) -> Callable[[AutoencoderKL], None]:
    return lambda model: attention(model, side).get_submodule(name).bias.zero_()


MISTAKES = {
    "padding all around": pad_all_around,
    "padding left and top": pad_left_and_top,
    "smooth enlarging": enlarge_smoothly,
    "no scaling": lambda model: setattr(model, "config", replace(model.config, scaling_factor=1.0)),
    "v1's scaling": lambda model: setattr(model, "config", replace(model.config, scaling_factor=0.18215)),
    "two heads in the encoder": lambda model: setattr(attention(model, "encoder"), "heads", 2),
    "two heads in the decoder": lambda model: setattr(attention(model, "decoder"), "heads", 2),
    "no quant": lambda model: setattr(model, "quant_conv", nn.Identity()),
    "no post_quant": lambda model: setattr(model, "post_quant_conv", nn.Identity()),
} | {
    f"no bias of the {side}'s {name}": without_bias(side, name)
    for side in ("encoder", "decoder")
    for name in ("to_q", "to_v", "to_out.0")
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_the_comparison_finds(mistake: Callable[[AutoencoderKL], None]):
    ours, theirs = pair(replace(TINY, scaling_factor=0.3))
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
    without_bias("encoder", "to_k")(ours)
    assert difference(ours, theirs) < TOLERANCE  # the softmax takes no notice of it


def test_v1_has_as_many_parameters_as_stable_diffusion():
    with torch.device("meta"):
        model = AutoencoderKL(V1)
    assert count_parameters(model) == 83_653_863
    assert count_parameters(model.encoder) == 34_163_592
    assert count_parameters(model.decoder) == 49_490_179
    assert count_parameters(model.quant_conv) + count_parameters(model.post_quant_conv) == 92
    assert len(model.state_dict()) == 248
    assert {(norm.num_groups, norm.eps) for norm in norms(model)} == {(32, 1e-6)} and len(norms(model)) == 52
    assert V1.shrink == 8 and model.moments(torch.empty(1, 3, 512, 320, device="meta"))[0].shape == (1, 4, 64, 40)


@pytest.mark.parametrize("time_features", [0, 6])
@pytest.mark.parametrize("out_channels", [8, 12])
@pytest.mark.parametrize("eps", [1e-6, 1e-5])
def test_the_residual_block_is_that_of_diffusers(time_features: int, out_channels: int, eps: float):
    sizes = dict(in_channels=8, out_channels=out_channels, groups=4, eps=eps)
    theirs = randomised(TheirBlock(temb_channels=time_features or None, **sizes))
    ours = ResnetBlock2D(time_features=time_features, **sizes).double()
    ours.load_state_dict(theirs.state_dict())
    rng = torch.Generator().manual_seed(3)
    x = 0.01 * torch.randn(2, 8, 3, 5, generator=rng, dtype=torch.float64)
    time = torch.randn(2, 6, generator=rng, dtype=torch.float64) if time_features else None
    assert torch.allclose(ours(x, time), theirs(x, time), rtol=0, atol=1e-12)
    ours.norm1.eps = 3e-6
    assert not torch.allclose(ours(x, time), theirs(x, time), rtol=0, atol=1e-6)


@pytest.mark.parametrize("side", [28, 32])
@pytest.mark.parametrize("latent", [1, 2, 4])
def test_digits_become_latents_a_quarter_of_the_side_and_come_back(side: int, latent: int):
    model = AutoencoderKL(replace(DIGITS, latent_channels=latent))
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
    assert torch.equal(model.encode(x), DIGITS.scaling_factor * mean)
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
    assert idle == {f"{side}.mid_block.attentions.0.to_k.bias" for side in ("encoder", "decoder")}


@pytest.mark.parametrize("size", [(30, 28), (28, 30), (27, 27)])
def test_a_size_that_does_not_go_is_refused_in_one_sentence(size: tuple[int, int]):
    with pytest.raises(UserError, match=rf"{size[0]}×{size[1]} pixels do not work; resize .* multiples of 4\."):
        AutoencoderKL(DIGITS).encode(torch.zeros(1, 1, *size))


def test_a_list_of_widths_as_a_checkpoints_card_gives_it_is_the_same_config():
    assert VAEConfig(block_out_channels=[128, 256, 512, 512]) == V1
