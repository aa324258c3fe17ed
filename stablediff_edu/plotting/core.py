"""Figures of the course: one style, one way out of a cell (:func:`show_figure`), and images, maps and masks on an axis.

Figures are plain :class:`matplotlib.figure.Figure` objects without pyplot: they work in tests, and none stays open.
"""

import base64
import html
import io
import sys
from pathlib import Path
from typing import Any

import matplotlib.style
import numpy as np
import torch
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from PIL import Image

matplotlib.style.use(Path(__file__).with_name("style.mplstyle"))

PAGE_WIDTH = 9.8  # inches at 100 dots an inch: what fits a notebook's output column in a page 1100 pixels wide
LARGE = 90_000  # bytes of a PNG
SIGNED_MAP = "PuOr_r"  # zero is white, negative purple, positive orange
MAGNITUDE_MAP = "cividis"
MASK_COLORS = ("#E69F00", "#56B4E9", "#CC79A7", "#F0E442")
MASK_HATCHES = ("///", "\\\\\\", "...", "xxx")

ImageLike = torch.Tensor | np.ndarray


def show_figure(figure: Figure, caption: str = "") -> None:
    """Show a figure with its caption: the only way a figure leaves a cell.

    The caption stands under the image and is stored as its alternative text. The figure is closed afterwards.

    Args:
        figure: any matplotlib figure, from this module or from the learner's own code.
        caption: what is to be seen, in plain words; by default the figure's own description, which diagrams have.

    Raises:
        ValueError: there is no caption.
    """
    from IPython.display import display

    caption = " ".join((caption or str(figure.get_label())).split())
    if not caption:
        raise ValueError("a figure needs a caption: say in a sentence what is to be seen")
    png = base64.b64encode(_png(figure)).decode("ascii")
    display({"image/png": png, "text/plain": caption}, metadata={"image/png": {"alt": caption}}, raw=True)
    # JupyterLab does not show the alternative text: the caption is printed as well
    line = f'<p style="margin: 0 0 12px 6px; max-width: 58em; line-height: 1.4"><em>{html.escape(caption)}</em></p>'
    display({"text/html": line, "text/plain": caption}, raw=True)
    if pyplot := sys.modules.get("matplotlib.pyplot"):  # where the learner may have made the figure
        pyplot.close(figure)


def _png(figure: Figure) -> bytes:
    """Return the figure as a PNG; a large one, or a diagram without images, in 256 colors: notebooks stay small.

    Diagrams keep their transparent background.
    """
    data = io.BytesIO()
    figure.savefig(data, format="png", bbox_inches="tight", pad_inches=0.08)
    transparent = to_rgba(figure.get_facecolor())[3] == 0
    if transparent and not any(axes.images for axes in figure.axes):
        few = Image.open(data).quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    elif not transparent and data.tell() > LARGE:
        image = Image.open(data).convert("RGB")
        chosen = image.quantize(256, method=Image.Quantize.FASTOCTREE)  # keeps rare colors, such as a color bar's
        colors = np.array(chosen.getpalette(), dtype=np.uint8).reshape(-1, 3)
        colors[colors.sum(axis=1, dtype=int).argmax()] = 255  # the paper stays white
        chosen.putpalette(colors.tobytes())
        few = image.quantize(palette=chosen, dither=Image.Dither.FLOYDSTEINBERG)
    else:
        return data.getvalue()
    data = io.BytesIO()
    few.save(data, format="png", optimize=True)
    return data.getvalue()


def figure_to_image(figure: Figure) -> Image.Image:
    """Return a figure as an image of exactly its size, 100 pixels an inch."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])


def to_numpy_image(image: ImageLike, scale: str = "image") -> np.ndarray:
    """Return an image as numpy values in [0, 1], clipped: (H, W, 3) for three channels, else (H, W).

    Args:
        image: (3, H, W), (1, H, W) or (H, W), or a batch of one of these.
        scale: ``"image"``: floats are in [-1, 1]; ``"unit"``: in [0, 1]. Integers (0 … 255) and booleans are
            recognized by their type.
    """
    values = _plane(image)
    if values.dtype == bool:
        values = values.astype(np.float32)
    elif np.issubdtype(values.dtype, np.integer):
        values = values / np.float32(255)
    elif scale == "image":
        values = (values + 1) / 2
    elif scale != "unit":
        raise ValueError(f'scale is "image" or "unit", not {scale!r}')
    return values.clip(0, 1)


def _plane(image: ImageLike) -> np.ndarray:
    """(1, C, H, W), (C, H, W) or (H, W) -> (H, W, 3) or (H, W), values untouched."""
    values = image.detach().cpu().numpy() if isinstance(image, torch.Tensor) else np.asarray(image)
    while values.ndim > 2 and values.shape[0] == 1:
        values = values[0]
    if values.ndim == 2:
        return values
    if values.ndim == 3 and values.shape[0] == 3:
        return values.transpose(1, 2, 0)  # (3, H, W) -> (H, W, 3)
    raise ValueError(f"an image has the shape (3, H, W), (1, H, W) or (H, W), not {tuple(values.shape)}")


def _single(values: ImageLike) -> np.ndarray:
    plane = _plane(values)
    if plane.ndim != 2:
        raise ValueError(f"a map has one channel, not the shape {tuple(np.shape(values))}; choose a channel")
    return plane


def signed_text(value: float, form: str = "{:.2f}") -> str:
    """Write a value with a proper minus, and without one if it is rounded to zero."""
    text = form.format(value)
    return text.replace("-", "−" if float(text) else "")


def text_color(fill: Any) -> str:
    """Return black or white, whichever is easier to read on a color."""
    red, green, blue, _ = to_rgba(fill)
    return "black" if 0.3 * red + 0.59 * green + 0.11 * blue > 0.46 else "white"


def subplots(
    columns: int = 1, rows: int = 1, *, width: float = PAGE_WIDTH, height: float = 3.4, **layout: Any
) -> tuple[Figure, Any]:
    """Return ``(figure, axes)`` like ``pyplot.subplots``, but of page width and without pyplot's hidden state.

    Args:
        columns, rows: how many axes; one gives a single Axes, more a numpy array of them.
        width, height: of the whole figure, in inches of 100 pixels.
        layout: passed on to ``Figure.subplots``, e.g. ``width_ratios=[1, 2]``.
    """
    figure = Figure(figsize=(width, height))
    return figure, figure.subplots(rows, columns, **layout)


def plot_image(
    axis: Axes,
    image: ImageLike,
    *,
    title: str = "",
    scale: str = "image",
    limit: float | None = None,
    label: str = "",
    bar: bool = True,
) -> AxesImage:
    """Plot an image or a map on an axis, without ticks.

    Args:
        scale: how values become colors: ``"image"`` ([-1, 1]) or ``"unit"`` ([0, 1]), color or gray; ``"signed"``: a
            map of both signs, zero white, negative purple, positive orange; ``"magnitude"``: a map from zero upwards,
            dark blue to yellow.
        limit: of a map, the value with the fullest color; by default the 99.5th percentile of the magnitudes
            ("signed") or the maximum ("magnitude").
        label: what the color bar measures; without a bar, a text below the image.
        bar: whether a map gets a color bar.
    """
    axis.set_title(title)
    axis.set(xticks=[], yticks=[])
    axis.grid(False)
    axis.spines[:].set_visible(True)
    if scale not in ("signed", "magnitude"):
        axis.set_xlabel(label, fontsize=10)
        return axis.imshow(to_numpy_image(image, scale), cmap="gray", vmin=0, vmax=1)
    plane, signed = _single(image), scale == "signed"
    limit = limit or float(np.percentile(np.abs(plane), 99.5) if signed else plane.max()) or 1.0
    ticks = [-limit, 0, limit] if signed else [0, limit / 2, limit]
    shown = axis.imshow(plane, cmap=SIGNED_MAP if signed else MAGNITUDE_MAP, vmin=ticks[0], vmax=limit)
    if bar:  # an inset keeps an image with a bar as large as its neighbors without one
        inset = axis.inset_axes((0.08, -0.1, 0.84, 0.05))
        colorbar = axis.figure.colorbar(shown, cax=inset, orientation="horizontal", label=label)
        colorbar.set_ticks(ticks, labels=[signed_text(tick, "{:.3g}") for tick in ticks])
        colorbar.outline.set_linewidth(0.6)
    return shown


def annotate_values(axis: Axes, values: ImageLike, *, size: float = 13) -> None:
    """Write each value, (1, H, W) or (H, W), into its square of an image or map that is already on the axis."""
    image = axis.images[-1]
    for (row, column), value in np.ndenumerate(_single(values)):
        ink = text_color(image.cmap(image.norm(value)))
        axis.text(column, row, signed_text(value, "{:g}"), ha="center", va="center", fontsize=size, color=ink)


def overlay_mask(axis: Axes, mask: ImageLike, *, kind: int = 0, label: str = "", hatched: bool = True) -> None:
    """Plot a mask (1, H, W) or (H, W) over an image: its outline and a hatch, so that the image stays visible.

    Args:
        kind: 0, 1, 2 or 3: another color and another hatch for each, e.g. 0 for the truth and 1 for a prediction.
        label: a name for the legend.
        hatched: False gives a thin outline only, where what lies inside matters.
    """
    # a rim of zeros closes the outline where the mask touches the frame
    plane = np.pad(_single(mask).astype(np.float32), 1)
    height, width = plane.shape
    columns, rows = np.arange(width) - 1, np.arange(height) - 1
    color, hatch = MASK_COLORS[kind % 4], MASK_HATCHES[kind % 4]
    if plane.max() > 0.5:
        if hatched:
            filled = axis.contourf(columns, rows, plane, levels=[0.5, 2.0], colors="none", hatches=[hatch])
            filled.set(edgecolor=color, linewidth=0)
        thick = 2.0 if hatched else 1.2
        outline = axis.contour(columns, rows, plane, levels=[0.5], colors=[color], linewidths=thick)
        outline.set_path_effects([patheffects.withStroke(linewidth=2 * thick, foreground="#222222")])
    axis.set(xlim=(-0.5, width - 2.5), ylim=(height - 2.5, -0.5))
    if label:
        axis.fill([], [], facecolor="white", edgecolor=color, hatch=hatch, label=label)
