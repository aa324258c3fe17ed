"""The schedules are those of diffusers and Stable Diffusion, and all conversions are exact inverses."""

import pytest
import torch
from diffusers import DDPMScheduler
from diffusers.schedulers.scheduling_ddim import rescale_zero_terminal_snr
from hypothesis import given, settings
from hypothesis import strategies as st

from stablediff_edu.diffusion.samplers import sample_final
from stablediff_edu.diffusion.schedule import PREDICTIONS, NoiseSchedule, to_x0_eps
from stablediff_edu.errors import UserError

OURS = {
    "linear": NoiseSchedule.linear,
    "scaled_linear": NoiseSchedule.scaled_linear,
    "squaredcos_cap_v2": NoiseSchedule.cosine,
}
RANGES = {"scaled_linear": {"beta_start": 0.00085, "beta_end": 0.012}}


def theirs(name: str) -> DDPMScheduler:
    return DDPMScheduler(beta_schedule=name, **RANGES.get(name, {}))


def images(seed: int = 0) -> torch.Tensor:
    return torch.randn(4, 3, 5, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("name", OURS)
def test_alpha_bar_is_that_of_diffusers(name: str):
    ours = OURS[name]().alpha_bar
    assert ours.dtype == torch.float64 and ours.shape == (1000,)
    assert (ours - theirs(name).alphas_cumprod).abs().max() < 1e-6


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("steps", [1, 2, 10, 1000])
def test_every_step_leaves_less_of_the_picture(name: str, steps: int):
    alpha_bar = OURS[name](steps).alpha_bar
    assert len(alpha_bar) == steps and alpha_bar[-1] > 0 and alpha_bar[0] < 1 and (alpha_bar.diff() < 0).all()


def test_the_numbers_of_stable_diffusion():
    """As diffusers prints them; it computes in float32, which the last digit shows where ᾱ is nearly 1."""
    schedule = NoiseSchedule.scaled_linear()
    assert schedule.alpha_bar[[0, 999]].tolist() == pytest.approx([0.99914998, 0.00466010], abs=2.5e-8)
    assert schedule.sigmas[0].item() == pytest.approx(0.029168, abs=1e-6)
    assert schedule.sigmas[999].item() == pytest.approx(14.614647, abs=1e-5)


@pytest.mark.parametrize("name", OURS)
def test_mixing_and_velocity_are_those_of_diffusers(name: str):
    x0, eps, t = images(0).float(), images(1).float(), torch.tensor([0, 30, 500, 999])
    assert torch.allclose(OURS[name]().add_noise(x0, eps, t), theirs(name).add_noise(x0, eps, t), atol=2e-4)
    velocity = OURS[name]().target(x0, eps, t, "v_prediction")
    assert torch.allclose(velocity, theirs(name).get_velocity(x0, eps, t), atol=2e-4)


@pytest.mark.parametrize("name", OURS)
def test_zero_terminal_snr_is_that_of_diffusers(name: str):
    ours, plain = OURS[name]().zero_terminal_snr(), OURS[name]()
    betas = rescale_zero_terminal_snr(1 - torch.cat([plain.alpha_bar[:1], plain.alpha_bar[1:] / plain.alpha_bar[:-1]]))
    assert torch.allclose(ours.alpha_bar, (1 - betas).cumprod(0), atol=1e-12)
    assert ours.alpha_bar[-1] == 0 and ours.alpha_bar[0] == pytest.approx(plain.alpha_bar[0].item(), abs=1e-15)


def some_t(last: int = 999):
    return st.lists(st.integers(0, last), min_size=4, max_size=4).map(torch.tensor)


@settings(max_examples=40, deadline=None)
@given(t=some_t(), name=st.sampled_from(sorted(OURS)), seed=st.integers(0, 999))
def test_taking_the_noise_away_is_the_exact_inverse_of_adding_it(t: torch.Tensor, name: str, seed: int):
    schedule, x0, eps = OURS[name](), images(seed), images(seed + 1)
    xt = schedule.add_noise(x0, eps, t)
    largest = schedule.sigmas[t].max().item()  # rounding of xt counts that much more in x0
    assert torch.allclose(schedule.predict_x0(xt, eps, t), x0, rtol=0, atol=1e-14 * (1 + largest) * 10)


@settings(max_examples=60, deadline=None)
@given(t=some_t(998), name=st.sampled_from(sorted(OURS)), prediction=st.sampled_from(PREDICTIONS), zero=st.booleans())
def test_each_prediction_tells_both_picture_and_noise(t: torch.Tensor, name: str, prediction: str, zero: bool):
    schedule = OURS[name]().zero_terminal_snr() if zero else OURS[name]()
    x0, eps = images(0), images(1)
    xt = schedule.add_noise(x0, eps, t)
    answer = schedule.target(x0, eps, t, prediction)
    got_x0, got_eps = to_x0_eps(answer, xt, *schedule.coefficients(t, xt), prediction)
    largest = max(schedule.sigmas[t].max().item(), 1 / schedule.sigmas[t].min().item())
    assert torch.allclose(got_x0, x0, rtol=0, atol=1e-14 * (1 + largest) * 10)
    assert torch.allclose(got_eps, eps, rtol=0, atol=1e-14 * (1 + largest) * 10)
    assert torch.equal(schedule.to_noise(answer, xt, t, prediction), got_eps)


def test_velocity_tells_both_from_noise_alone():
    schedule, x0, eps = NoiseSchedule.linear().zero_terminal_snr(), images(0), images(1)
    xt = schedule.add_noise(x0, eps, 999)
    assert torch.equal(xt, eps)
    velocity = schedule.target(x0, eps, 999, "v_prediction")
    got_x0, got_eps = to_x0_eps(velocity, xt, *schedule.coefficients(999, xt), "v_prediction")
    assert torch.equal(got_x0, x0) and torch.equal(got_eps, eps)


def test_the_mixture_of_pictures_with_variance_one_has_variance_one():
    x0, eps = torch.randn(2, 1, 3, 200, 200, generator=torch.Generator().manual_seed(0))
    for t in (0, 250, 500, 999):
        assert NoiseSchedule.scaled_linear().add_noise(x0, eps, t).var() == pytest.approx(1, abs=0.02)


def test_schedules_can_be_compared():
    schedule = NoiseSchedule.linear()
    assert schedule == schedule and schedule != NoiseSchedule.linear()


def test_torchs_default_device_does_not_matter():
    def draw(sampler: str) -> torch.Tensor:
        return sample_final(lambda xt, t: xt, NoiseSchedule.scaled_linear(), (1, 3, 4, 4), 3, sampler)

    names = ("ddpm", "dpmpp_2m_karras", "euler")
    expected = [draw(name) for name in names]
    with torch.device("meta"):
        found = [draw(name) for name in names]
    assert all(map(torch.equal, found, expected))


def test_between_two_steps_sigma_runs_in_a_straight_line():
    schedule = NoiseSchedule.scaled_linear()
    between = schedule.at(torch.tensor([10.0, 10.25, 999.0]))
    sigma = ((1 - between) / between).sqrt()
    assert torch.equal(between[[0, 2]], schedule.alpha_bar[[10, 999]])
    assert sigma[1] == pytest.approx((0.75 * schedule.sigmas[10] + 0.25 * schedule.sigmas[11]).item(), rel=1e-12)
    assert schedule.zero_terminal_snr().at(999) == 0


@pytest.mark.parametrize("t", [-1, 1000, torch.tensor([5, 1000]), torch.tensor([-0.5]), 999.5, float("nan")])
def test_a_step_out_of_range_gets_one_sentence(t):
    with pytest.raises(UserError, match=r"not there: this schedule's steps are 0 to 999\.$"):
        NoiseSchedule.linear().add_noise(torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4), t)


@pytest.mark.parametrize("steps", [0, -1, 3.5, "ten", None, True, 100_001])
@pytest.mark.parametrize("name", OURS)
def test_an_impossible_length_gets_one_sentence(name: str, steps):
    with pytest.raises(UserError, match="is no number of steps; give a whole number from 1"):
        OURS[name](steps)


def test_an_unknown_prediction_gets_one_sentence():
    x = torch.zeros(1, 3, 4, 4)
    for call in (NoiseSchedule.linear().target, NoiseSchedule.linear().to_noise):
        with pytest.raises(UserError, match="no prediction 'noise'; choose one of: epsilon, sample, v_prediction"):
            call(x, x, 5, "noise")
