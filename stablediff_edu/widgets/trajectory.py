"""Panels that sample step by step, keep the trajectories, and show the step that a slider chooses."""

import time
from collections.abc import Callable, Generator
from typing import NamedTuple

import torch

from stablediff_edu.config import device_of, synchronize
from stablediff_edu.diffusion.samplers import sample
from stablediff_edu.diffusion.schedule import NoiseSchedule
from stablediff_edu.widgets.base import Panel
from stablediff_edu.widgets.controls import Select, Slider, seed_box

Model = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # (x_t, t) -> prediction
MAX_KEPT = 8


class Trajectory(NamedTuple):
    """A sampling trajectory, with one entry before every step and one at the end, on the CPU.

    Attributes:
        t: timesteps, steps + 1 of them; None at the end.
        xt: noisy images, (steps + 1, B, 3, H, W); the last is the result.
        x0: predicted clean images, (steps + 1, B, 3, H, W); the last is the result.
        calls: number of model evaluations.
        seconds: computing time.
    """

    t: list[float | None]
    xt: torch.Tensor
    x0: torch.Tensor
    calls: int
    seconds: float


class TrajectoryPanel(Panel):
    """Controls: sampler, if it is a control; sampling steps, seed, sampling step. `.shown` is the `Trajectory`.

    Subclasses implement `_show`, which shows one step of it.

    Args:
        model: (x_t, t) -> prediction.
        schedule: the one that it was trained with.
        shape: of the images, (B, 3, H, W).
        sampler: its name, or a control that chooses one.
        steps: the control that chooses the number of sampling steps.
        options: for `sample`: prediction, clip.
    """

    def __init__(
        self,
        title: str,
        model: Model,
        schedule: NoiseSchedule,
        shape: tuple[int, ...],
        sampler: str | Select,
        steps: Slider | Select,
        **options,
    ) -> None:
        super().__init__(title)
        self.model, self.schedule, self.shape, self.sampler, self.options = model, schedule, shape, sampler, options
        self.kept: dict[tuple, Trajectory] = {}
        if isinstance(sampler, Select):
            self.controls["sampler"] = sampler
        self.controls |= {"sampling steps": steps, "seed": seed_box(0)}
        self.controls["sampling step"] = Slider("sampling step", 0, steps.value, steps.value)

    def begin(self) -> None:
        """Sample for the first time, and follow the controls."""
        for _ in self._sample():
            pass
        self.follow(self._sample, "sampler", "sampling steps", "seed")
        self.follow(self._show, "sampling step")

    def step_shown(self) -> tuple[int, str]:
        """Return the number of the step to show, and which one it is in words."""
        steps = len(self.shown.t) - 1
        step = min(self.value("sampling step"), steps)
        return step, f"after step {step} of {steps}, t = {self.shown.t[step]:.0f}" if step < steps else "the result"

    def _sample(self) -> Generator[None, None, None]:
        sampler = self.sampler if isinstance(self.sampler, str) else self.sampler.value
        settings = steps, _, _ = self.value("sampling steps"), sampler, self.value("seed")
        if settings not in self.kept:
            if len(self.kept) == MAX_KEPT:
                del self.kept[next(iter(self.kept))]
            self.kept[settings] = yield from self._run(*settings)
        self.shown = self.kept[settings]
        with self.quietly():
            self.controls["sampling step"].set_max(steps, steps)
        self._show()

    def _run(self, steps: int, sampler: str, seed: int) -> Generator[None, None, Trajectory]:
        calls, seconds, taken = 0, 0.0, []

        def counted(xt: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            nonlocal calls
            calls += 1
            return self.model(xt, t)

        device = device_of(self.model)
        options = dict(device=device, seed=seed, **self.options)
        began = time.perf_counter()
        for step in sample(counted, self.schedule, self.shape, steps, sampler, **options):
            taken.append(step)
            seconds += time.perf_counter() - began
            yield
            began = time.perf_counter()
        synchronize(device)
        seconds += time.perf_counter() - began
        result = taken[-1].next
        xt, x0 = (torch.stack([getattr(step, name) for step in taken] + [result]).cpu() for name in ("xt", "x0"))
        return Trajectory([step.t for step in taken] + [None], xt, x0, calls, seconds)

    def _show(self) -> None:
        raise NotImplementedError
