"""Matrices as colors: one helper, :func:`plot_heatmaps`, for attention, similarities, distances and embeddings."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from stablediff_edu.plotting.core import MAGNITUDE_MAP, SIGNED_MAP, annotate_values, subplots


def plot_heatmaps(
    maps: Mapping[str, torch.Tensor],
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    *,
    xlabel: str = "",
    ylabel: str = "",
    signed: bool = False,
    limit: float | None = None,
    numbers: bool = False,
    bar: str = "",
    width: float = 9.8,
    height: float = 4.2,
    aspect: str = "equal",
) -> Figure:
    """Plot matrices beside each other.

    Args:
        maps: title -> (N, M) values; from 0 upwards, or `signed`: zero is white, negative purple, positive orange.
        rows, columns: N and M texts along the sides.
        xlabel, ylabel: what the sides are.
        limit: the value with the fullest color in all matrices; each has its own by default.
        numbers: whether to write the values into the cells.
        bar: what a color bar beside the matrices measures; no bar by default.
        width, height: of the figure in inches of 100 pixels.
        aspect: ``"equal"`` for square cells, ``"auto"`` to fill the figure.
    """
    figure, axes = subplots(len(maps), width=width, height=height, squeeze=False)
    for axis, (title, values) in zip(axes[0], maps.items(), strict=True):
        fullest = limit or float(values.abs().max()) or 1.0
        image = plot_matrix(axis, values, fullest, signed, aspect=aspect, interpolation="nearest")
        label_matrix(axis, rows, columns)
        axis.set(title=title, xlabel=xlabel)
        if numbers:
            annotate_values(axis, values.round(decimals=2), size=8.5)
    axes[0, 0].set_ylabel(ylabel)
    if bar:
        figure.colorbar(image, ax=list(axes[0]), shrink=0.85, label=bar)
    return figure


def plot_matrix(axis: Axes, values: torch.Tensor, limit: float = 1.0, signed: bool = False, **more: Any) -> AxesImage:
    """Plot values, (N, M), as colors alone, from 0, or from -limit if `signed`, to limit."""
    axis.grid(False)
    cmap, low = (SIGNED_MAP, -limit) if signed else (MAGNITUDE_MAP, 0.0)
    return axis.imshow(values.detach().cpu().numpy(), cmap=cmap, vmin=low, vmax=limit, **more)


def label_matrix(axis: Axes, rows: Sequence[str], columns: Sequence[str] = ()) -> None:
    """Write texts along the rows and, turned, along the columns of a matrix."""
    if rows:
        axis.set_yticks(range(len(rows)), rows)
    if columns:
        axis.set_xticks(range(len(columns)), columns, rotation=60, ha="right", rotation_mode="anchor")
