"""Sampling trajectories that panels compute step by step and keep."""

import time
from collections.abc import Callable, Generator
from typing import NamedTuple

import torch

from stablediff_edu.device import device_of, synchronize
from stablediff_edu.diffusion.samplers import sample
from stablediff_edu.diffusion.schedule import Schedule

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


class Trajectories:
    """Runs samplers of one model, and keeps the latest trajectories.

    Args:
        model: (x_t, t) -> prediction.
        schedule: the one that it was trained with.
        shape: of the images, (B, 3, H, W).
        options: for `sample`: prediction, clip.
    """

    def __init__(self, model: Model, schedule: Schedule, shape: tuple[int, ...], **options) -> None:
        self.model, self.schedule, self.shape, self.options = model, schedule, shape, options
        self.kept: dict[tuple, Trajectory] = {}

    def run(self, steps: int, sampler: str, seed: int) -> Generator[None, None, Trajectory]:
        """Return the trajectory, after a yield for every step that has to be computed."""
        if (steps, sampler, seed) not in self.kept:
            if len(self.kept) == MAX_KEPT:
                del self.kept[next(iter(self.kept))]
            self.kept[steps, sampler, seed] = yield from self._sample(steps, sampler, seed)
        return self.kept[steps, sampler, seed]

    def _sample(self, steps: int, sampler: str, seed: int) -> Generator[None, None, Trajectory]:
        calls, seconds, taken = 0, 0.0, []

        def counted(xt: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            nonlocal calls
            calls += 1
            return self.model(xt, t)

        device = device_of(self.model)
        began = time.perf_counter()
        for step in sample(
            counted, self.schedule, self.shape, steps, sampler, device=device, seed=seed, **self.options
        ):
            taken.append(step)
            seconds += time.perf_counter() - began
            yield
            began = time.perf_counter()
        synchronize(device)
        seconds += time.perf_counter() - began
        result = taken[-1].next
        return Trajectory(
            t=[step.t for step in taken] + [None],
            xt=torch.stack([step.xt for step in taken] + [result]).cpu(),
            x0=torch.stack([step.x0 for step in taken] + [result]).cpu(),
            calls=calls,
            seconds=seconds,
        )
