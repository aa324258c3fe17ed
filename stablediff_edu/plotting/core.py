"""Figures of the course: one style, one door (:func:`show_figure`), and the few ways in which images and maps are
drawn.

Nothing here needs a notebook or pyplot: figures are plain :class:`matplotlib.figure.Figure` objects, so that they
work in tests, and none stays open behind the reader's back.
"""

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib.style
import numpy as np
import torch
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from PIL import Image

STYLE = Path(__file__).with_name("style.mplstyle")
matplotlib.style.use(STYLE)

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

    caption = " ".join((caption or figure.get_label()).split())
    if not caption:
        raise ValueError("a figure needs a caption: say in a sentence what is to be seen")
    png = base64.b64encode(_png(figure)).decode("ascii")
    display({"image/png": png, "text/plain": caption}, metadata={"image/png": {"alt": caption}}, raw=True)
    # JupyterLab does not show the alternative text: the caption is printed as well
    line = f'<p style="margin: 0 0 12px 6px; max-width: 58em; line-height: 1.4"><em>{html.escape(caption)}</em></p>'
    display({"text/html": line, "text/plain": caption}, raw=True)
    _close(figure)


def _png(figure: Figure) -> bytes:
    """Return the figure as a PNG; a large one, or a diagram without images, in 256 colors: notebooks stay small.

    Diagrams keep their transparent background.
    """
    data = io.BytesIO()
    figure.savefig(data, format="png", bbox_inches="tight", pad_inches=0.08)
    transparent = not figure.get_facecolor()[3]
    if transparent and not any(axes.images for axes in figure.axes):
        few = Image.open(data).quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        data = io.BytesIO()
        few.save(data, format="png", optimize=True)
    elif not transparent and data.tell() > LARGE:
        image = Image.open(data).convert("RGB")
        chosen = image.quantize(256, method=Image.Quantize.FASTOCTREE)  # keeps rare colors, such as a color bar's
        colors = np.array(chosen.getpalette(), dtype=np.uint8).reshape(-1, 3)
        colors[colors.sum(axis=1, dtype=int).argmax()] = 255  # the paper stays white
        chosen.putpalette(colors.tobytes())
        data = io.BytesIO()
        image.quantize(palette=chosen, dither=Image.Dither.FLOYDSTEINBERG).save(data, format="png", optimize=True)
    return data.getvalue()


def _close(figure: Figure) -> None:
    """Forget the figure in pyplot too, if the learner made it there (this module never imports pyplot)."""
    import sys

    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        pyplot.close(figure)


def to_numpy_image(tensor: ImageLike, scale: str = "image") -> np.ndarray:
    """Return an image as numpy values in [0, 1] for drawing: (H, W, 3) for three channels, else (H, W).

    Args:
        tensor: (3, H, W), (1, H, W) or (H, W), or a batch of one of these.
        scale: ``"image"``: floats are in [-1, 1]; ``"unit"``: floats are in [0, 1], such as masks. What lies
            outside is clipped. Whole numbers (0 … 255) and booleans are recognised by their type.
    """
    values = _plane(tensor)
    if values.dtype == bool:
        values = values.astype(np.float32)
    elif np.issubdtype(values.dtype, np.integer):
        values = values / np.float32(255)
    elif scale == "image":
        values = (values + 1) / 2
    elif scale != "unit":
        raise ValueError(f'scale is "image" or "unit", not {scale!r}')
    return values.clip(0, 1)


def _plane(tensor: ImageLike) -> np.ndarray:
    """(1, C, H, W), (C, H, W) or (H, W) -> (H, W, 3) or (H, W), values untouched."""
    values = tensor.detach().cpu().numpy() if isinstance(tensor, torch.Tensor) else np.asarray(tensor)
    if values.ndim == 4 and values.shape[0] == 1:
        values = values[0]
    if values.ndim == 3 and values.shape[0] == 1:
        values = values[0]
    if values.ndim == 2:
        return values
    if values.ndim == 3 and values.shape[0] == 3:
        return values.transpose(1, 2, 0)  # (3, H, W) -> (H, W, 3)
    raise ValueError(f"an image has the shape (3, H, W), (1, H, W) or (H, W), not {tuple(values.shape)}")


def subplots(
    columns: int = 1, rows: int = 1, *, width: float = PAGE_WIDTH, height: float = 3.4, **layout
) -> tuple[Figure, Axes | np.ndarray]:
    """Return ``(figure, axes)`` like ``pyplot.subplots``, but of page width and without pyplot's hidden state.

    Args:
        columns, rows: how many axes; one gives a single Axes, more a numpy array of them.
        width, height: of the whole figure, in inches of 100 pixels.
        layout: passed on to ``Figure.subplots``, e.g. ``width_ratios=[1, 2]``.
    """
    figure = Figure(figsize=(width, height))
    return figure, figure.subplots(rows, columns, **layout)


def image_row(
    images: Sequence[ImageLike] | torch.Tensor,
    titles: Sequence[str] | None = None,
    *,
    columns: int | None = None,
    scale: str | Sequence[str] = "image",
    masks: Sequence[ImageLike | None] | torch.Tensor | None = None,
    width: float = PAGE_WIDTH,
    largest: float = 3.2,
    labels: str | Sequence[str] = "",
    limit: float | None = None,
) -> Figure:
    """Return a figure of images beside each other, in as many rows as they need.

    Args:
        images: N images, each (3, H, W), (1, H, W) or (H, W).
        titles: N short titles.
        columns: images a row; all in one row by default.
        scale: how values become colors, one word or one for each image: ``"image"`` ([-1, 1]), ``"unit"``
            ([0, 1]), ``"signed"`` (zero-centerd colors with a bar) or ``"magnitude"`` (cividis with a bar).
        masks: N masks (1, H, W) or (H, W), or None where there is none: drawn as outline and hatch.
        width: of the figure in inches of 100 pixels.
        largest: the largest width of one image, in the same inches.
        labels: what the color bars measure, one text or one for each image.
        limit: the value with the fullest color in all maps, to compare them; each has its own by default.
    """
    count = len(images)
    if count == 0:
        raise ValueError("there is no image to draw")
    columns = min(columns or count, count)
    rows = -(-count // columns)
    scales = [scale] * count if isinstance(scale, str) else list(scale)
    texts = [labels] * count if isinstance(labels, str) else list(labels)
    planes = [_plane(image) for image in images]
    side = min(width / columns, largest)
    tall = max(plane.shape[0] / plane.shape[1] for plane in planes)
    # below an image: the color bar as an inset of its height, the bar's numbers, the bar's label
    bar = 0.15 * side * tall + 0.3 + (0.2 if any(texts) else 0) if {"signed", "magnitude"} & set(scales) else 0.0
    lines = max((title.count("\n") + 1 for title in titles), default=1) if titles else 0
    figure, axes = subplots(
        columns, rows, width=side * columns, height=rows * (side * tall + bar + 0.22 * lines), squeeze=False
    )
    for index, axis in enumerate(axes.flat):
        if index >= count:
            axis.set_visible(False)
            continue
        axis.set_anchor("N")  # what is left over in height belongs below, to the color bar
        title = titles[index] if titles else ""
        if scales[index] == "signed":
            plot_signed(axis, images[index], limit=limit, title=title, label=texts[index])
        elif scales[index] == "magnitude":
            plot_magnitude(axis, images[index], limit=limit, title=title, label=texts[index])
        else:
            plot_image(axis, images[index], title=title, scale=scales[index])
        if masks is not None and masks[index] is not None:
            overlay_mask(axis, masks[index])
    return figure


def plot_image(axis: Axes, image: ImageLike, *, title: str = "", scale: str = "image") -> AxesImage:
    """Draw a color or gray image on an axis, without ticks; ``scale`` as in :func:`to_numpy_image`."""
    format_image_axes(axis, title)
    return axis.imshow(to_numpy_image(image, scale), cmap="gray", vmin=0, vmax=1)


def plot_signed(
    axis: Axes, values: ImageLike, *, limit: float | None = None, title: str = "", label: str = "", bar: bool = True
) -> AxesImage:
    """Draw values of both signs, (1, H, W) or (H, W): zero white, negative purple, positive orange.

    Args:
        limit: the value with the fullest color; the 99.5th percentile of the magnitudes by default.
        label: what the color bar measures.
        bar: whether to draw the color bar.
    """
    plane = _single(values)
    if limit is None:
        limit = float(np.percentile(np.abs(plane), 99.5)) or 1.0
    format_image_axes(axis, title)
    image = axis.imshow(plane, cmap=SIGNED_MAP, vmin=-limit, vmax=limit)
    if bar:
        _bar(axis, image, label, ticks=[-limit, 0, limit])
    return image


def plot_magnitude(
    axis: Axes, values: ImageLike, *, limit: float | None = None, title: str = "", label: str = "", bar: bool = True
) -> AxesImage:
    """Draw values from zero upwards, from dark blue to yellow; arguments as for :func:`plot_signed`."""
    plane = _single(values)
    limit = limit or float(plane.max()) or 1.0
    format_image_axes(axis, title)
    image = axis.imshow(plane, cmap=MAGNITUDE_MAP, vmin=0, vmax=limit)
    if bar:
        _bar(axis, image, label, ticks=[0, limit / 2, limit])
    return image


def annotate_values(axis: Axes, values: ImageLike, *, size: float = 13) -> None:
    """Write each value, (1, H, W) or (H, W), into its square of an image or map that is already drawn on the axis."""
    plane, image = _single(values), axis.images[-1]
    for (row, column), value in np.ndenumerate(plane):
        red, green, blue, _ = image.cmap(image.norm(value))
        dark = 0.3 * red + 0.59 * green + 0.11 * blue < 0.5
        text = f"{value + 0:g}".replace("-", "−")  # + 0: no "−0"
        axis.text(column, row, text, ha="center", va="center", fontsize=size, color="white" if dark else "black")


def overlay_mask(axis: Axes, mask: ImageLike, *, kind: int = 0, label: str = "", hatched: bool = True) -> None:
    """Draw a mask (1, H, W) or (H, W) over an image: its outline and a hatch, so that the image stays visible.

    Args:
        kind: 0, 1, 2 or 3: another color and another hatch for each, e.g. 0 for the truth and 1 for a prediction.
        label: a name for the legend.
        hatched: False draws a thin outline only, where what lies inside matters.
    """
    # a rim of zeros closes the outline where the mask touches the frame
    plane = np.pad(_single(mask).astype(np.float32), 1)
    height, width = plane.shape
    columns, rows = np.arange(width) - 1, np.arange(height) - 1
    color, hatch = MASK_COLORS[kind % 4], MASK_HATCHES[kind % 4]
    if plane.max() > 0.5:
        if hatched:
            filled = axis.contourf(columns, rows, plane, levels=[0.5, 2.0], colors="none", hatches=[hatch])
            filled.set_edgecolor(color)
            filled.set_linewidth(0)
        width_of_line = 2.0 if hatched else 1.2
        outline = axis.contour(columns, rows, plane, levels=[0.5], colors=[color], linewidths=width_of_line)
        outline.set_path_effects([patheffects.withStroke(linewidth=2 * width_of_line, foreground="#222222")])
    axis.set_xlim(-0.5, width - 2.5)
    axis.set_ylim(height - 2.5, -0.5)
    if label:
        axis.fill([], [], facecolor="white", edgecolor=color, hatch=hatch, label=label)


def _single(values: ImageLike) -> np.ndarray:
    plane = _plane(values)
    if plane.ndim != 2:
        raise ValueError(f"a map has one channel, not the shape {tuple(np.shape(values))}; choose a channel")
    return plane


def format_image_axes(axis: Axes, title: str) -> None:
    """Prepare an axis for an image: its title, a thin frame, no ticks."""
    axis.set_title(title)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.grid(False)
    for spine in axis.spines.values():
        spine.set_visible(True)


def _bar(axis: Axes, image: AxesImage, label: str, ticks: list[float]) -> None:
    # an inset keeps an image with a bar as large as its neighbors without one
    inset = axis.inset_axes([0.08, -0.1, 0.84, 0.05])
    bar = axis.figure.colorbar(image, cax=inset, orientation="horizontal")
    bar.set_ticks(ticks, labels=[f"{tick:.3g}".replace("-", "−") for tick in ticks])
    bar.outline.set_linewidth(0.6)
    if label:
        bar.set_label(label)
