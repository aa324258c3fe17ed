"""Samplers against an exact solution, against each other, and against bad input. Against diffusers: the file beside.

If every number of the data is drawn from a normal distribution (mean μ, spread s), the best denoiser is known, and so
is the way that an image takes when noise is taken away in infinitely many steps:

    (xt - √ᾱ·μ) / √(ᾱ·s² + 1 - ᾱ)  stays what it is.
"""

from itertools import pairwise

import pytest
import torch

from stablediff_edu.diffusion.samplers import SAMPLERS, SPACINGS, NoiseLevel, noise_levels, sample, sample_final
from stablediff_edu.diffusion.schedule import PREDICTIONS, NoiseSchedule
from stablediff_edu.errors import UserError

SCHEDULE = NoiseSchedule.linear(1024)  # a power of two: all step counts that are one have the same stop half-way
MEAN, SPREAD = 0.3, 0.5
START = torch.randn(8, 3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def ideal(prediction: str = "epsilon", schedule: NoiseSchedule = SCHEDULE):
    """The best denoiser of these data, (xt, t) -> prediction."""

    def model(xt: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        signal, noise = schedule.coefficients(t, xt)
        x0 = MEAN + signal * SPREAD**2 / (signal**2 * SPREAD**2 + noise**2) * (xt - signal * MEAN)
        return schedule.target(x0, (xt - signal * x0) / noise, t, prediction)

    return model


def exact(xt: torch.Tensor, here: NoiseLevel, there: NoiseLevel) -> torch.Tensor:
    """Where xt comes to on the way from here to there."""
    spread_here, spread_there = ((at.signal**2 * SPREAD**2 + at.noise**2) ** 0.5 for at in (here, there))
    return there.signal * MEAN + spread_there / spread_here * (xt - here.signal * MEAN)


def error_half_way(sampler: str, steps: int) -> float:
    stops = noise_levels(SCHEDULE, steps, sampler)
    way = list(sample(ideal(), SCHEDULE, steps=steps, sampler=sampler, start=START))
    return (way[steps // 2 - 1].next - exact(START, stops[0], stops[steps // 2])).abs().max().item()


@pytest.mark.parametrize(
    ("sampler", "least", "most"),
    [("ddim", 1.95, 2.05), ("euler", 1.95, 2.05), ("heun", 4.0, 4.3), ("dpmpp_2m", 3.8, 4.1), ("pndm", 3.6, 4.1)],
)
def test_twice_the_steps_bring_half_or_a_quarter_of_the_error(sampler: str, least: float, most: float):
    """Half: DDIM, Euler. A quarter: the others (PNDM is better than that, but for its first step)."""
    errors = [error_half_way(sampler, steps) for steps in (64, 128, 256)]
    assert least < errors[0] / errors[1] < most and least < errors[1] / errors[2] < most
    assert errors[-1] < 5e-4


@pytest.mark.parametrize("sampler", ["ddim", "euler", "heun", "dpmpp_2m", "dpmpp_2m_karras", "pndm"])
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_many_steps_arrive_at_the_exact_picture(sampler: str, prediction: str):
    stops = noise_levels(SCHEDULE, 256, sampler)
    result = sample_final(ideal(prediction), SCHEDULE, steps=256, sampler=sampler, prediction=prediction, start=START)
    assert (result - exact(START, stops[0], stops[-1])).abs().max() < 0.03


def test_the_best_samplers_need_the_fewest_steps():
    def error(sampler: str) -> float:
        stops = noise_levels(SCHEDULE, 20, sampler)
        result = sample_final(ideal(), SCHEDULE, steps=20, sampler=sampler, start=START)
        return (result - exact(START, stops[0], stops[-1])).abs().max().item()

    assert error("dpmpp_2m") < 0.5 * error("ddim") and error("heun") < 0.5 * error("euler")


@pytest.mark.parametrize(("sampler", "eta"), [("ddpm", 0.0), ("euler_ancestral", 0.0), ("ddim", 1.0)])
def test_samplers_with_fresh_noise_draw_data_of_the_right_mean_and_spread(sampler: str, eta: float):
    """Too few steps give too little spread, by a share that halves when the steps double; mean and spread of 12,288
    numbers are certain to about 0.005."""
    spreads = []
    for steps in (50, 100, 300):
        drawn = sample_final(ideal(), SCHEDULE, (4, 3, 32, 32), steps, sampler, eta=eta)
        assert drawn.mean() == pytest.approx(MEAN, abs=0.015)
        spreads.append(drawn.std().item())
    assert spreads[0] < spreads[1] < spreads[2] == pytest.approx(SPREAD, abs=0.03)
    assert (SPREAD - spreads[0]) / (SPREAD - spreads[1]) == pytest.approx(2, abs=0.4)


# --- against each other ---------------------------------------------------------------------------------------------


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.allclose(a, b, rtol=0, atol=1e-10)


@pytest.mark.parametrize("steps", [1, 2, 10])
def test_ddpm_is_ddim_with_eta_1_is_euler_ancestral_and_ddim_is_euler(steps: int):
    def end(sampler: str, eta: float = 0.0) -> torch.Tensor:
        return sample_final(ideal(), SCHEDULE, steps=steps, sampler=sampler, eta=eta, start=START, seed=3)

    assert same(end("ddpm"), end("ddim", 1.0)) and same(end("ddpm"), end("euler_ancestral"))
    assert same(end("ddim"), end("euler"))


@pytest.mark.parametrize("sampler", sorted(set(SAMPLERS) - {"dpmpp_2m_karras"}))  # which rounds the t of its own σ
def test_the_three_predictions_are_one_model(sampler: str):
    ends = [
        sample_final(ideal(kind), SCHEDULE, steps=8, sampler=sampler, prediction=kind, start=START)
        for kind in PREDICTIONS
    ]
    assert same(ends[0], ends[1]) and same(ends[0], ends[2])


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("prediction", ["sample", "v_prediction"])
def test_every_sampler_starts_from_noise_alone(sampler: str, prediction: str):
    """Nothing is divided by √ᾱ = 0, and the result is as good as that of the schedule that is not stretched."""
    schedule = SCHEDULE.zero_terminal_snr()
    model = ideal(prediction, schedule)
    drawn = sample_final(model, schedule, (8, 3, 16, 16), 60, sampler, prediction)
    assert drawn.mean() == pytest.approx(MEAN, abs=0.05) and drawn.std() == pytest.approx(SPREAD, abs=0.08)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_small_fault_of_the_network_stays_small_on_the_cosine_schedule(sampler: str):
    """Its last step holds next to no image (σ = 20,000): what is divided by √ᾱ there would be blown up."""
    schedule = NoiseSchedule.cosine()
    right = ideal("v_prediction", schedule)

    def wrong(xt: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return right(xt, t) + 0.01 * torch.sin(t.double() / 7).reshape(-1, 1, 1, 1)

    ends = [sample_final(model, schedule, (4, 3, 8, 8), 25, sampler, "v_prediction") for model in (right, wrong)]
    assert (ends[0] - ends[1]).abs().max() < 0.1


# --- the loop -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_step_is_given_and_leads_to_the_next(sampler: str):
    way = list(sample(ideal(), SCHEDULE, (2, 3, 4, 4), 6, sampler))
    assert [step.number for step in way] == [1, 2, 3, 4, 5, 6]
    assert [step.t for step in way] == sorted((step.t for step in way), reverse=True) and way[0].t == 1023
    for step, after in pairwise(way):
        assert torch.equal(step.next, after.xt)
    for step in way:
        assert torch.allclose(step.level.signal * step.x0 + step.level.noise * step.eps, step.xt, atol=1e-5)
    if sampler != "pndm":  # which has foreseen another noise than it saw last
        assert torch.allclose(way[-1].next, way[-1].x0, atol=1e-5)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_same_seed_gives_the_same_picture_whatever_stands_beside_it(sampler: str):
    def draw(number: int, seed: int) -> torch.Tensor:
        return sample_final(ideal(), SCHEDULE, (number, 3, 4, 4), 5, sampler, seed=seed, eta=0.5)

    assert torch.equal(draw(3, 1), draw(3, 1))
    assert torch.equal(draw(3, 1)[:2], draw(2, 1))
    assert (draw(3, 1) - draw(3, 2)).abs().amin((1, 2, 3)).max() < 1 and not torch.equal(draw(2, 1)[1], draw(2, 2)[0])
    assert not torch.equal(draw(2, 1)[0], draw(2, 1)[1])
    first, other = (next(sample(ideal(), SCHEDULE, (1, 3, 4, 4), 5, sampler, seed=seed)).xt for seed in (1, 2))
    assert not torch.equal(first, other)


def test_a_generator_serves_as_a_seed_and_a_global_seed_is_left_alone():
    state = torch.get_rng_state()
    a, b = (
        sample_final(ideal(), SCHEDULE, (2, 3, 4, 4), 4, "ddpm", seed=torch.Generator().manual_seed(7)) for _ in "ab"
    )
    assert torch.equal(a, b) and torch.equal(state, torch.get_rng_state())


def test_starting_in_the_middle_goes_on_as_from_the_beginning():
    whole = list(sample(ideal(), SCHEDULE, steps=8, sampler="ddim", start=START))
    half = list(sample(ideal(), SCHEDULE, steps=8, sampler="ddim", start=whole[3].xt, skip=3))
    assert len(half) == 5 and half[0].t == whole[3].t and torch.equal(half[-1].next, whole[-1].next)


def test_the_network_is_told_whole_steps_or_fractions_and_no_gradient_is_kept():
    told = []

    def model(xt: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        told.append(t)
        return xt * torch.ones(1, requires_grad=True)

    sample_final(model, SCHEDULE, (2, 3, 4, 4), 4, "ddim", spacing="linspace")
    assert all(t.dtype == torch.int64 and t.shape == (2,) for t in told)
    last = sample_final(model, SCHEDULE, (2, 3, 4, 4), 4, "euler", spacing="linspace")
    assert told[-3].dtype == torch.float32 and told[-3][0] % 1 == 0 and told[-2][0].item() == 341
    assert last.dtype == torch.float32 and not last.requires_grad


def test_clipping_keeps_x0_between_minus_one_and_one():
    def wild(xt: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return 3 * xt

    for clip in (True, False):
        way = list(sample(wild, SCHEDULE, (2, 3, 4, 4), 5, "dpmpp_2m", "sample", clip=clip))
        assert (max(step.x0.abs().max().item() for step in way) <= 1) is clip


# --- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [0, -5, 1001, 3.5, "ten", None, True])
def test_an_impossible_number_of_steps_gets_one_sentence(steps):
    with pytest.raises(UserError, match=r"is no number of steps; give a whole number from 1 to 1000\.$"):
        sample_final(ideal(), NoiseSchedule.linear(), steps=steps)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("spacing", SPACINGS)
def test_every_number_of_steps_has_falling_levels_or_gets_one_sentence(sampler: str, spacing: str):
    for steps in (1, 2, 3, 7, 50, 333, 501, 1000):
        try:
            stops = noise_levels(NoiseSchedule.linear(), steps, sampler, spacing)
        except UserError as error:
            assert steps == 1000 and sampler == "dpmpp_2m" and "take fewer, or 'trailing'" in str(error)
            continue
        assert len(stops) == steps + 1 and stops[-1].alpha_bar == 1
        assert (torch.tensor([stop.sigma for stop in stops]).diff() < 0).all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"sampler": "lms"}, "no sampler 'lms'; choose one of: ddpm, ddim, pndm, euler"),
        ({"spacing": "even"}, "no spacing 'even'; choose one of: leading, linspace, trailing"),
        ({"prediction": "score"}, "no prediction 'score'; choose one of: epsilon, sample, v_prediction"),
        ({"eta": 1.5, "sampler": "ddim"}, "eta 0 to 1"),
        ({"skip": 25}, "skip must be 0 to 24"),
        ({"spacing": "leading", "offset": 1, "steps": 1000, "sampler": "ddim"}, "take fewer"),
    ],
)
def test_a_wrong_argument_gets_one_sentence(wrong: dict, message: str):
    with pytest.raises(UserError, match=message):
        sample_final(ideal(), NoiseSchedule.linear(), **wrong)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_noise_prediction_cannot_start_from_noise_alone(sampler: str):
    with pytest.raises(UserError, match="use 'v_prediction'"):
        sample_final(ideal(), SCHEDULE.zero_terminal_snr(), sampler=sampler)
