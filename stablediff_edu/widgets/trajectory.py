"""Panels that sample step by step, keep the trajectories, and show the step that a slider chooses."""

from collections.abc import Callable
from typing import NamedTuple

import torch

from stablediff_edu.config import device_of
from stablediff_edu.diffusion.samplers import SAMPLERS, SamplerStep, sample
from stablediff_edu.diffusion.schedule import NoiseSchedule
from stablediff_edu.widgets.base import Job, Panel, collect
from stablediff_edu.widgets.controls import Number, Select, Slider

Model = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # (x_t, t) -> prediction
MAX_KEPT = 8


class Trajectory(NamedTuple):
    """All steps of a sampling, the number of model evaluations, and the computing time in seconds."""

    steps: list[SamplerStep]
    calls: int
    seconds: float

    def images(self, kind: str, step: int) -> torch.Tensor:
        """Return the "xt" or "x0" after so many steps, (B, 3, H, W) on the CPU; after the last, the result."""
        chosen = self.steps[min(step, len(self.steps) - 1)]
        return getattr(chosen, kind if step < len(self.steps) else "next").cpu()


class TrajectoryPanel(Panel):
    """Controls: sampler, sampling steps, seed, sampling step, and more. `.shown` is the `Trajectory`.

    Subclasses implement `_show`, which shows one step of it.

    Args:
        model: (x_t, t) -> prediction.
        schedule: the one that it was trained with.
        shape: of the images, (B, 3, H, W).
        prediction: what the model predicts: "epsilon", "sample" or "v_prediction".
        sampler: at the start.
        steps: the control that chooses the number of sampling steps.
        more: further controls.
    """

    def __init__(
        self,
        title: str,
        model: Model,
        schedule: NoiseSchedule,
        shape: tuple[int, ...],
        prediction: str,
        sampler: str,
        steps: Slider | Select,
        *more: Slider | Select,
    ) -> None:
        last = Slider("sampling step", 0, steps.chosen, steps.chosen)
        super().__init__(
            title, Select("sampler", list(SAMPLERS), sampler), steps, Number("seed", 0, 9999, 0), last, *more
        )
        self.model, self.schedule, self.shape, self.prediction = model, schedule, shape, prediction
        self.kept: dict[tuple, Trajectory] = {}

    def begin(self) -> None:
        """Sample for the first time, and follow the controls."""
        for _ in self._sample():
            pass
        self.follow(self._sample, "sampler", "sampling steps", "seed")
        self.follow(self._show, "sampling step")

    def step_shown(self) -> tuple[int, str]:
        """Return the number of the step to show, and which one it is in words."""
        step, steps = self["sampling step"], self.shown.steps
        return step, f"after step {step} of {len(steps)}, t = {steps[step].t:.0f}" if step < len(
            steps
        ) else "the result"

    def _sample(self) -> Job:
        settings = steps, sampler, seed = self["sampling steps"], self["sampler"], self["seed"]
        if settings not in self.kept:
            calls = []

            def counted(xt: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
                calls.append(t)
                return self.model(xt, t)

            device = device_of(self.model)
            options = dict(prediction=self.prediction, seed=seed, clip=True, device=device)
            stream = sample(counted, self.schedule, self.shape, steps, sampler, **options)
            taken, seconds = yield from collect(stream, device)
            if len(self.kept) == MAX_KEPT:
                del self.kept[next(iter(self.kept))]
            self.kept[settings] = Trajectory(taken, len(calls), seconds)
        self.shown = self.kept[settings]
        with self.quietly():
            self.controls["sampling step"].set_max(steps, steps)
        self._show()

    def _show(self) -> None:
        raise NotImplementedError
