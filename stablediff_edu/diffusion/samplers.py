"""Samplers: from noise to an image, each one step that can be read beside its paper's formula.

The network's prediction for xt gives x0 (the predicted clean image) and eps (the predicted noise). A step mixes them
again, with less noise. Here xt is always √ᾱ·x0 + √(1-ᾱ)·eps, also for the papers that write x = xt/√ᾱ = x0 + σ·eps
with σ = √(1-ᾱ)/√ᾱ: so all samplers start from the same noise and show the network the same.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple, cast

import numpy as np
import torch

from stablediff_edu.config import device_of, randn_like, to_device
from stablediff_edu.diffusion.schedule import (
    EXACT,
    PREDICTIONS,
    NoiseSchedule,
    check_choice,
    check_num_steps,
    to_x0_eps,
)
from stablediff_edu.errors import UserError

SPACINGS = ("leading", "linspace", "trailing")


class NoiseLevel(NamedTuple):
    """A noise level of the sampling trajectory: t, the network's input (None at the end), ᾱ, √ᾱ, √(1-ᾱ), and σ, from
    infinity to 0."""

    t: float | None
    alpha_bar: float
    signal: float
    noise: float
    sigma: float


class SamplerStep(NamedTuple):
    """A sampling step: its number from 1, its timestep and noise level, and four tensors (B, 3, H, W): xt, the
    network's input; x0 and eps, the predicted clean image and noise; `next`, the input of the next step."""

    number: int
    t: float
    level: NoiseLevel
    xt: torch.Tensor
    x0: torch.Tensor
    eps: torch.Tensor
    next: torch.Tensor  # after the last step the result


# One step each, from `current` to the level `target`. noise_fn() gives fresh noise, model_fn(xt, level) one more
# prediction as (x0, eps); `history` are the steps before, the latest first. ᾱ here and there is the papers' ᾱ_t and
# ᾱ_{t-1} (in DDIM's, α).


def ddpm(current: SamplerStep, target: NoiseLevel, noise_fn: Callable, **_) -> torch.Tensor:
    """A random point between xt and x0 (Ho, Jain and Abbeel, 2020, equations 6 and 7)."""
    here = current.level.alpha_bar
    alpha = here / target.alpha_bar  # α_t: the share of the image there that is left here
    beta = 1 - alpha
    of_x0, of_xt = target.signal * beta / (1 - here), math.sqrt(alpha) * (1 - target.alpha_bar) / (1 - here)
    variance = (1 - target.alpha_bar) / (1 - here) * beta
    return of_x0 * current.x0 + of_xt * current.xt + math.sqrt(variance) * noise_fn()


def ddim(current: SamplerStep, target: NoiseLevel, noise_fn: Callable, eta: float, **_) -> torch.Tensor:
    """x0 and eps mixed again, some of the noise (η) fresh (Song, Meng and Ermon, 2021, equations 12 and 16)."""
    here = current.level.alpha_bar
    fresh = eta * math.sqrt((1 - target.alpha_bar) / (1 - here)) * math.sqrt(1 - here / target.alpha_bar)  # their σ
    kept = math.sqrt(max(0, 1 - target.alpha_bar - fresh**2))  # rounding may lead below 0
    mixed = target.signal * current.x0 + kept * current.eps
    return mixed + fresh * noise_fn() if eta else mixed


def euler(current: SamplerStep, target: NoiseLevel, **_) -> torch.Tensor:
    """Straight on: dx/dσ = (x - x0)/σ = eps, and x + (σ' - σ)·eps is x0 + σ'·eps (Karras et al., 2022, algorithm 1).
    This is DDIM without fresh noise."""
    return target.signal * (current.x0 + target.sigma * current.eps)


def euler_ancestral(current: SamplerStep, target: NoiseLevel, noise_fn: Callable, **_) -> torch.Tensor:
    """Down too far, to σ↓, and up again with fresh noise, σ↓² + σ↑² = σ'² (Crowson's k-diffusion, 2022).
    This is DDPM, and DDIM with η = 1."""
    ratio = target.sigma / current.level.sigma
    up, down = target.sigma * math.sqrt(1 - ratio**2), target.sigma * ratio
    return target.signal * (current.x0 + down * current.eps + up * noise_fn())


def heun(current: SamplerStep, target: NoiseLevel, model_fn: Callable, **_) -> torch.Tensor:
    """Euler's step, then again with the mean of the slopes at both of its ends (Karras et al., 2022, algorithm 1)."""
    guess = euler(current, target)
    if target.t is None or current.level.sigma > MAX_SIGMA_FOR_CORRECTION:
        return guess
    slope = (current.eps + model_fn(guess, target)[1]) / 2
    return target.signal * (
        current.x0 + current.level.sigma * current.eps + (target.sigma - current.level.sigma) * slope
    )


def dpm_solver(current: SamplerStep, target: NoiseLevel, history: Sequence[SamplerStep], **_) -> torch.Tensor:
    """x0 goes on changing as it did (DPM-Solver++(2M): Lu et al., 2022, arXiv 2211.01095, algorithm 2)."""
    h = math.log(current.level.sigma / target.sigma) if target.sigma else math.inf  # λ' - λ with λ = -log σ
    x0 = current.x0
    if history and target.t is not None:  # the first step knows no change yet, the last is infinitely long
        h_before = math.log(history[0].level.sigma / current.level.sigma)
        x0 = x0 + h / (2 * h_before) * (x0 - history[0].x0)
    return target.noise / current.level.noise * current.xt - target.signal * math.expm1(-h) * x0


def pndm(
    current: SamplerStep, target: NoiseLevel, history: Sequence[SamplerStep], model_fn: Callable, **_
) -> torch.Tensor:
    """DDIM's step with the noise extrapolated from up to four predictions (Liu et al., 2022, arXiv 2202.09778).
    Stable Diffusion's PLMS: where the paper begins with three steps of four predictions each, one step of two."""
    if history:
        eps = sum(
            weight * step.eps for weight, step in zip(ADAMS_BASHFORTH[len(history)], [current, *history], strict=True)
        )
    elif target.t is None or current.level.sigma > MAX_SIGMA_FOR_CORRECTION:
        return euler(current, target)
    else:
        eps = (current.eps + model_fn(euler(current, target), target)[1]) / 2
    x0 = (current.xt - current.level.noise * eps) / current.level.signal
    return target.signal * x0 + target.noise * eps


ADAMS_BASHFORTH = {1: (3 / 2, -1 / 2), 2: (23 / 12, -16 / 12, 5 / 12), 3: (55 / 24, -59 / 24, 37 / 24, -9 / 24)}
# σ above which x0 must not be computed from a corrected eps: its slightest error would be made huge
MAX_SIGMA_FOR_CORRECTION = 1000
# A step, and where it stops: at whole t or between them too, at whole t but not at 0, or at Karras' own σ.
SAMPLERS: dict[str, tuple[Callable[..., torch.Tensor], str]] = {
    "ddpm": (ddpm, "whole"),
    "ddim": (ddim, "whole"),
    "pndm": (pndm, "whole"),
    "euler": (euler, "between"),
    "euler_ancestral": (euler_ancestral, "between"),
    "heun": (heun, "between"),
    "dpmpp_2m": (dpm_solver, "not at 0"),
    "dpmpp_2m_karras": (dpm_solver, "karras"),
}


def spaced_timesteps(steps: int, total: int, spacing: str, offset: int, stops: str) -> torch.Tensor:
    """Return (steps,) falling t of 0 … total-1 (Lin et al., 2024, table 2): the first of every stretch ("leading",
    which never sees the noisiest), the last ("trailing"), or from end to end ("linspace")."""
    points = torch.arange(steps + (stops == "not at 0" and spacing != "trailing"), **EXACT)
    if spacing == "trailing":
        return (total - points * total / steps).round() - 1
    if spacing == "leading":
        return (points * (total // len(points))).flip(0)[:steps] + offset
    t = torch.from_numpy(np.linspace(0 if len(points) > 1 else total - 1, total - 1, len(points))).flip(0)
    return (t if stops == "between" else t.round())[:steps]


def noise_levels(
    schedule: NoiseSchedule, steps: int, sampler="dpmpp_2m", spacing="trailing", offset: int = 0, to_clean: bool = True
) -> list[NoiseLevel]:
    """Return the steps + 1 noise levels of `sample`; the arguments are explained there."""
    total, stops = len(schedule), SAMPLERS[check_choice(sampler, SAMPLERS, "sampler")][1]
    check_num_steps(steps, total)
    check_choice(spacing, SPACINGS, "spacing")
    if stops == "karras":  # evenly between the 7th roots of the first and the last σ: Karras et al., equation 5
        every = schedule.sigmas.clamp(max=4096)  # noise alone has infinity, from which no curve leads down
        sigmas = torch.lerp(every[-1] ** (1 / 7), every[0] ** (1 / 7), torch.linspace(0, 1, steps, **EXACT)) ** 7
        ts = torch.from_numpy(np.interp(sigmas.log(), every.log(), np.arange(total)).round())
        alpha_bars = 1 / (1 + sigmas**2)
    else:
        ts = spaced_timesteps(steps, total, spacing, offset, stops)
        if ts[0] > total - 1 or (ts.diff() >= 0).any():
            raise UserError(f"{spacing!r} spacing does not find {steps} steps of {total}; take fewer, or 'trailing'.")
        alpha_bars = schedule.at(ts)
    end = torch.ones(1, **EXACT) if to_clean else schedule.alpha_bar[:1]
    image = torch.cat([alpha_bars, end])
    noise = 1 - image
    numbers = (image, image.sqrt(), noise.sqrt(), (noise / image).sqrt())  # as Python's own: on every device
    rows = zip([*ts.tolist(), None], *(row.tolist() for row in numbers), strict=True)
    return [NoiseLevel(*row) for row in rows]


@torch.no_grad()
def sample(
    model: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    schedule: NoiseSchedule,
    shape: Sequence[int] = (1, 3, 32, 32),
    steps: int = 25,
    sampler: str = "dpmpp_2m",
    prediction: str = "epsilon",
    seed: int | torch.Generator = 0,
    *,
    spacing: str = "trailing",
    offset: int = 0,
    to_clean: bool = True,
    eta: float = 0.0,
    clip: bool = False,
    start: torch.Tensor | None = None,
    skip: int = 0,
    device: torch.device | str | None = None,
) -> Iterator[SamplerStep]:
    """Sample images (B, 3, H, W) from noise and yield every step, on the device of the network.

    Args:
        model: (xt, t) -> its prediction: "epsilon", "sample" or "v_prediction"; t is (B,), whole but for
            "euler…" and "heun".
        seed: of all noise; image number i of a seed is the same in every batch. Or a generator for all images.
        spacing: one of SPACINGS ("dpmpp_2m_karras" has its own); `offset` is added to "leading": 1 in Stable Diffusion.
        to_clean: False ends at ᾱ[0] instead of 1: Stable Diffusion with "ddim" and "pndm".
        eta: of "ddim": 0 takes no fresh noise, 1 as much as "ddpm".
        clip: keep every x0 within [-1, 1], where pixels are (latents are not).
        start: start from this, not from sampled noise. With `skip` first steps left out: a noisy image as at
            noise_levels(…)[skip].
        device: only for a `model` that is a function, if not the CPU.
    """
    stops = noise_levels(schedule, steps, sampler, spacing, offset, to_clean)
    check_choice(prediction, PREDICTIONS, "prediction")
    if not (0 <= skip < steps and 0 <= eta <= 1):
        raise UserError(f"skip must be 0 to {steps - 1} and eta 0 to 1; here they are {skip} and {eta}.")
    if prediction == "epsilon" and schedule.at(cast(float, stops[skip].t)) == 0:
        raise UserError("In noise alone a noise prediction shows no image; use 'v_prediction', or another schedule.")
    step, where = SAMPLERS[sampler]
    noise_fn = make_noise_fn(seed, torch.empty(*shape, device=device or device_of(model)) if start is None else start)

    def model_fn(xt: torch.Tensor, level: NoiseLevel) -> tuple[torch.Tensor, torch.Tensor]:
        kind = torch.promote_types(xt.dtype, torch.float32) if where == "between" else torch.int64
        answer = model(xt, torch.full((len(xt),), cast(float, level.t), dtype=kind, device=xt.device))
        x0, eps = to_x0_eps(answer, xt, level.signal, level.noise, prediction)
        if clip:
            x0 = x0.clamp(-1, 1)
            eps = (xt - level.signal * x0) / level.noise  # so that the two still make xt
        return x0, eps

    xt, history = noise_fn() if start is None else start, list[SamplerStep]()
    for number, (here, target) in enumerate(pairwise(stops[skip:]), 1):
        assert here.t is not None  # only the last level has none
        current = SamplerStep(number, here.t, here, xt, *model_fn(xt, here), next=xt)
        xt = step(current, target, history=history, model_fn=model_fn, noise_fn=noise_fn, eta=eta)
        yield current._replace(next=xt)
        history = [current, *history][:3]


def sample_final(*arguments, **named) -> torch.Tensor:
    """Return the images (B, 3, H, W) with which `sample` ends, on the CPU; it has the same arguments."""
    return deque(sample(*arguments, **named), maxlen=1)[0].next.cpu()


def make_noise_fn(seed: int | torch.Generator, like: torch.Tensor) -> Callable[[], torch.Tensor]:
    """Return a function that samples noise shaped like `like`; with a number as seed it is the same on every device."""
    if isinstance(seed, torch.Generator):
        return lambda: randn_like(like, seed)
    own, shape = [torch.Generator().manual_seed(seed * 1_000_003 + number) for number in range(len(like))], like.shape
    return lambda: to_device(
        torch.stack([torch.randn(shape[1:], generator=g, dtype=like.dtype, device="cpu") for g in own]), like.device
    )
