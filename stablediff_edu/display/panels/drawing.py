"""What the panels of chapter 8 share: a drawing with all its steps, which is shown while it is drawn."""

import time
from typing import NamedTuple

import ipywidgets as widgets
import torch

from stablediff_edu.display.live import png, strip, to_bytes
from stablediff_edu.display.panels import parts
from stablediff_edu.stable_diffusion import DrawnStep, StableDiffusion

SIDE = 256  # of a picture on the screen, about
LARGEST_LIVE = 128  # pixels a side: larger pictures take too long to be drawn while one types
LOOKING = 0.25  # the share of the time that may be spent on showing what is not yet done


class Drawing(NamedTuple):
    """A picture that was drawn: what was wished, every step on the way, and the seconds that it took."""

    wishes: dict[str, object]
    steps: list[DrawnStep]
    seconds: float

    def picture(self, number: int = 0) -> torch.Tensor:
        """Return what the network sees after so many steps, (3, H, W); at the end, or without a number, the picture."""
        step = self.steps[number - 1]
        return (step.picture() if step.number == step.of else step.preview())[0]

    def told(self) -> str:
        """Return the wishes in a line."""
        wished = self.wishes
        without = f" without “{wished['negative']}”" if wished["negative"] else ""
        numbers = f"guidance {wished['guidance']:g} · seed {wished['seed']} · {wished['steps']} steps"
        return f"“{wished['prompt']}”{without} · {numbers} · {wished['sampler']}"


def draw_visibly(pipe: StableDiffusion, place: widgets.Image, **wishes: object) -> Drawing:
    """Draw, and meanwhile show what the network already sees as often as time allows; the picture stays there.

    Args:
        pipe: draws.
        place: where to show it.
        wishes: as for `StableDiffusion.draw`.
    """
    steps, looked, began = [], 0.0, time.perf_counter()
    for step in pipe.draw(**wishes):
        steps.append(step)
        now = time.perf_counter()
        if step.number < step.of and looked <= LOOKING * (now - began):
            show_picture(place, step.preview()[0])
            looked += time.perf_counter() - now
    drawing = Drawing(wishes, steps, time.perf_counter() - began)
    show_picture(place, drawing.picture())
    return drawing


def show_picture(place: widgets.Image, picture: torch.Tensor) -> None:
    """Put a picture, (3, H, W), into its place."""
    place.value = png(strip([[to_bytes(picture)]], int(place.width)))


def place_for(pipe: StableDiffusion, name: str) -> widgets.Image:
    """Return an empty place for a picture of this model."""
    return parts.picture_place(name, parts.whole_multiple(pipe.config.size, SIDE))


def seed_box(seed: int) -> widgets.BoundedIntText:
    """Return the box for the seed of all noise."""
    return widgets.BoundedIntText(
        seed, 0, 9999, description="seed", style={"description_width": "70px"}, layout={"width": "160px"}
    )


def live_box(pipe: StableDiffusion) -> widgets.Checkbox:
    """Return the choice whether every change is drawn at once."""
    return widgets.Checkbox(
        pipe.config.size <= LARGEST_LIVE, description="draw at once", indent=False, layout={"width": "130px"}
    )


def button(name: str, about: str, primary: bool = False) -> widgets.Button:
    """Return a button with its name on it; `about` says more where the mouse rests on it."""
    return widgets.Button(
        description=name, tooltip=about, button_style="primary" if primary else "", layout={"width": "auto"}
    )


def side_by_side(*parts: widgets.Widget) -> widgets.HBox:
    """Return widgets beside each other, their upper edges on one line."""
    return widgets.HBox(list(parts), layout={"flex_flow": "row wrap", "align_items": "flex-start"})
