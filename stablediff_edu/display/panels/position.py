"""The panel of chapter 3 on positions: a position, its vector of sines and cosines, and how alike the others' are."""

import io

import ipywidgets as widgets
import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from PIL import Image

from stablediff_edu.display.figures import SIGNED_MAP
from stablediff_edu.display.panels import parts
from stablediff_edu.layers.position import sinusoidal_encoding

WIDTH, HEIGHT = 860, 420  # the width of the output column beside JupyterLab's file list


def position_panel(features: int = 64, positions: int = 1000) -> widgets.VBox:
    """Return the panel. `.controls`: position and position number; `.images`: position; `.note`: a line of text.

    Args:
        features: how many numbers a vector has.
        positions: how many positions there are.
    """
    return _PositionPanel(features, positions).panel


class _PositionPanel:
    """What stays is drawn once, by matplotlib; over its copy, what depends on the position is drawn each time."""

    def __init__(self, features: int, positions: int) -> None:
        self.vectors = sinusoidal_encoding(torch.arange(positions), features).numpy()
        self.position, self.number = parts.slider_and_number("position", 0, positions - 1, positions // 10)
        self.image = parts.picture_place("position", WIDTH, HEIGHT)
        self.note = widgets.HTML()
        self._draw_what_stays()
        self.panel = widgets.VBox([parts.in_line(self.position, self.number, self.note), self.image])
        self.panel.controls = {"position": self.position, "position number": self.number}
        self.panel.images, self.panel.note = {"position": self.image}, self.note
        self.position.observe(self._draw, "value")
        self._draw()

    def _draw_what_stays(self) -> None:
        positions, features = self.vectors.shape
        figure = Figure(figsize=(WIDTH / 100, HEIGHT / 100))
        self.canvas = FigureCanvasAgg(figure)
        left, right = figure.subfigures(1, 2, width_ratios=[1, 1.25])
        table = left.subplots()
        table.grid(False)
        table.imshow(self.vectors, cmap=SIGNED_MAP, vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
        table.set(title="the vectors of all positions", xlabel="number in the vector", ylabel="position")
        vector, alike = right.subplots(2)
        vector.set(title="the vector of this position", xlabel="number in the vector", ylim=(-1.1, 1.1))
        vector.set(xlim=(-0.5, features - 0.5))
        alike.set(title="how alike the vectors of all others are (1: equal)", xlabel="position", ylim=(-0.5, 1.1))
        alike.set(xlim=(0, positions - 1))
        for axis in (vector, alike):
            axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−")))

        # animated: left out of the picture of what stays
        animated = dict(animated=True, color="#0072B2")
        self.bars = vector.stairs(np.zeros(features), np.arange(features + 1) - 0.5, baseline=0, fill=True, **animated)
        (self.curve,) = alike.plot(range(positions), np.zeros(positions), linewidth=1.2, **animated)
        marks = dict(animated=True, color="black", linewidth=1.2)
        self.marks = [table.axhline(0, **marks), alike.axvline(0, linestyle="--", **marks)]
        self.canvas.draw()
        self.background = self.canvas.copy_from_bbox(figure.bbox)

    def _draw(self, _change=None) -> None:
        position = self.position.value
        vector = self.vectors[position]
        alike = self.vectors @ vector / (vector @ vector)  # (positions,): all vectors are equally long
        self.bars.set_data(vector)
        self.curve.set_ydata(alike)
        self.marks[0].set_ydata([position, position])
        self.marks[1].set_xdata([position, position])
        self.canvas.restore_region(self.background)
        for artist in (self.bars, self.curve, *self.marks):
            artist.axes.draw_artist(artist)
        data = io.BytesIO()
        Image.fromarray(np.asarray(self.canvas.buffer_rgba())[..., :3]).save(data, "PNG", compress_level=1)
        self.image.value = data.getvalue()
        alike[position] = -np.inf
        nearest = int(alike.argmax())
        self.note.value = (
            f"&nbsp; {len(vector)} numbers from {vector.min():.2f} to {vector.max():.2f}, squared and added "
            f"{vector @ vector:.1f} · most alike: position {nearest} ({alike[nearest]:.2f})"
        ).replace("-", "−")
