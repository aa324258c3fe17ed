"""What the panels of chapters 3 to 5 share: controls, places for pictures, and ways from noise that are kept."""

import time
from collections.abc import Callable
from typing import NamedTuple

import ipywidgets as widgets
import torch

from stablediff_edu.diffusion.samplers import sample
from stablediff_edu.diffusion.schedule import Schedule

Model = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # (xt, t) -> answer


class Trajectory(NamedTuple):
    """A way from noise to pictures, with a stop before every step and one at the end.

    Attributes:
        t: steps + 1 levels; None at the end.
        xt: (steps + 1, B, 3, H, W) the mixtures; the last is the result.
        x0: (steps + 1, B, 3, H, W) the pictures that the network saw in them; the last is the result.
        calls: how often the network was asked.
        seconds: how long it took.
    """

    t: list[float | None]
    xt: torch.Tensor
    x0: torch.Tensor
    calls: int
    seconds: float


def walk(model: Model, schedule: Schedule, shape: tuple[int, ...], steps: int, sampler: str, **how) -> Trajectory:
    """Go the whole way from noise to pictures of this shape, (B, 3, H, W); `how` as for `sample`."""
    calls = 0

    def counted(xt: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return model(xt, t)

    begun = time.perf_counter()
    way = list(sample(counted, schedule, shape, steps, sampler, device=device_of(model), **how))
    end = way[-1].next
    return Trajectory(
        t=[step.t for step in way] + [None],
        xt=torch.stack([step.xt for step in way] + [end]).cpu(),
        x0=torch.stack([step.x0 for step in way] + [end]).cpu(),
        calls=calls,
        seconds=time.perf_counter() - begun,
    )


def device_of(model: Model) -> torch.device:
    """Return where a network computes; a function without weights computes on the CPU."""
    weights = next(model.parameters(), None) if isinstance(model, torch.nn.Module) else None
    return torch.device("cpu") if weights is None else weights.device


def whole_multiple(size: int, wanted: int) -> int:
    """Return the multiple of `size` nearest to `wanted`: so enlarged, all pixels of a picture are equally large."""
    return size * max(1, round(wanted / size))


def picture_place(name: str, width: int, height: int | None = None) -> widgets.Image:
    """Return an empty place for a picture; the browser finds it by its class, "sd-" and its name with hyphens."""
    image = widgets.Image(format="png", width=width, height=height or width)
    image.layout.flex = "0 0 auto"  # on a narrow page it is not squeezed
    image.add_class(f"sd-{name.replace(' ', '-')}")
    return image


def under_title(title: str, image: widgets.Widget) -> widgets.VBox:
    """Return a picture with its title above."""
    return widgets.VBox([widgets.HTML(f"<b>{title}</b>"), image], layout={"margin": "0 10px 0 0", "flex": "0 0 auto"})


def slider_and_number(name: str, low: int, high: int, value: int, live: bool = True, width: int = 380):
    """Return a slider and the number box beside it, `name` and "`name` number", which follow each other.

    `live`: the slider tells its value while it is dragged, not only when it is let go.
    """
    slider = widgets.IntSlider(
        value, low, high, description=name, readout=False, continuous_update=live,
        style={"description_width": "70px"}, layout={"width": f"{width}px"},
    )  # fmt: skip
    number = widgets.BoundedIntText(
        value, low, high, description=f"{name} number", style={"description_width": "0px"}, layout={"width": "76px"}
    )
    widgets.link((slider, "value"), (number, "value"))
    return slider, number


def move_end(slider: widgets.IntSlider, number: widgets.BoundedIntText, high: int) -> None:
    """Give a slider and its number box another last value, and go there."""
    slider.max = number.max = high
    slider.value = high


def in_line(*parts: widgets.Widget) -> widgets.HBox:
    """Return widgets beside each other; what does not fit goes into the next line."""
    return widgets.HBox(list(parts), layout={"flex_flow": "row wrap", "align_items": "center"})
