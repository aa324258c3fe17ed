"""The panel of chapter 4: generate images with different samplers, in few or many steps, and inspect every step."""

import math

from stablediff_edu.diffusion.samplers import SAMPLERS
from stablediff_edu.diffusion.schedule import NoiseSchedule
from stablediff_edu.notebook.progress import tile_images, to_uint8
from stablediff_edu.widgets.base import nearest_multiple
from stablediff_edu.widgets.controls import Select, Slider
from stablediff_edu.widgets.trajectory import Model, TrajectoryPanel

VIEWS = {"predicted clean images x̂₀": "x0", "noisy images xₜ": "xt"}
MAX_STEPS = 50
SIDE, GAP = 128, 4


class SamplerPanel(TrajectoryPanel):
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
        schedule: NoiseSchedule,
        size: int = 32,
        prediction: str = "noise",
        count: int = 16,
        *,
        sampler: str = "dpm++",
        steps: int = 25,
        clip: bool = True,
    ) -> None:
        samplers = Select("sampler", list(SAMPLERS), sampler)
        steps = Slider("sampling steps", 1, MAX_STEPS, steps, live=False)  # each value is a run
        shape, options = (count, 3, size, size), dict(prediction=prediction, clip=clip)
        super().__init__("Samplers", model, schedule, shape, samplers, steps, **options)
        self.controls["show"] = Select("show", VIEWS)
        self.columns, self.side = math.ceil(math.sqrt(count)), nearest_multiple(size, SIDE)
        width, height = (n * (self.side + GAP) - GAP for n in (self.columns, math.ceil(count / self.columns)))
        image = self.image("samples", width, height, title="")
        self.lay_out(["sampler", "sampling steps", "seed"], ["sampling step", "show"], image, self.note)
        self.begin()
        self.follow(self._show, "show")

    def _show(self) -> None:
        (step, at), shown = self.step_shown(), self.shown
        tiles = [to_uint8(image) for image in getattr(shown, self.value("show"))[step]]  # B of (H, W, 3)
        rows = [tiles[first : first + self.columns] for first in range(0, len(tiles), self.columns)]
        self.show("samples", tile_images(rows, self.side, GAP), f"{len(tiles)} {self.controls['show'].told()}, {at}")
        steps = len(shown.t) - 1
        self.say(
            f"<b>{self.sampler.value}</b> · {steps} step{'s' if steps > 1 else ''} · model evaluations (NFE): "
            f"{shown.calls} · {shown.seconds:.1f} s for {len(tiles)} images · shown: {at}"
        )
