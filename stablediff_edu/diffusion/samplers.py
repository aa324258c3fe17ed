"""Samplers: ways from noise to a picture, each a small step to be read beside its paper's formula.

A network looks at xt and answers; x0 (the picture that it sees) and eps (the noise that it sees) follow from that. A
step mixes them anew, with less noise. Here xt is always √ᾱ·x0 + √(1-ᾱ)·eps, also for the papers that write
x = xt/√ᾱ = x0 + σ·eps with σ = √(1-ᾱ)/√ᾱ: so all samplers start from the same noise and show the network the same.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch

from stablediff_edu.device import device_of, randn_like, to_device
from stablediff_edu.diffusion.schedule import EXACT, PREDICTIONS, Schedule, checked_steps, chosen, picture_and_noise
from stablediff_edu.errors import CourseError

SPACINGS = ("leading", "linspace", "trailing")


class Level(NamedTuple):
    """A stop on the way: t, which the network is told (None at the end), ᾱ, √ᾱ, √(1-ᾱ), and σ, from infinity to 0."""

    t: float | None
    alpha_bar: float
    signal: float
    noise: float
    sigma: float


class Step(NamedTuple):
    """A step: its number from 1, where it began, and four times (B, 3, H, W): xt, what the network was shown there; x0
    and eps, the picture and the noise that it saw in it; `next`, what the next step goes on with."""

    number: int
    t: float
    level: Level
    xt: torch.Tensor
    x0: torch.Tensor
    eps: torch.Tensor
    next: torch.Tensor | None = None  # after the last step the result


# The steps, from `now` to the level `there`. draw() gives fresh noise, ask(xt, level) one more answer as (x0, eps);
# `before` are the steps before now, the latest first. ᾱ here and there is the papers' ᾱ_t and ᾱ_{t-1} (in DDIM's, α).


def ddpm(now: Step, there: Level, draw: Callable, **_) -> torch.Tensor:
    """A random point between xt and x0 (Ho, Jain and Abbeel, 2020, equations 6 and 7)."""
    here = now.level.alpha_bar
    alpha = here / there.alpha_bar  # α_t: the share of the picture there that is left here
    beta = 1 - alpha
    of_x0, of_xt = there.signal * beta / (1 - here), math.sqrt(alpha) * (1 - there.alpha_bar) / (1 - here)
    variance = (1 - there.alpha_bar) / (1 - here) * beta
    return of_x0 * now.x0 + of_xt * now.xt + math.sqrt(variance) * draw()


def ddim(now: Step, there: Level, draw: Callable, eta: float, **_) -> torch.Tensor:
    """x0 and eps mixed anew, some of the noise (η) fresh (Song, Meng and Ermon, 2021, equations 12 and 16)."""
    here = now.level.alpha_bar
    fresh = eta * math.sqrt((1 - there.alpha_bar) / (1 - here)) * math.sqrt(1 - here / there.alpha_bar)  # their σ
    kept = math.sqrt(max(0, 1 - there.alpha_bar - fresh**2))  # rounding may lead below 0
    mixed = there.signal * now.x0 + kept * now.eps
    return mixed + fresh * draw() if eta else mixed


def euler(now: Step, there: Level, **_) -> torch.Tensor:
    """Straight on: dx/dσ = (x - x0)/σ = eps, and x + (σ' - σ)·eps is x0 + σ'·eps (Karras et al., 2022, algorithm 1).
    This is DDIM without fresh noise."""
    return there.signal * (now.x0 + there.sigma * now.eps)


def euler_ancestral(now: Step, there: Level, draw: Callable, **_) -> torch.Tensor:
    """Down too far, to σ↓, and up again with fresh noise, σ↓² + σ↑² = σ'² (Crowson's k-diffusion, 2022).
    This is DDPM, and DDIM with η = 1."""
    ratio = there.sigma / now.level.sigma
    up, down = there.sigma * math.sqrt(1 - ratio**2), there.sigma * ratio
    return there.signal * (now.x0 + down * now.eps + up * draw())


def heun(now: Step, there: Level, ask: Callable, **_) -> torch.Tensor:
    """Euler's step, then again with the mean of the slopes at both of its ends (Karras et al., 2022, algorithm 1)."""
    guess = euler(now, there)
    if there.t is None or now.level.sigma > HARDLY_A_PICTURE:
        return guess
    slope = (now.eps + ask(guess, there)[1]) / 2
    return there.signal * (now.x0 + now.level.sigma * now.eps + (there.sigma - now.level.sigma) * slope)


def dpm_solver(now: Step, there: Level, before: Sequence[Step], **_) -> torch.Tensor:
    """x0 goes on changing as it did (DPM-Solver++(2M): Lu et al., 2022, arXiv 2211.01095, algorithm 2)."""
    h = math.log(now.level.sigma / there.sigma) if there.sigma else math.inf  # λ' - λ with λ = -log σ
    x0 = now.x0
    if before and there.t is not None:  # the first step knows no change yet, the last is infinitely long
        h_before = math.log(before[0].level.sigma / now.level.sigma)
        x0 = x0 + h / (2 * h_before) * (x0 - before[0].x0)
    return there.noise / now.level.noise * now.xt - there.signal * math.expm1(-h) * x0


def pndm(now: Step, there: Level, before: Sequence[Step], ask: Callable, **_) -> torch.Tensor:
    """DDIM's step, its noise foreseen from up to four answers (Liu et al., 2022, arXiv 2202.09778).
    Stable Diffusion's PLMS: where the paper begins with three steps of four answers each, one step of two answers."""
    if before:
        eps = sum(weight * step.eps for weight, step in zip(ADAMS_BASHFORTH[len(before)], [now, *before], strict=True))
    elif there.t is None or now.level.sigma > HARDLY_A_PICTURE:
        return euler(now, there)
    else:
        eps = (now.eps + ask(euler(now, there), there)[1]) / 2
    x0 = (now.xt - now.level.noise * eps) / now.level.signal
    return there.signal * x0 + there.noise * eps


ADAMS_BASHFORTH = {1: (3 / 2, -1 / 2), 2: (23 / 12, -16 / 12, 5 / 12), 3: (55 / 24, -59 / 24, 37 / 24, -9 / 24)}
HARDLY_A_PICTURE = 1000  # σ above which x0 must not be had from a mended eps: its slightest fault would be made huge
# A step, and where it stops: at whole t or between them too, at whole t but not at 0, or at Karras' own σ.
SAMPLERS: dict[str, tuple[Callable[..., torch.Tensor], str]] = {
    "ddpm": (ddpm, "whole"),
    "ddim": (ddim, "whole"),
    "pndm": (pndm, "whole"),
    "euler": (euler, "between"),
    "euler-ancestral": (euler_ancestral, "between"),
    "heun": (heun, "between"),
    "dpm++": (dpm_solver, "not at 0"),
    "dpm++ karras": (dpm_solver, "karras"),
}


def spaced(steps: int, total: int, spacing: str, offset: int, stops: str) -> torch.Tensor:
    """Return (steps,) falling t of 0 … total-1 (Lin et al., 2024, table 2): the first of every stretch ("leading",
    which never sees the noisiest), the last ("trailing"), or from end to end ("linspace")."""
    points = torch.arange(steps + (stops == "not at 0" and spacing != "trailing"), **EXACT)
    if spacing == "trailing":
        return (total - points * total / steps).round() - 1
    if spacing == "leading":
        return (points * (total // len(points))).flip(0)[:steps] + offset
    t = torch.from_numpy(np.linspace(0 if len(points) > 1 else total - 1, total - 1, len(points))).flip(0)
    return (t if stops == "between" else t.round())[:steps]


def levels(
    schedule: Schedule, steps: int, sampler="dpm++", spacing="trailing", offset: int = 0, to_clean: bool = True
) -> list[Level]:
    """Return the steps + 1 levels from noise to picture at which `sample` stops; the arguments are explained there."""
    total, stops = len(schedule), SAMPLERS[chosen(sampler, SAMPLERS, "sampler")][1]
    checked_steps(steps, total)
    chosen(spacing, SPACINGS, "spacing")
    if stops == "karras":  # evenly between the 7th roots of the first and the last σ: Karras et al., equation 5
        every = schedule.sigmas.clamp(max=4096)  # noise alone has infinity, from which no curve leads down
        sigmas = torch.lerp(every[-1] ** (1 / 7), every[0] ** (1 / 7), torch.linspace(0, 1, steps, **EXACT)) ** 7
        ts, alpha_bars = np.interp(sigmas.log(), every.log(), np.arange(total)).round(), 1 / (1 + sigmas**2)
    else:
        ts = spaced(steps, total, spacing, offset, stops)
        if ts[0] > total - 1 or (ts.diff() >= 0).any():
            raise CourseError(f"{spacing!r} spacing does not find {steps} steps of {total}; take fewer, or 'trailing'.")
        alpha_bars = schedule.at(ts)
    end = torch.ones(1, **EXACT) if to_clean else schedule.alpha_bar[:1]
    picture = torch.cat([alpha_bars, end])
    noise = 1 - picture
    numbers = (picture, picture.sqrt(), noise.sqrt(), (noise / picture).sqrt())  # as Python's own: on every device
    return list(map(Level, [*ts.tolist(), None], *(row.tolist() for row in numbers)))


@torch.no_grad()
def sample(
    model: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    schedule: Schedule,
    shape: Sequence[int] = (1, 3, 32, 32),
    steps: int = 25,
    sampler: str = "dpm++",
    prediction: str = "noise",
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
) -> Iterator[Step]:
    """Go from noise to pictures (B, 3, H, W) and give every step on the way, on the device of the network.

    Args:
        model: (xt, t) -> its prediction: "noise", "clean" or "velocity"; t is (B,), whole but for "euler…" and "heun".
        seed: of all noise; picture number i of a seed is the same in every batch. Or a generator for all pictures.
        spacing: one of SPACINGS ("dpm++ karras" has its own); `offset` is added to "leading": 1 in Stable Diffusion.
        to_clean: False ends at ᾱ[0] instead of 1: Stable Diffusion with "ddim" and "pndm".
        eta: of "ddim": 0 takes no fresh noise, 1 as much as "ddpm".
        clip: keep every x0 within [-1, 1], where pixels are (latents are not).
        start: begin with this, not with drawn noise. With `skip` first steps left out: a mixture as at levels(…)[skip].
        device: only for a `model` that is a function, if not the CPU.
    """
    stops = levels(schedule, steps, sampler, spacing, offset, to_clean)
    chosen(prediction, PREDICTIONS, "prediction")
    if not (0 <= skip < steps and 0 <= eta <= 1):
        raise CourseError(f"skip must be 0 to {steps - 1} and eta 0 to 1; here they are {skip} and {eta}.")
    if prediction == "noise" and schedule.at(stops[skip].t) == 0:
        raise CourseError("In noise alone a noise prediction shows no picture; use 'velocity', or another schedule.")
    step, where = SAMPLERS[sampler]
    draw = noise_source(seed, torch.empty(*shape, device=device or device_of(model)) if start is None else start)

    def ask(xt: torch.Tensor, level: Level) -> tuple[torch.Tensor, torch.Tensor]:
        kind = torch.promote_types(xt.dtype, torch.float32) if where == "between" else torch.int64
        answer = model(xt, torch.full((len(xt),), level.t, dtype=kind, device=xt.device))
        x0, eps = picture_and_noise(answer, xt, level.signal, level.noise, prediction)
        if clip:
            x0 = x0.clamp(-1, 1)
            eps = (xt - level.signal * x0) / level.noise  # so that the two still make xt
        return x0, eps

    xt, before = draw() if start is None else start, list[Step]()
    for number, (here, there) in enumerate(pairwise(stops[skip:]), 1):
        assert here.t is not None  # only the last level has none
        now = Step(number, here.t, here, xt, *ask(xt, here))
        xt = step(now, there, before=before, ask=ask, draw=draw, eta=eta)
        yield now._replace(next=xt)
        before = [now, *before][:3]


def generate(*arguments, **named) -> torch.Tensor:
    """Return the pictures (B, 3, H, W) with which `sample` ends, on the CPU; it has the same arguments."""
    return deque(sample(*arguments, **named), maxlen=1)[0].next.cpu()


def noise_source(seed: int | torch.Generator, like: torch.Tensor) -> Callable[[], torch.Tensor]:
    """Return what draws noise shaped like `like`; of a number it is the same on every device."""
    if isinstance(seed, torch.Generator):
        return lambda: randn_like(like, seed)
    own, shape = [torch.Generator().manual_seed(seed * 1_000_003 + number) for number in range(len(like))], like.shape
    return lambda: to_device(
        torch.stack([torch.randn(shape[1:], generator=g, dtype=like.dtype, device="cpu") for g in own]), like.device
    )
