"""The panel of chapter 5: drag a point over the map of encoded digits, and the decoder draws what lies there."""

from pathlib import Path

import anywidget
import ipywidgets as widgets
import torch
import traitlets

from stablediff_edu.display.live import to_bytes
from stablediff_edu.display.panels import parts
from stablediff_edu.display.panels.encoded import EncodedDigits, ExampleChooser
from stablediff_edu.display.panels.fine_slider import FineSlider, NumberRange
from stablediff_edu.errors import CourseError

SCRIPT, STYLE = (Path(__file__).with_name(f"latent_pad.{kind}") for kind in ("js", "css"))
ON_MAP = 600  # digits drawn on the map; more would cover each other
FROM, TO = 0, 1  # they lie far apart


class PadWidget(anywidget.AnyWidget):
    """The map in the browser, and what Python and the browser tell each other.

    The browser moves `x` and `y`; Python answers with `pixels`, 28·28 bytes.
    """

    _esm, _css = SCRIPT, STYLE
    map = traitlets.Dict().tag(sync=True)  # as map_of makes it
    line = traitlets.List().tag(sync=True)  # the two ends of the walk, [x, y] each
    x = traitlets.Float().tag(sync=True)
    y = traitlets.Float().tag(sync=True)
    pixels = traitlets.Bytes().tag(sync=True)

    @traitlets.validate("x", "y")
    def _stay(self, proposal: dict) -> float:
        """Keep the point on the map, and on the places that the sliders know."""
        axis = "xy".index(proposal["trait"].name)
        return NumberRange(*(self.map[part][axis] for part in NumberRange._fields)).nearest(proposal["value"])


def map_of(digits: EncodedDigits) -> dict[str, list]:
    """Return what the browser needs to draw the map: the points, [x, y, digit] each, and the range of both numbers.

    Raises:
        CourseError: the digits are encoded in more or fewer numbers than two.
    """
    if len(digits.ranges) != 2:
        raise CourseError(
            f"The map has room for 2 numbers, and this network makes {len(digits.ranges)}; use latent_sliders for it."
        )
    shown = digits.inside.nonzero()[:ON_MAP, 0]
    points = [[round(x, 4), round(y, 4)] for x, y in digits.codes[shown].tolist()]
    low, high, step = (list(ends) for ends in zip(*digits.ranges, strict=True))
    labelled = [[*point, label] for point, label in zip(points, digits.labels[shown].tolist(), strict=True)]
    return dict(points=labelled, low=low, high=high, step=step)


def latent_pad(model, pictures: torch.Tensor, labels: torch.Tensor) -> widgets.VBox:
    """Return the panel.

    `.controls`: x, y, and walk; from, another from, to, another to.
    `.pad`: the map, a `PadWidget`. `.images`: from, to. `.note`: a line of text on the walk.

    Args:
        model: `encode`, (B, 1, 28, 28) -> (B, 2), and `decode`, (B, 2) -> (B, 1, 28, 28).
        pictures: (N, 1, 28, 28) digits in [-1, 1], for the map and to walk between.
        labels: (N,) which digit each one is.

    Raises:
        CourseError: the network does not make two numbers of a digit.
    """
    return _LatentPad(EncodedDigits(model, pictures, labels)).panel


class _LatentPad:
    def __init__(self, digits: EncodedDigits) -> None:
        self.digits, self.drawn = digits, None
        self.pad = PadWidget(map=map_of(digits))
        there = digits.digits()
        first, last = (digit if digit in there else there[end] for digit, end in ((FROM, 0), (TO, -1)))
        self.start, self.end = ExampleChooser(digits, "from A", first), ExampleChooser(digits, "to B", last)
        self.x, self.y = (FineSlider(f"number {n}", one) for n, one in enumerate(digits.ranges, 1))
        self.walk = FineSlider("walk", NumberRange(0, 1, 0.01))
        self.note = widgets.HTML()
        self.note.add_class("sd-walk-note")

        # first the picture, for which the learner waits, then the sliders that follow
        self.pad.observe(self._draw, ["x", "y"])
        widgets.link((self.pad, "x"), (self.x, "value"))
        widgets.link((self.pad, "y"), (self.y, "value"))
        for chooser in (self.start, self.end):
            chooser.observe(self._choose_line, "index")
        self.walk.observe(self._walk, "value")
        self._choose_line()
        self.panel = self._lay_out()

    def _lay_out(self) -> widgets.VBox:
        panel = widgets.VBox(
            [
                self.pad,
                parts.in_line(self.x, self.y),
                widgets.HTML("<b>Walk between two digits</b>: along the straight line from A to B"),
                parts.in_line(self.start, self.end),
                parts.in_line(self.walk, self.note),
            ]
        )
        panel.controls = {"x": self.x, "y": self.y, "walk": self.walk}
        panel.controls |= {"from": self.start.digit, "another from": self.start.another}
        panel.controls |= {"to": self.end.digit, "another to": self.end.another}
        panel.images = {"from": self.start.image, "to": self.end.image}
        panel.pad, panel.note = self.pad, self.note
        return panel

    def _draw(self, _change=None) -> None:
        place = (self.pad.x, self.pad.y)
        if place != self.drawn:  # a move across both numbers is announced twice
            self.drawn = place
            self.pad.pixels = to_bytes(self.digits.decode(place)).tobytes()

    def _choose_line(self, _change=None) -> None:
        self.pad.line = [self.digits.codes[chooser.index].tolist() for chooser in (self.start, self.end)]
        self._walk()

    def _walk(self, _change=None) -> None:
        share = self.walk.value
        start, end = self.pad.line
        with self.pad.hold_sync(), self.pad.hold_trait_notifications():  # both at once: no picture of a corner between
            self.pad.x, self.pad.y = ((1 - share) * a + share * b for a, b in zip(start, end, strict=True))
        self.note.value = f"{1 - share:.2f} · A + {share:.2f} · B"
