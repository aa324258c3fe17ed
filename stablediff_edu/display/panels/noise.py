"""The panel of chapter 3: take the noise away in one look, or in many small steps from noise alone."""

from collections.abc import Sequence
from functools import lru_cache

import ipywidgets as widgets
import torch

from stablediff_edu.diffusion.schedule import Schedule, picture_and_noise
from stablediff_edu.display.live import png, strip, to_bytes
from stablediff_edu.display.panels import parts
from stablediff_edu.training.denoising import psnr

STEPS = (1, 2, 5, 10, 20, 50, 100)
LOOK = ("noisy", "noise put in", "noise found", "noise taken away")
WAY = ("mixture", "picture seen", "true picture")
LIGHTER = 3  # noise goes beyond -1 and 1, black and white: a third of it is shown
SIDE = 192


@torch.no_grad()
def one_look(
    model: parts.Model, schedule: Schedule, x0: torch.Tensor, eps: torch.Tensor, t: int, prediction: str
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Put noise into pictures (B, 3, H, W), let the network look once: (xt, the x0 that it sees, the eps it sees)."""
    xt = schedule.add_noise(x0, eps, t)
    device = parts.device_of(model)
    answer = model(xt.to(device), torch.full((len(xt),), t, device=device)).cpu()
    return xt, *picture_and_noise(answer, xt, *schedule.signal_and_noise(t, xt), prediction)


def noise_panel(
    model: parts.Model,
    schedule: Schedule,
    x0: torch.Tensor,
    prediction: str = "noise",
    *,
    sampler: str = "ddim",
    clip: bool = True,
    steps: Sequence[int] = STEPS,
) -> widgets.VBox:
    """Return the panel.

    `.controls`: level and level number, steps, step and step number, seed, and picture if there are several. `.images`:
    noisy, noise put in, noise found, noise taken away; mixture, picture seen, true picture. `.notes`: one line
    of text for each of the two rows, "look" and "way".

    Args:
        model: (xt, t) -> answer, trained on the pictures.
        schedule: the one that it was trained with.
        x0: (N, 3, H, W) clean pictures in [-1, 1].
        prediction: what the model answers: "noise", "clean" or "velocity".
        sampler, clip: of the many small steps; as for `sample`.
        steps: the numbers of steps to choose from.
    """
    return _NoisePanel(model, schedule, x0.cpu(), dict(prediction=prediction, clip=clip, sampler=sampler), steps).panel


class _NoisePanel:
    def __init__(self, model, schedule, pictures, how, steps) -> None:
        self.model, self.schedule, self.pictures, self.how = model, schedule, pictures, how
        self.way = lru_cache(maxsize=8)(self._walk)
        last = len(schedule) - 1
        narrow = dict(style={"description_width": "110px"}, layout={"width": "200px"})
        self.picture = widgets.Dropdown(
            options=[(f"number {n + 1}", n) for n in range(len(pictures))], description="picture", **narrow
        )
        self.seed = widgets.BoundedIntText(0, 0, 9999, description="seed", **narrow)
        self.level, self.level_number = parts.slider_and_number("level", 0, last, last * 2 // 5)
        self.steps = widgets.Dropdown(
            options=list(steps), value=steps[len(steps) * 3 // 4], description="number of steps", **narrow
        )
        self.step, self.step_number = parts.slider_and_number("step", 0, self.steps.value, self.steps.value)
        side = parts.whole_multiple(pictures.shape[-1], SIDE)
        self.images = {name: parts.picture_place(name, side) for name in (*LOOK, *WAY)}
        self.side = side
        self.look_note, self.way_note = widgets.HTML(), widgets.HTML()

        self.picture.observe(self._choose_picture, "value")
        self.seed.observe(self._choose_seed, "value")
        self.level.observe(self._draw_look, "value")
        self.steps.observe(self._choose_way, "value")
        self.step.observe(self._draw_step, "value")
        self.panel = self._lay_out()
        self._choose_way()
        self._choose_picture()

    def _lay_out(self) -> widgets.VBox:
        above = [self.seed] if len(self.pictures) == 1 else [self.picture, self.seed]
        panel = widgets.VBox(
            [
                parts.in_line(*above),
                widgets.HTML("<b>One look at one level</b>"),
                parts.in_line(self.level, self.level_number, self.look_note),
                parts.in_line(*(parts.under_title(name, self.images[name]) for name in LOOK)),
                widgets.HTML("<b>Many small steps from noise alone</b>"),
                parts.in_line(self.steps, self.step, self.step_number),
                self.way_note,
                parts.in_line(*(parts.under_title(name, self.images[name]) for name in WAY)),
            ]
        )
        panel.controls = {"level": self.level, "level number": self.level_number, "steps": self.steps}
        panel.controls |= {"step": self.step, "step number": self.step_number, "seed": self.seed}
        if len(self.pictures) > 1:
            panel.controls["picture"] = self.picture
        panel.images = self.images
        panel.notes = {"look": self.look_note, "way": self.way_note}
        return panel

    # -- what a change does ------------------------------------------------------------------------------------------

    @property
    def x0(self) -> torch.Tensor:
        return self.pictures[self.picture.value]

    def _choose_picture(self, _change=None) -> None:
        self._show("true picture", self.x0)
        self._draw_look()
        self._draw_step()

    def _choose_seed(self, _change=None) -> None:
        self._draw_look()
        self._choose_way()

    def _choose_way(self, _change=None) -> None:
        """Go the whole way, if it is a new one, and show its end."""
        self.way_note.value = "drawing …"
        self.way(self.steps.value, self.seed.value)
        parts.move_end(self.step, self.step_number, self.steps.value)
        self._draw_step()  # the slider may have stood there already

    def _walk(self, steps: int, seed: int) -> parts.Trajectory:
        return parts.walk(self.model, self.schedule, (1, *self.x0.shape), steps, seed=seed, **self.how)

    # -- drawing -----------------------------------------------------------------------------------------------------

    def _draw_look(self, _change=None) -> None:
        t = self.level.value
        eps = torch.randn(self.x0.shape, generator=torch.Generator().manual_seed(self.seed.value))
        xt, found, noise = one_look(
            self.model, self.schedule, self.x0[None], eps[None], t, self.how["prediction"]
        )  # each (1, 3, H, W)
        shown = (xt[0], eps / LIGHTER, noise[0] / LIGHTER, found[0])
        for name, picture in zip(LOOK, shown, strict=True):
            self._show(name, picture)
        shares = [float(share) for share in self.schedule.signal_and_noise(t, self.x0[None])]
        self.look_note.value = (
            f"&nbsp; {shares[0]:.2f} · picture + {shares[1]:.2f} · noise &nbsp;→&nbsp; "
            f"noise taken away in one step: PSNR {psnr(found[0], self.x0):.1f} dB"
        )

    def _draw_step(self, _change=None) -> None:
        way, steps = self.way(self.steps.value, self.seed.value), self.steps.value
        done = min(self.step.value, steps)
        self._show("mixture", way.xt[done, 0])
        self._show("picture seen", way.x0[done, 0])
        place = (
            f"{done} of {steps} steps done, now at t = {way.t[done]:.0f}"
            if done < steps
            else f"all {steps} steps done: the result"
        )
        self.way_note.value = (
            f"{place} &nbsp;·&nbsp; PSNR of the picture seen: {psnr(way.x0[done, 0], self.x0):.1f} dB "
            f"&nbsp;·&nbsp; all steps took {way.seconds:.1f} s"
        )

    def _show(self, name: str, picture: torch.Tensor) -> None:
        self.images[name].value = png(strip([[to_bytes(picture)]], self.side))
