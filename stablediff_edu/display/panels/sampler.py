"""The panel of chapter 4: draw pictures by different samplers, in few or many steps, and look at every step."""

import html
import math
from functools import lru_cache

import ipywidgets as widgets
import numpy as np

from stablediff_edu.diffusion.samplers import SAMPLERS
from stablediff_edu.diffusion.schedule import Schedule
from stablediff_edu.display.live import png, strip, to_bytes
from stablediff_edu.display.panels import parts

SHOWN = {"pictures seen (x0)": "x0", "mixtures (xt)": "xt"}
MOST_STEPS = 50
SIDE, GAP = 128, 4


def sampler_panel(
    model: parts.Model,
    schedule: Schedule,
    size: int = 32,
    prediction: str = "noise",
    count: int = 16,
    *,
    sampler: str = "dpm++",
    steps: int = 25,
    clip: bool = True,
) -> widgets.VBox:
    """Return the panel. `.controls`: seed, steps and steps number, sampler, step and step number, show.

    `.images` holds the sheet of pictures; `.note` a line of text on how it was made.

    Args:
        model: (xt, t) -> answer.
        schedule: the one that it was trained with.
        size: side of the pictures in pixels.
        prediction: what the model answers: "noise", "clean" or "velocity".
        count: of pictures.
        sampler, steps: to begin with.
        clip: as for `sample`.
    """
    how = dict(prediction=prediction, clip=clip)
    return _SamplerPanel(model, schedule, (count, 3, size, size), how, sampler, steps).panel


class _SamplerPanel:
    def __init__(self, model, schedule, shape, how, sampler, steps) -> None:
        self.model, self.schedule, self.shape, self.how = model, schedule, shape, how
        self.way = lru_cache(maxsize=8)(self._walk)
        narrow = dict(style={"description_width": "70px"}, layout={"width": "240px"})
        self.seed = widgets.BoundedIntText(0, 0, 9999, description="seed", **narrow)
        self.sampler = widgets.Dropdown(options=list(SAMPLERS), value=sampler, description="sampler", **narrow)
        # each change is a run: the slider waits until it is let go
        self.steps, self.steps_number = parts.slider_and_number("steps", 1, MOST_STEPS, steps, live=False, width=300)
        self.step, self.step_number = parts.slider_and_number("step", 0, steps, steps, width=300)
        self.show = widgets.ToggleButtons(
            options=SHOWN, description="show", style={"description_width": "70px", "button_width": "150px"},
            layout={"width": "440px"},
        )  # fmt: skip
        count, _, _, size = shape
        self.columns = math.ceil(math.sqrt(count))
        self.side = parts.whole_multiple(size, SIDE)
        across, down = (n * (self.side + GAP) - GAP for n in (self.columns, math.ceil(count / self.columns)))
        self.sheet, self.note = parts.picture_place("sheet", across, down), widgets.HTML()
        self.note.add_class("sd-sampler-note")

        for control in (self.seed, self.sampler, self.steps):
            control.observe(self._choose_way, "value")
        for control in (self.step, self.show):
            control.observe(self._draw_step, "value")
        self.panel = self._lay_out()
        self._choose_way()

    def _lay_out(self) -> widgets.VBox:
        panel = widgets.VBox(
            [
                parts.in_line(self.sampler, self.steps, self.steps_number),
                parts.in_line(self.seed, self.step, self.step_number),
                self.show,
                self.sheet,
                self.note,
            ]
        )
        panel.controls = {"seed": self.seed, "steps": self.steps, "steps number": self.steps_number}
        panel.controls |= {"sampler": self.sampler, "step": self.step, "step number": self.step_number}
        panel.controls["show"] = self.show
        panel.images, panel.note = {"sheet": self.sheet}, self.note
        return panel

    def _choose_way(self, _change=None) -> None:
        """Go the whole way, if it is a new one, and show its end."""
        self.note.value = "drawing …"
        self._chosen_way()
        parts.move_end(self.step, self.step_number, self.steps.value)
        self._draw_step()  # the slider may have stood there already

    def _chosen_way(self) -> parts.Trajectory:
        return self.way(self.steps.value, self.sampler.value, self.seed.value)

    def _walk(self, steps: int, sampler: str, seed: int) -> parts.Trajectory:
        return parts.walk(self.model, self.schedule, self.shape, steps, sampler, seed=seed, **self.how)

    def _draw_step(self, _change=None) -> None:
        way, steps = self._chosen_way(), self.steps.value
        done = min(self.step.value, steps)
        tiles: list[np.ndarray] = [to_bytes(picture) for picture in getattr(way, self.show.value)[done]]
        rows = [tiles[first : first + self.columns] for first in range(0, len(tiles), self.columns)]
        self.sheet.value = png(strip(rows, self.side, GAP))
        place = "the result" if done == steps else f"after step {done} of {steps}, at t = {way.t[done]:.0f}"
        calls = f"{way.calls} network call" + ("s" if way.calls > 1 else "")
        self.note.value = (
            f"<b>{html.escape(self.sampler.value)}</b> · {steps} step{'s' if steps > 1 else ''} · {calls} · "
            f"{way.seconds:.1f} s for {len(tiles)} pictures · shown: {place}"
        )
