"""Every sampler goes where diffusers goes, step by step, in float64.

diffusers keeps its tables in float32 and casts to it in the middle of a step. For these tests its modules are shown a
torch and a numpy whose float32 is float64: then its own code computes all in double, and 1e-9 tests the formulas.
Three corners differ on purpose, each with a test of its own below.
"""

import types

import numpy
import pytest
import torch
from diffusers import schedulers

from stablediff_edu.diffusion import samplers
from stablediff_edu.diffusion.samplers import SAMPLERS, SPACINGS, noise_levels, sample
from stablediff_edu.diffusion.schedule import NoiseSchedule

TOLERANCE = 1e-9
STEPS = (1, 2, 5, 10, 20, 50)
BETAS = {"linear": NoiseSchedule.linear, "scaled_linear": NoiseSchedule.scaled_linear}
RANGES = {"linear": (1e-4, 0.02), "scaled_linear": (0.00085, 0.012)}
PREDICTIONS = ("epsilon", "sample", "v_prediction")
THEIRS = {
    "ddpm": ("scheduling_ddpm", "DDPMScheduler", {"clip_sample": False}),
    "ddim": ("scheduling_ddim", "DDIMScheduler", {"clip_sample": False}),
    "pndm": ("scheduling_pndm", "PNDMScheduler", {"skip_prk_steps": True, "set_alpha_to_one": True}),
    "euler": ("scheduling_euler_discrete", "EulerDiscreteScheduler", {}),
    "euler_ancestral": ("scheduling_euler_ancestral_discrete", "EulerAncestralDiscreteScheduler", {}),
    "heun": ("scheduling_heun_discrete", "HeunDiscreteScheduler", {}),
    "dpmpp_2m": ("scheduling_dpmsolver_multistep", "DPMSolverMultistepScheduler", {}),
    "dpmpp_2m_karras": ("scheduling_dpmsolver_multistep", "DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
}
START = torch.randn(2, 3, 2, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


class _Double(types.ModuleType):
    """A module that is like another one, but its float32 is float64."""

    def __init__(self, module: types.ModuleType) -> None:
        super().__init__(module.__name__)
        self.module, self.float32 = module, module.float64

    def __getattr__(self, name: str):
        return getattr(self.module, name)


@pytest.fixture(autouse=True)
def double_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in {file for file, _, _ in THEIRS.values()}:
        module = getattr(schedulers, name)
        monkeypatch.setattr(module, "torch", _Double(torch))
        monkeypatch.setattr(module, "np", _Double(numpy))


def network(xt: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """No network at all, but bent in xt and in t."""
    t = torch.as_tensor(t, dtype=torch.float64).reshape(-1, 1, 1, 1)
    return 0.5 * torch.sin(1.3 * xt + t / 170) + 0.3 * xt * torch.cos(t / 400) + 0.1


def their_scheduler(sampler: str, betas: str, prediction: str, spacing: str, steps: int, **settings):
    file, name, usual = THEIRS[sampler]
    first, last = RANGES[betas]
    scheduler = getattr(getattr(schedulers, file), name)(
        beta_schedule=betas, beta_start=first, beta_end=last, prediction_type=prediction,
        timestep_spacing=spacing, **(usual | settings),
    )  # fmt: skip
    scheduler.set_timesteps(steps)
    if steps == 1 and spacing == "linspace" and not sampler.startswith("dpmpp_2m"):
        start_at_the_noise(scheduler)
    return scheduler


def start_at_the_noise(scheduler) -> None:
    """One step of diffusers' linspace is t = 0, which makes no image of noise; ours is t = 999: make it do that."""
    scheduler.timesteps = torch.full_like(scheduler.timesteps, 999)
    if hasattr(scheduler, "sigmas"):
        last = scheduler.alphas_cumprod[-1]
        scheduler.sigmas = torch.stack([((1 - last) / last) ** 0.5, torch.zeros_like(last)])


def mend_gap(scheduler, t: int, then: int) -> None:
    """diffusers' DDIM and PNDM go from t to t - 1000 // steps, even where linspace says otherwise. Make it go there."""
    scheduler.register_to_config(num_train_timesteps=(t - then) * scheduler.num_inference_steps)


def their_way(scheduler, sampler: str, model, mended: bool = True, **options) -> list[torch.Tensor]:
    """What diffusers has after every step, scaled so that image and noise have variance 1 together."""
    in_sigma = sampler in ("euler", "euler_ancestral", "heun")
    sigmas = scheduler.sigmas if in_sigma else torch.zeros(2 * len(scheduler.timesteps))
    scales = (sigmas**2 + 1) ** 0.5
    x = START * scales[0]
    ts = scheduler.timesteps.tolist()
    way = []
    for i, t in enumerate(scheduler.timesteps):
        if mended and sampler in ("ddim", "pndm") and scheduler.config.timestep_spacing == "linspace":
            distinct = [*sorted(set(ts), reverse=True), -1]
            here = max(distinct.index(ts[i]) - (sampler == "pndm" and i == 1), 0)
            mend_gap(scheduler, distinct[here], distinct[here + 1])
        answer = model(scheduler.scale_model_input(x, t), t)
        x = scheduler.step(answer, t, x, **options).prev_sample
        way.append(x / scales[i + 1])
    if sampler == "heun":  # every step but the last asks twice
        way = way[1::2] + way[-1:]
    return way[1:] if sampler == "pndm" and len(way) > 1 else way  # so does the first of these


def difference(sampler: str, betas: str, prediction: str, spacing: str, steps: int, theirs=None, options=None, **ours):
    """The largest difference at any step."""
    scheduler = their_scheduler(sampler, betas, prediction, spacing, steps, **(theirs or {}))
    options = dict(options or {})
    if sampler in ("ddpm", "euler_ancestral") or "eta" in options:
        options["generator"] = torch.Generator().manual_seed(5)
    expected = their_way(scheduler, sampler, network, **options)
    got = sample(
        network, BETAS[betas](), steps=steps, sampler=sampler, prediction=prediction, spacing=spacing, start=START,
        seed=torch.Generator().manual_seed(5), **ours,
    )  # fmt: skip
    got = [step.next for step in got]
    assert len(got) == len(expected) == steps
    return max((a - b).abs().max().item() for a, b in zip(got, expected, strict=True))


# What diffusers has. Its PNDM averages velocities of several steps as if they were noises; the paper, and ours, noises.
PAIRS = [
    (sampler, prediction)
    for sampler in SAMPLERS
    for prediction in PREDICTIONS
    if not (sampler == "pndm" and prediction != "epsilon") and (sampler, prediction) != ("euler_ancestral", "sample")
]


@pytest.mark.parametrize("betas", BETAS)
@pytest.mark.parametrize(("sampler", "prediction"), PAIRS)
def test_every_step_is_where_diffusers_is(sampler: str, prediction: str, betas: str):
    for spacing in SPACINGS:
        for steps in STEPS:
            worst = difference(sampler, betas, prediction, spacing, steps)
            assert worst <= TOLERANCE, f"{steps} steps, {spacing}: {worst}"


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "pndm", "euler", "euler_ancestral", "heun", "dpmpp_2m"])
@pytest.mark.parametrize("steps", [1, 2, 20])
def test_the_offset_of_leading_steps_as_stable_diffusion_has_it(sampler: str, steps: int):
    settings = {"steps_offset": 1}
    assert difference(sampler, "scaled_linear", "epsilon", "leading", steps, settings, offset=1) <= TOLERANCE


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("sampler", ["ddim", "pndm"])
def test_ending_at_the_first_step_as_stable_diffusion_does(sampler: str, offset: int):
    for steps in STEPS:
        settings = {"steps_offset": offset, "set_alpha_to_one": False}
        worst = difference(
            sampler, "scaled_linear", "epsilon", "leading", steps, settings, offset=offset, to_clean=False
        )
        assert worst <= TOLERANCE


@pytest.mark.parametrize("eta", [0.3, 1.0])
@pytest.mark.parametrize("spacing", SPACINGS)
def test_ddim_with_fresh_noise(eta: float, spacing: str):
    for steps in STEPS:
        for prediction in PREDICTIONS:
            worst = difference("ddim", "linear", prediction, spacing, steps, options={"eta": eta}, eta=eta)
            assert worst <= TOLERANCE, f"{steps} steps, {prediction}: {worst}"


@pytest.mark.parametrize(
    ("sampler", "options"), [("ddpm", {}), ("ddim", {"use_clipped_model_output": True}), ("heun", {})]
)
def test_clipping_x0(sampler: str, options: dict):
    """With DDIM diffusers leaves eps alone unless told; ours follows x0, so that the two still make xt."""
    settings = {"clip_sample": True, "clip_sample_range": 1.0}
    clipped = difference(sampler, "linear", "epsilon", "trailing", 10, settings, options, clip=True)
    assert clipped <= TOLERANCE < difference(sampler, "linear", "epsilon", "trailing", 10, settings, options)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "euler", "euler_ancestral", "dpmpp_2m"])
def test_a_schedule_that_ends_in_noise_alone(sampler: str, monkeypatch: pytest.MonkeyPatch):
    """σ would be infinite there: diffusers' Euler and DPM-Solver++ take ᾱ = 2⁻²⁴ for 0. Ours take 0 as it is."""
    schedule = BETAS["scaled_linear"]().zero_terminal_snr()
    near = NoiseSchedule(schedule.alpha_bar.clamp(min=2**-24))
    monkeypatch.setitem(BETAS, "scaled_linear", lambda: schedule if sampler in ("ddpm", "ddim") else near)
    for steps in STEPS:
        settings = {"rescale_betas_zero_snr": True}
        assert difference(sampler, "scaled_linear", "v_prediction", "trailing", steps, settings) <= TOLERANCE


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_steps_are_those_of_diffusers_for_any_number_of_them(sampler: str):
    for spacing in SPACINGS:
        for steps in (2, 3, 7, 13, 17, 28, 30, 33, 60, 101, 250, 333, 400):
            expected = list(
                dict.fromkeys(their_scheduler(sampler, "linear", "epsilon", spacing, steps).timesteps.tolist())
            )
            ours = [level.t for level in noise_levels(NoiseSchedule.linear(), steps, sampler, spacing)[:-1]]
            if sampler == "dpmpp_2m_karras":  # several σ may share a t
                ours = list(dict.fromkeys(ours))
            assert ours == pytest.approx(expected, abs=1e-9)


def test_stable_diffusions_own_steps_at_20():
    def ts(sampler: str, spacing: str) -> list[float]:
        return [level.t for level in noise_levels(NoiseSchedule.scaled_linear(), 20, sampler, spacing, offset=1)[:-1]]

    assert ts("ddim", "leading")[:2] == [951, 901] and ts("ddim", "leading")[-2:] == [51, 1]
    assert ts("euler", "linspace")[:2] == [999, pytest.approx(946.42, abs=0.005)] and ts("euler", "linspace")[-1] == 0
    assert ts("dpmpp_2m", "linspace")[:2] == [999, 949] and ts("dpmpp_2m", "linspace")[-1] == 50
    assert ts("ddpm", "trailing")[:2] == [999, 949] and ts("ddpm", "trailing")[-1] == 49
    calls = []
    list(sample(lambda xt, t: calls.append(t[0].item()) or xt, NoiseSchedule.scaled_linear(), (1, 3, 2, 2), 20, "pndm",
                spacing="leading", offset=1, to_clean=False))  # fmt: skip
    assert calls[:4] == [951, 901, 901, 851] and calls[-2:] == [51, 1] and len(calls) == 21


# --- where diffusers differs: it would be seen here if it no longer did ---------------------------------------------


def test_one_step_of_linspace_starts_at_the_noise_here_and_at_the_picture_in_diffusers():
    scheduler = schedulers.EulerDiscreteScheduler(timestep_spacing="linspace")
    scheduler.set_timesteps(1)
    assert scheduler.timesteps.tolist() == [0]
    assert noise_levels(NoiseSchedule.linear(), 1, "euler", "linspace")[0].t == 999


@pytest.mark.parametrize("sampler", ["ddim", "pndm"])
def test_linspace_of_ddim_and_pndm_lands_where_it_goes_on_here_and_not_in_diffusers(sampler: str):
    """diffusers goes from t to t - 1000 // steps and goes on as if it were at the next t of linspace."""
    schedule = NoiseSchedule.linear()

    def to_the_middle(xt: torch.Tensor, t: torch.Tensor) -> torch.Tensor:  # the ideal answer if all data are 0.5
        signal, noise = schedule.coefficients(torch.as_tensor(t).reshape(-1), xt)
        return (xt - signal * 0.5) / noise

    scheduler = their_scheduler(sampler, "linear", "epsilon", "linspace", 5)
    theirs = their_way(scheduler, sampler, to_the_middle, mended=False)
    ours = list(sample(to_the_middle, schedule, steps=5, sampler=sampler, spacing="linspace", start=START))
    stops = noise_levels(schedule, 5, sampler, "linspace")
    for step, there, other in zip(ours, stops[1:-1], theirs, strict=False):
        exact = there.signal * 0.5 + there.noise * ours[0].eps  # eps stays what it was at the start
        assert (step.next - exact).abs().max() < 1e-9
        assert (other - exact).abs().max() > 1e-2


def test_pndm_averages_the_noise_of_velocities_not_the_velocities():
    """Handed the noise that the velocities mean, diffusers agrees; handed velocities, it does not."""
    schedule = NoiseSchedule.linear()

    def as_noise(xt: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return schedule.to_noise(network(xt, t), xt, torch.as_tensor(t).reshape(-1), "v_prediction")

    ours = list(sample(network, schedule, steps=10, sampler="pndm", prediction="v_prediction", start=START))
    theirs = their_way(their_scheduler("pndm", "linear", "epsilon", "trailing", 10), "pndm", as_noise)
    assert max((a.next - b).abs().max() for a, b in zip(ours, theirs, strict=True)) <= TOLERANCE
    assert difference("pndm", "linear", "v_prediction", "trailing", 10) > 1e-6


# --- would a small fault be seen? -----------------------------------------------------------------------------------


USES = (
    dict.fromkeys(SAMPLERS, "x0 eps")
    | dict.fromkeys(["ddpm", "dpmpp_2m", "dpmpp_2m_karras"], "x0 xt")
    | {"pndm": "eps xt"}
)


@pytest.mark.parametrize(
    ("sampler", "field"),
    [(sampler, field) for sampler in SAMPLERS for field in USES[sampler].split()],
)
def test_a_coefficient_wrong_by_a_millionth_is_seen(sampler: str, field: str, monkeypatch: pytest.MonkeyPatch):
    step, stops = SAMPLERS[sampler]

    def wrong(now, there, **others):
        return step(now._replace(**{field: getattr(now, field) * (1 + 1e-6)}), there, **others)

    monkeypatch.setitem(SAMPLERS, sampler, (wrong, stops))
    for steps in (2, 20):
        assert difference(sampler, "scaled_linear", "epsilon", "trailing", steps) > 10 * TOLERANCE


@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_weight_of_pndm_wrong_by_a_millionth_is_seen(order: int, monkeypatch: pytest.MonkeyPatch):
    first, *others = samplers.ADAMS_BASHFORTH[order]
    monkeypatch.setitem(samplers.ADAMS_BASHFORTH, order, (first + 1e-6, *others))
    assert difference("pndm", "scaled_linear", "epsilon", "leading", 10) > 10 * TOLERANCE
