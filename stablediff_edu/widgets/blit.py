"""Matplotlib figures that follow a slider: axes are drawn once, and only what moves is drawn over them."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from stablediff_edu.widgets.controls import minus
from stablediff_edu.widgets.still import font

Draw = Callable[[Mapping[str, Axes]], None]
INK = "#222222"


class BlittedFigure:
    """Axes with titles, ticks and whatever stays, as an image of width × height pixels.

    Drawing axes takes ten times as long as drawing what is in them, and Matplotlib takes ten times as long as Pillow
    for a text: texts that change are written with `write`.

    Args:
        mosaic: names of the axes, as for matplotlib's `subplot_mosaic`.
        draw: (name -> axes) -> None, plots what stays.
        layout: `gridspec_kw` of the mosaic.
    """

    def __init__(self, mosaic: Any, width: int, height: int, draw: Draw, **layout) -> None:
        figure = Figure(figsize=(width / 100, height / 100))
        figure.set_layout_engine("none")  # not that of the style: `layout` says where the axes are
        self.canvas, self.height = FigureCanvasAgg(figure), height
        self.texts: list[tuple] = []
        self.axes = figure.subplot_mosaic(mosaic, gridspec_kw=layout)
        draw(self.axes)
        self.canvas.draw()
        self.background = self.canvas.copy_from_bbox(figure.bbox)

    def write(self, axes: Axes, x: float, y: float, text: str, anchor: str = "mm", color: str = INK, **more) -> None:
        """Write a text at a position of the axes; `anchor` as Pillow has it, `more`: size and bold."""
        across, up = axes.transData.transform((x, y))
        self.texts.append(((across, self.height - up), minus(text), color, font(**{"size": 12} | more), anchor))

    def write_numbers(self, axes: Axes, values: torch.Tensor, digits: int, size: int = 11) -> None:
        """Write each value, (N, M), into its cell of a map that is drawn on the axes."""
        image = axes.images[-1]
        lightness = image.to_rgba(values.numpy())[..., :3] @ np.array([0.3, 0.59, 0.11])  # (N, M)
        for (row, column), value in np.ndenumerate(values.numpy().round(digits) + 0):  # + 0: no "−0"
            color = "white" if lightness[row, column] < 0.5 else "black"
            self.write(axes, column, row, f"{value:g}", color=color, size=size)

    def render(self, draw: Draw) -> Image.Image:
        """Return the image with what `draw` puts over the background; the axes are as before afterwards."""
        before = {id(artist) for axes in self.axes.values() for artist in axes.get_children()}
        self.texts.clear()
        draw(self.axes)
        self.canvas.restore_region(self.background)
        for axes in self.axes.values():
            for artist in sorted(axes.get_children(), key=lambda artist: artist.get_zorder()):
                if id(artist) not in before:
                    axes.draw_artist(artist)
                    artist.remove()
        image = Image.fromarray(np.asarray(self.canvas.buffer_rgba())[..., :3])
        pen = ImageDraw.Draw(image)
        for text in self.texts:
            pen.text(*text)
        return image
