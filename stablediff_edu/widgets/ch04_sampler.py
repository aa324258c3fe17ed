"""The panel of chapter 4: generate images with different samplers, in few or many steps, and inspect every step."""

import math

from stablediff_edu.diffusion.schedule import NoiseSchedule
from stablediff_edu.notebook.progress import live_images
from stablediff_edu.widgets.controls import Select, Slider
from stablediff_edu.widgets.trajectory import Model, TrajectoryPanel

VIEWS = {"predicted clean images x̂₀": "x0", "noisy images xₜ": "xt"}
MAX_STEPS = 50
SIDE = 128


class SamplerPanel(TrajectoryPanel):
    """Controls: sampler, sampling steps, seed, sampling step, show. Images: samples.

    Args:
        model: (x_t, t) -> prediction.
        schedule: the one that it was trained with.
        size: side of the images in pixels.
        prediction: what the model predicts: "epsilon", "sample" or "v_prediction".
        count: number of images.
        steps: at the start.
    """

    def __init__(
        self, model: Model, schedule: NoiseSchedule, size: int = 32, prediction: str = "epsilon", count: int = 16,
        steps: int = 25,
    ) -> None:  # fmt: skip
        chosen = Slider("sampling steps", 1, MAX_STEPS, steps, live=False)  # each value is a run
        shape, view = (count, 3, size, size), Select("show", VIEWS)
        super().__init__("Samplers", model, schedule, shape, prediction, "dpmpp_2m", chosen, view)
        self.render = live_images(math.ceil(math.sqrt(count)), SIDE // size * size)
        self.lay_out(["sampler", "sampling steps", "seed"], ["sampling step", "show"], "samples", self.note)
        self.begin()
        self.follow(self._show, "show")

    def _show(self) -> None:
        (step, at), shown = self.step_shown(), self.shown
        images, steps = shown.images(self["show"], step), len(shown.steps)
        self.show("samples", self.render(step, images), f"{len(images)} {self.controls['show'].told()}, {at}", "")
        self.say(
            f"<b>{self['sampler']}</b> · {steps} step{'s' if steps > 1 else ''} · model evaluations (NFE): "
            f"{shown.calls} · {shown.seconds:.1f} s for {len(images)} images · shown: {at}"
        )
