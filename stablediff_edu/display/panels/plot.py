"""What panels with a matplotlib picture share: the axes are drawn once, and what a slider moves is drawn over them."""

import io
from collections.abc import Callable

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image


class StillPlot:
    """Axes with titles, ticks and whatever stays, as a picture of width × height pixels.

    Drawing axes takes ten times as long as drawing what is in them, and a slider should be followed at once.

    Args:
        columns, rows: of axes; `axes` holds them, (rows, columns).
        draw: (axes) -> None, draws what stays.
        layout: passed on to matplotlib's `subplots`, such as ``gridspec_kw``. It stays too: nothing jumps.
    """

    def __init__(
        self, columns: int, rows: int, width: int, height: int, draw: Callable[[np.ndarray], None], **layout
    ) -> None:
        figure = Figure(figsize=(width / 100, height / 100), layout="none")
        self.canvas = FigureCanvasAgg(figure)
        self.axes = figure.subplots(rows, columns, squeeze=False, **layout)
        draw(self.axes)
        self.canvas.draw()
        self.still = self.canvas.copy_from_bbox(figure.bbox)

    def png(self, draw: Callable[[np.ndarray], None]) -> bytes:
        """Return the picture with what `draw`, (axes) -> None, puts over it, as PNG; then take that away again."""
        before = {id(artist) for axis in self.axes.flat for artist in axis.get_children()}
        draw(self.axes)
        self.canvas.restore_region(self.still)
        for axis in self.axes.flat:
            for artist in sorted(axis.get_children(), key=lambda artist: artist.get_zorder()):
                if id(artist) not in before:
                    axis.draw_artist(artist)
                    artist.remove()
        data = io.BytesIO()
        Image.fromarray(np.asarray(self.canvas.buffer_rgba())[..., :3]).save(data, "PNG", compress_level=1)
        return data.getvalue()
