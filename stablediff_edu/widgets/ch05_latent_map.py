"""The panel of chapter 5: drag a point over the latent space of digits; the decoder shows its image.

`show_latent_map_html` shows the same map for a saved web page, where no Python runs: that page holds the decoder.
"""

import base64
import html
import json
from typing import Any

import anywidget
import torch
import traitlets
from matplotlib.figure import Figure
from PIL import Image
from torch import nn

from stablediff_edu.plotting.ch05_latents import DIGIT_COLORS, plot_latents
from stablediff_edu.plotting.core import figure_to_image
from stablediff_edu.plotting.grids import to_uint8
from stablediff_edu.widgets.controls import STYLE, Note, Slider, SliderRange, script
from stablediff_edu.widgets.latents import LatentPanel

MAX_POINTS = 600  # more would cover each other
DECODED = 280
HEIGHT = 600  # of the page within a page, in pixels
PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8"><title>latent space of digits</title>
<style>{style}</style>
<body style="background: #fff"><div id="map"></div>
<script type="module">
{script}
openPage(document.getElementById("map"), {state}, {layers});
</script>
"""


class LatentMapWidget(anywidget.AnyWidget):
    """The map in the browser: it moves `x` and `y`, and Python sends `pixels` back, 28·28 bytes."""

    _esm, _css, changes = script("latent_map"), STYLE, ["x", "y"]
    map: traitlets.Dict = traitlets.Dict().tag(sync=True)  # points, [x, y, digit] each; their colors; low, high, step
    line: traitlets.List = traitlets.List().tag(sync=True)  # the two ends of the interpolation, [x, y] each
    x = traitlets.Float().tag(sync=True)
    y = traitlets.Float().tag(sync=True)
    pixels = traitlets.Bytes().tag(sync=True)

    @traitlets.validate("x", "y")
    def _snap(self, proposal: dict) -> float:
        axis = "xy".index(proposal["trait"].name)
        return SliderRange(*(self.map[part][axis] for part in SliderRange._fields)).snap(proposal["value"])


class LatentMap(LatentPanel):
    """Controls: z₁, z₂, t (interpolation); from A, another from A, to B, another to B.

    `.map` is the map, a `LatentMapWidget`.

    Args:
        model: `encode`, (B, 1, 28, 28) -> (B, 2), and `decode`, (B, 2) -> (B, 1, 28, 28).
        images: digits, (N, 1, 28, 28) in [-1, 1], for the map and the ends of the interpolation.
        labels: (N,) the digits.
    """

    def __init__(self, model: Any, images: torch.Tensor, labels: torch.Tensor) -> None:
        super().__init__("Latent space", {"from A": 0, "to B": 1}, model, images, labels)
        self.controls["t"] = Slider("t", 0, 1, 0, 0.01)
        self.shown = self.inside.nonzero()[:MAX_POINTS, 0]
        low, high, step = (list(ends) for ends in zip(*self.ranges, strict=True))
        pairs = zip(self.z[self.shown].tolist(), self.labels[self.shown].tolist(), strict=True)
        points = [[round(x, 4), round(y, 4), digit] for (x, y), digit in pairs]
        self.map = LatentMapWidget(map=dict(points=points, low=low, high=high, step=step, colors=DIGIT_COLORS))
        self.decoded_at: tuple[float, float] | None = None
        self.formula = Note()
        # first the image, for which the learner waits, then the sliders that follow
        self.follow(self._decode, self.map)
        for axis, name in zip("xy", self.latent_names, strict=True):
            traitlets.link((self.map, axis), (self.controls[name], "value"))
        for end in self.chosen:
            self.follow_end(end, self._choose_line)
        self.follow(self._interpolate, "t")
        self.lay_out(
            self.map,
            self.latent_names,
            self.note,
            "# Interpolate between two digits, along the straight line from A to B",
            [[end, f"{end}: example", f"another {end}"] for end in self.chosen],
            ["t", self.formula],
        )
        self._choose_line()

    def _decode(self) -> None:
        at = (self.map.x, self.map.y)
        if at != self.decoded_at:  # a move in both dimensions is announced twice
            self.decoded_at, self.decoded = at, to_uint8(self.decode(at))
            self.map.pixels = self.decoded.tobytes()

    def _choose_line(self) -> None:
        self.map.line = [self.z[number].tolist() for number in self.chosen.values()]
        self._interpolate()

    def _interpolate(self) -> None:
        t = self["t"]
        with self.map.hold_sync(), self.map.hold_trait_notifications():  # both at once: no image of a corner between
            self.map.x, self.map.y = ((1 - t) * a + t * b for a, b in zip(*self.map.line, strict=True))
        self.formula.value = f"{1 - t:.2f} · A + {t:.2f} · B"

    def tiles(self) -> list[tuple[str, Image.Image]]:
        figure = Figure(figsize=(5.6, 4.2))
        axes = figure.subplots()
        plot_latents(axes, self.z[self.shown], self.labels[self.shown])
        axes.plot(*zip(*self.map.line, strict=True), "k--", linewidth=1)
        axes.plot(self.map.x, self.map.y, "o", color="#e67800", markeredgecolor="black", markersize=11)
        axes.set(xlabel="z₁", ylabel="z₂")
        decoded = Image.fromarray(self.decoded).convert("RGB").resize((DECODED, DECODED), 0)
        return [("latent space", figure_to_image(figure)), ("decoded", decoded), *super().tiles()]


def latent_map_html(model: Any, images: torch.Tensor, labels: torch.Tensor) -> str:
    """Return a web page with the map, two sliders, and the decoder, its weights in bfloat16. It loads nothing else.

    Args:
        model: an `Autoencoder` with two latent dimensions: its `decoder` has Linear and SiLU layers, Tanh at the end.
        images: digits, (N, 1, 28, 28) in [-1, 1], for the map.
        labels: (N,) the digits.
    """
    shown = LatentMap(model, images, labels).map
    state = dict(map=shown.map, line=[], x=shown.x, y=shown.y)
    linear = [layer for layer in model.decoder if isinstance(layer, nn.Linear)]
    layers = [[_as_base64(layer.weight), _as_base64(layer.bias)] for layer in linear]
    texts = dict(state=json.dumps(state), layers=json.dumps(layers))
    return PAGE.format(style=STYLE, script=script("latent_map", "latent_page"), **texts)


def show_latent_map_html(model: Any, images: torch.Tensor, labels: torch.Tensor) -> None:
    """Show the page of :func:`latent_map_html` under the cell, folded up: it works in a saved web page too."""
    from IPython.display import display

    page = html.escape(latent_map_html(model, images, labels))
    title = "The same map for a saved web page, where no Python runs"
    caption = "Open the line above: the browser decodes, with the decoder's weights in this page."
    fold = f"""<details><summary style="cursor: pointer">{title}</summary><iframe title="{title}"
        sandbox="allow-scripts" srcdoc="{page}" style="width: 100%; height: {HEIGHT}px; border: 0"></iframe></details>
    """
    line = f'<p style="margin: 0 0 12px 6px; max-width: 58em; line-height: 1.4"><em>{caption}</em></p>'
    display({"text/html": fold + line, "text/plain": f"{title}. {caption}"}, raw=True)


def _as_base64(values: torch.Tensor) -> str:
    """Return values as bfloat16, the upper half of a float32."""
    return base64.b64encode(values.detach().cpu().bfloat16().view(torch.uint8).numpy().tobytes()).decode("ascii")
