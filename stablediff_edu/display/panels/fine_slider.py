"""A slider with a number box for numbers with a fraction, and the round range in which it moves."""

import math
from pathlib import Path
from typing import NamedTuple

import anywidget
import torch
import traitlets

SCRIPT, STYLE = (Path(__file__).with_name(f"fine_slider.{kind}") for kind in ("js", "css"))
INNER = (0.01, 0.99)  # a few values lie far out; they would leave the others little room
MARGIN = 0.08
LEAST_STEPS = 400


class NumberRange(NamedTuple):
    """Where a number may go: its ends and its step, all round numbers."""

    low: float
    high: float
    step: float

    def nearest(self, value: float) -> float:
        """Return the nearest place to which a slider of this range can go."""
        places = math.ceil(-math.log10(self.step))  # after the point: what is multiplied is not quite round again
        return round(min(max(round(value / self.step) * self.step, self.low), self.high), places)


def range_of(values: torch.Tensor) -> NumberRange:
    """Return the range in which nearly all of the values (N,) lie, a little wider, in 400 to 1000 steps."""
    low, high = torch.quantile(values.double(), torch.tensor(INNER, dtype=torch.double)).tolist()
    margin = MARGIN * (high - low) or 1.0
    low, high = low - margin, high + margin
    largest = (high - low) / LEAST_STEPS
    power = 10.0 ** math.floor(math.log10(largest))
    step = max(times * power for times in (1, 2, 5) if times * power <= largest)
    free = NumberRange(-math.inf, math.inf, step)
    return NumberRange(free.nearest(low), free.nearest(high), step)


class FineSlider(anywidget.AnyWidget):
    """A slider and a number box of one name, which show one `value`: always one that its range knows.

    ipywidgets' own slider would do, but a screen reader finds no name on it, JupyterLab takes its arrow keys, and it
    answers each move with a slightly different number, which would pull the point of the map about.
    """

    _esm, _css = SCRIPT, STYLE
    name = traitlets.Unicode().tag(sync=True)
    low = traitlets.Float().tag(sync=True)
    high = traitlets.Float().tag(sync=True)
    step = traitlets.Float().tag(sync=True)
    value = traitlets.Float().tag(sync=True)

    def __init__(self, name: str, places: NumberRange, value: float = 0.0, width: int = 450) -> None:
        self.range = places
        super().__init__(name=name, value=value, layout={"width": f"{width}px"}, **places._asdict())

    @traitlets.validate("value")
    def _round(self, proposal: dict) -> float:
        return self.range.nearest(proposal["value"])
