"""Images in rows and columns: one helper, :func:`plot_tiles`, for all figures that are grids of images."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from stablediff_edu.plotting.core import PAGE_WIDTH, ImageLike, overlay_mask, plot_image, subplots, to_numpy_image

Images = Sequence[ImageLike] | ImageLike


class Tile(NamedTuple):
    """One image of a grid; `scale`, `limit`, `label` and `bar` as in :func:`plot_image`."""

    image: ImageLike
    title: str = ""
    scale: str = "image"
    label: str = ""
    mask: ImageLike | None = None
    limit: float | None = None
    bar: bool = True
    hatched: bool = True  # the mask


def plot_tiles(rows: Sequence[Sequence[Tile | None]], names: Sequence[str] = (), largest: float = 3.2) -> Figure:
    """Plot images in rows and columns, as large as the page allows.

    Args:
        rows: the tiles of each row; None leaves a position empty, and so does the end of a shorter row.
        names: of the rows, at the left.
        largest: the largest width of an image in inches of 100 pixels.
    """
    tiles = [tile for row in rows for tile in row if tile]
    if not tiles:
        raise ValueError("there is no image to plot")
    columns = max(map(len, rows))
    left = 0.2 + 0.095 * _widest(names) if any(names) else 0.0
    side = min((PAGE_WIDTH - left) / columns, largest)
    tall = max(tile.image.shape[-2] / tile.image.shape[-1] for tile in tiles)
    size = max(8.0, min(11.0, 115 * side / max(1, _widest(tile.title for tile in tiles))))  # titles must not touch
    head = sum(0.02 * size * max(_lines(tile.title) for tile in row if tile) for row in rows)
    below = sum(max(_below(tile, side * tall) for tile in row if tile) for row in rows)
    figure, axes = subplots(
        columns,
        len(rows),
        width=left + side * columns,
        height=len(rows) * side * tall + head + below + 0.1,
        squeeze=False,
    )
    for line, name in zip(axes, names, strict=False):
        line[0].set_ylabel(name, rotation=0, ha="right", va="center")
    for line, row in zip(axes, rows, strict=True):
        for axis, tile in zip_longest(line, row):
            if tile is None:
                axis.set_visible(False)
                continue
            axis.set_anchor("N")  # what is left over in height belongs below, to the color bar
            plot_image(
                axis, tile.image, title=tile.title, scale=tile.scale, limit=tile.limit, label=tile.label, bar=tile.bar
            )
            axis.title.set_fontsize(size)
            if tile.mask is not None:
                overlay_mask(axis, tile.mask, hatched=tile.hatched)
    return figure


def _lines(text: str) -> int:
    return text.count("\n") + 1 if text else 0


def _widest(texts: Iterable[str]) -> int:
    return max((len(line) for text in texts for line in text.split("\n")), default=0)


def _below(tile: Tile, height: float) -> float:
    """Return the inches below an image: the color bar as an inset of its height, the bar's numbers, the label."""
    bar = 0.15 * height + 0.3 if tile.bar and tile.scale in ("signed", "magnitude") else 0
    return bar + 0.2 * _lines(tile.label)


def image_row(
    images: Images,
    titles: Sequence[str] = (),
    *,
    columns: int | None = None,
    scale: str | Sequence[str] = "image",
    masks: Sequence[ImageLike | None] = (),
    largest: float = 3.2,
    labels: str | Sequence[str] = "",
    limit: float | None = None,
) -> Figure:
    """Plot images beside each other, in as many rows as they need.

    Args:
        images: N images, each (3, H, W), (1, H, W) or (H, W).
        titles: N short titles.
        columns: images a row; all in one row by default.
        scale: how values become colors, one word or one for each image, as in :func:`plot_image`.
        masks: N masks (1, H, W) or (H, W), or None where there is none: shown as outline and hatch.
        largest: the largest width of one image in inches of 100 pixels.
        labels: what the color bars measure, one text or one for each image.
        limit: the value with the fullest color in all maps, to compare them; each has its own by default.
    """
    scales, texts = ([one] * len(images) if isinstance(one, str) else one for one in (scale, labels))
    parts = zip_longest(images, titles or [""] * len(images), scales, texts, masks)
    tiles = [Tile(*part, limit=limit) for part in parts]
    columns = columns or len(tiles) or 1
    return plot_tiles([tiles[first : first + columns] for first in range(0, len(tiles), columns)], largest=largest)


def image_grid(
    rows: Mapping[str, Images], titles: Sequence[str] = (), largest: float = 1.8, scale: str | Sequence[str] = "image"
) -> Figure:
    """Plot rows of images, each with its name at the left; a shorter row leaves its end empty.

    Args:
        rows: name -> images, each (3, H, W), (1, H, W) or (H, W).
        titles: of the columns.
        largest: the largest side of an image in inches of 100 pixels.
        scale: how values become colors, one word or one for each row, as in :func:`plot_image`.
    """
    scales = [scale] * len(rows) if isinstance(scale, str) else scale
    tiles = []
    for number, (images, one) in enumerate(zip(rows.values(), scales, strict=True)):
        above = [*titles, *[""] * len(images)] if number == 0 else [""] * len(images)
        tiles.append([Tile(image, title, one, bar=False) for image, title in zip(images, above, strict=False)])
    return plot_tiles(tiles, list(rows), largest)


def contact_sheet_figure(images: Images, columns: int = 8) -> Figure:
    """Plot many small images, (C, S, S) each, close together."""
    return contact_sheets({"": images}, columns, min(PAGE_WIDTH, 1.1 * min(columns, len(images))))


def contact_sheets(groups: Mapping[str, Images], columns: int = 4, width: float = PAGE_WIDTH) -> Figure:
    """Plot contact sheets beside each other: title -> images, each with `columns` images a row."""
    sheets = {title: contact_sheet(images, columns) for title, images in groups.items()}
    tall = max(sheet.shape[0] / sheet.shape[1] for sheet in sheets.values())
    height = width / len(sheets) * tall + 0.25 * max(map(_lines, sheets))
    figure, axes = subplots(len(sheets), width=width, height=height, squeeze=False)
    for axis, (title, sheet) in zip(axes[0], sheets.items(), strict=True):
        axis.imshow(sheet, interpolation="nearest")
        axis.set_title(title)
        axis.set_axis_off()
        axis.set_anchor("N")
    return figure


def contact_sheet(images: Images, columns: int = 8) -> np.ndarray:
    """Lay images, (C, S, S) each, out in rows with a thin white line between: uint8 (height, width, 3)."""
    tiles, width = [to_uint8(image) for image in images], images[0].shape[-1]
    rows = [tiles[first : first + columns] for first in range(0, len(tiles), columns)]
    return np.asarray(tile_images(rows, width, gap=max(1, width // 32)))


def tile_images(rows: Sequence[Sequence[np.ndarray]], side: int = 96, gap: int = 4) -> Image.Image:
    """Lay out images (uint8, (H, W) or (H, W, 3)) in rows and columns, each enlarged to `side` without smoothing."""
    width = max(map(len, rows)) * (side + gap) - gap
    sheet = Image.new("RGB", (width, len(rows) * (side + gap) - gap), "white")
    for y, row in enumerate(rows):
        for x, image in enumerate(row):
            tile = Image.fromarray(image).convert("RGB").resize((side, side), Image.Resampling.NEAREST)
            sheet.paste(tile, (x * (side + gap), y * (side + gap)))
    return sheet


def to_uint8(image: ImageLike, scale: str = "image") -> np.ndarray:
    """Return an image as uint8 (H, W, 3) or (H, W); `scale` as in :func:`to_numpy_image`."""
    return (to_numpy_image(image, scale) * 255).astype(np.uint8)
