"""The panel of chapter 4: generate images with different samplers, in few or many steps, and look at every step."""

import html
import math
from collections.abc import Generator

from stablediff_edu.diffusion.samplers import SAMPLERS
from stablediff_edu.diffusion.schedule import Schedule
from stablediff_edu.display.live import strip, to_bytes
from stablediff_edu.widgets.base import Panel, nearest_multiple
from stablediff_edu.widgets.controls import Select, Slider, seed_box
from stablediff_edu.widgets.trajectory import Model, Trajectories, Trajectory

VIEWS = {"predicted clean images x̂₀": "x0", "noisy images xₜ": "xt"}
MAX_STEPS = 50
SIDE, GAP = 128, 4


class SamplerPanel(Panel):
    """Controls: sampler, sampling steps, seed, sampling step, show. Images: samples.

    Args:
        model: (x_t, t) -> prediction.
        schedule: the one that it was trained with.
        size: side of the images in pixels.
        prediction: what the model predicts: "noise", "clean" or "velocity".
        count: number of images.
        sampler, steps: at the start.
        clip: as for `sample`.
    """

    def __init__(
        self,
        model: Model,
        schedule: Schedule,
        size: int = 32,
        prediction: str = "noise",
        count: int = 16,
        *,
        sampler: str = "dpm++",
        steps: int = 25,
        clip: bool = True,
    ) -> None:
        super().__init__("Samplers")
        self.trajectories = Trajectories(model, schedule, (count, 3, size, size), prediction=prediction, clip=clip)
        self.columns, self.side = math.ceil(math.sqrt(count)), nearest_multiple(size, SIDE)
        width, height = (n * (self.side + GAP) - GAP for n in (self.columns, math.ceil(count / self.columns)))
        self.controls |= {
            "sampler": Select("sampler", list(SAMPLERS), sampler),
            "sampling steps": Slider("sampling steps", 1, MAX_STEPS, steps, live=False),  # each value is a run
            "seed": seed_box(0),
            "sampling step": Slider("sampling step", 0, steps, steps),
            "show": Select("show", VIEWS),
        }
        chosen = [self.controls[name] for name in ("sampler", "sampling steps", "seed")]
        viewed = [self.controls[name] for name in ("sampling step", "show")]
        self.lay_out(chosen, viewed, self.image("samples", width, height, title=""), self.note)
        for _ in self._sample():
            pass
        self.follow(self._sample, *chosen)
        self.follow(self._show, *viewed)

    def _sample(self) -> Generator[None, None, None]:
        sampler, steps, seed = (self.controls[name].value for name in ("sampler", "sampling steps", "seed"))
        self.shown: Trajectory = yield from self.trajectories.run(steps, sampler, seed)
        self.made = f"<b>{html.escape(sampler)}</b> · {steps} step{'s' if steps > 1 else ''}"
        with self.quietly():
            self.controls["sampling step"].set_max(steps, steps)
        self._show()

    def _show(self) -> None:
        steps = len(self.shown.t) - 1
        step = min(self.controls["sampling step"].value, steps)
        images = getattr(self.shown, self.controls["show"].value)[step]  # (B, 3, H, W)
        tiles = [to_bytes(image) for image in images]
        rows = [tiles[first : first + self.columns] for first in range(0, len(tiles), self.columns)]
        at = "the result" if step == steps else f"after step {step} of {steps}, at t = {self.shown.t[step]:.0f}"
        what = self.controls["show"].labels[self.controls["show"].index]
        self.show("samples", strip(rows, self.side, GAP), f"{len(tiles)} {what}, {at}")
        self.say(
            f"{self.made} · model evaluations (NFE): {self.shown.calls} · {self.shown.seconds:.1f} s for {len(tiles)} "
            f"images · shown: {at}"
        )
