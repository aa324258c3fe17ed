"""The panel of chapter 5: drag a point over the latent space of digits; the decoder shows its image."""

import anywidget
import torch
import traitlets
from matplotlib.figure import Figure
from PIL import Image

from stablediff_edu.errors import UserError
from stablediff_edu.notebook.progress import to_uint8
from stablediff_edu.plotting.ch05_latents import DIGIT_COLORS, plot_latents
from stablediff_edu.plotting.core import figure_to_image
from stablediff_edu.widgets.base import Panel
from stablediff_edu.widgets.controls import STYLE, Note, Slider, SliderRange, script
from stablediff_edu.widgets.latent_dataset import ExamplePicker, LatentDataset

MAX_POINTS = 600  # more would cover each other
FROM, TO = 0, 1  # they lie far apart
DECODED = 280


class LatentMapWidget(anywidget.AnyWidget):
    """The map in the browser: it moves `x` and `y`, and Python sends `pixels` back, 28·28 bytes."""

    _esm, _css, changes = script("latent_map"), STYLE, ["x", "y"]
    map = traitlets.Dict().tag(sync=True)  # as map_of makes it
    line = traitlets.List().tag(sync=True)  # the two ends of the interpolation, [x, y] each
    x = traitlets.Float().tag(sync=True)
    y = traitlets.Float().tag(sync=True)
    pixels = traitlets.Bytes().tag(sync=True)

    @traitlets.validate("x", "y")
    def _snap(self, proposal: dict) -> float:
        axis = "xy".index(proposal["trait"].name)
        return SliderRange(*(self.map[part][axis] for part in SliderRange._fields)).snap(proposal["value"])


def map_of(data: LatentDataset) -> dict[str, list]:
    """Return what the browser needs to draw the map: points, [x, y, digit] each, ranges and colors.

    Raises:
        UserError: the latent space has not two dimensions.
    """
    if len(data.ranges) != 2:
        raise UserError(
            f"The map shows 2 latent dimensions, and this network has {len(data.ranges)}; use latent_sliders."
        )
    shown = data.inside.nonzero()[:MAX_POINTS, 0]
    pairs = zip(data.z[shown].tolist(), data.labels[shown].tolist(), strict=True)
    points = [[round(x, 4), round(y, 4), label] for (x, y), label in pairs]
    low, high, step = (list(ends) for ends in zip(*data.ranges, strict=True))
    return dict(points=points, low=low, high=high, step=step, colors=list(DIGIT_COLORS))


class LatentMap(Panel):
    """Controls: z₁, z₂, t (interpolation); from A, another from A, to B, another to B. Images: from A, to B.

    `.map` is the map, a `LatentMapWidget`.

    Args:
        model: `encode`, (B, 1, 28, 28) -> (B, 2), and `decode`, (B, 2) -> (B, 1, 28, 28).
        images: digits, (N, 1, 28, 28) in [-1, 1], for the map and the ends of the interpolation.
        labels: (N,) the digits.

    Raises:
        UserError: the latent space has not two dimensions.
    """

    def __init__(self, model, images: torch.Tensor, labels: torch.Tensor) -> None:
        super().__init__("Latent space")
        self.data = data = LatentDataset(model, images, labels)
        self.map, self.decoded_at = LatentMapWidget(map=map_of(data)), None
        self.controls |= {slider.name: slider for slider in data.sliders()}
        self.controls["t"] = Slider("t", 0, 1, 0, 0.01)
        there = data.digits()
        first, last = (digit if digit in there else there[end] for digit, end in ((FROM, 0), (TO, -1)))
        self.ends = [ExamplePicker(self, data, "from A", first), ExamplePicker(self, data, "to B", last)]
        self.formula = Note()
        # first the image, for which the learner waits, then the sliders that follow
        self.follow(self._decode, self.map)
        for axis, name in (("x", "z₁"), ("y", "z₂")):
            traitlets.link((self.map, axis), (self.controls[name], "value"))
        self.follow(self._choose_line, *self.ends)
        self.follow(self._interpolate, "t")
        self.lay_out(
            self.map,
            ["z₁", "z₂"],
            self.note,
            "Interpolate between two digits, along the straight line from A to B",
            self.ends,
            ["t", self.formula],
        )
        self._choose_line()

    def _decode(self) -> None:
        at = (self.map.x, self.map.y)
        if at != self.decoded_at:  # a move in both dimensions is announced twice
            self.decoded_at, self.image_shown = at, self.data.decode(at)
            self.map.pixels = to_uint8(self.image_shown).tobytes()

    def _choose_line(self) -> None:
        self.map.line = [self.data.z[end.index].tolist() for end in self.ends]
        self._interpolate()

    def _interpolate(self) -> None:
        t = self.value("t")
        start, end = self.map.line
        with self.map.hold_sync(), self.map.hold_trait_notifications():  # both at once: no image of a corner between
            self.map.x, self.map.y = ((1 - t) * a + t * b for a, b in zip(start, end, strict=True))
        self.formula.value = f"{1 - t:.2f} · A + {t:.2f} · B"

    def tiles(self) -> list[tuple[str, Image.Image]]:
        figure = Figure(figsize=(5.6, 4.2))
        axes = figure.subplots()
        shown = self.data.inside.nonzero()[:MAX_POINTS, 0]
        plot_latents(axes, self.data.z[shown], self.data.labels[shown])
        axes.plot(*zip(*self.map.line, strict=True), "k--", linewidth=1)
        axes.plot(self.map.x, self.map.y, "o", color="#e67800", markeredgecolor="black", markersize=11)
        axes.set(xlabel="z₁", ylabel="z₂")
        decoded = Image.fromarray(to_uint8(self.image_shown)).convert("RGB").resize((DECODED, DECODED), 0)
        return [("latent space", figure_to_image(figure)), ("decoded", decoded), *super().tiles()]
