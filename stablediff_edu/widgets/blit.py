"""Matplotlib figures that follow a slider: axes are drawn once, and only what moves is drawn over them."""

import io
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

Draw = Callable[[Mapping[str, Axes]], None]


class BlittedFigure:
    """Axes with titles, ticks and whatever stays, as an image of width × height pixels.

    Drawing axes takes ten times as long as drawing what is in them.

    Args:
        mosaic: names of the axes, as for matplotlib's `subplot_mosaic`.
        draw: (name -> axes) -> None, draws what stays.
        layout: `gridspec_kw` of the mosaic.
    """

    def __init__(self, mosaic: Sequence[Sequence[str]], width: int, height: int, draw: Draw, **layout) -> None:
        figure = Figure(figsize=(width / 100, height / 100), layout="none")
        self.canvas = FigureCanvasAgg(figure)
        self.axes = figure.subplot_mosaic(mosaic, gridspec_kw=layout)
        draw(self.axes)
        self.canvas.draw()
        self.background = self.canvas.copy_from_bbox(figure.bbox)

    def render(self, draw: Draw) -> bytes:
        """Return the image with what `draw` puts over the background, as PNG; the axes are as before afterwards."""
        before = {id(artist) for axes in self.axes.values() for artist in axes.get_children()}
        draw(self.axes)
        self.canvas.restore_region(self.background)
        for axes in self.axes.values():
            for artist in sorted(axes.get_children(), key=lambda artist: artist.get_zorder()):
                if id(artist) not in before:
                    axes.draw_artist(artist)
                    artist.remove()
        data = io.BytesIO()
        Image.fromarray(np.asarray(self.canvas.buffer_rgba())[..., :3]).save(data, "PNG", compress_level=1)
        return data.getvalue()
