"""Figures of chapter 7's first half: attention weights, as maps with the words along both sides and as lines."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from stablediff_edu.plotting.core import MAGNITUDE_MAP, PAGE_WIDTH, SIGNED_MAP, annotate_values, subplots

MIN_CELL_WIDTH = 0.42  # inches that a cell needs
LINE_COLOR = "#0072B2"
MIN_WEIGHT = 0.03  # weights below are not drawn: hundreds of pale lines say nothing


def attention_heatmaps(
    maps: Mapping[str, torch.Tensor],
    words: Sequence[str],
    key_tokens: Sequence[str] | None = None,
    *,
    limit: float = 1.0,
    numbers: bool | None = None,
) -> Figure:
    """Draw weights as maps beside each other: a row is a word that looks, a column a word that is looked at.

    Args:
        maps: title -> (N, M) weights of 0 or more.
        words: N words, along the rows.
        key_tokens: M words, along the columns; the same ones by default.
        limit: the weight with the lightest color, in all maps.
        numbers: whether to write the weights into the cells; by default where there is room.
    """
    key_tokens = words if key_tokens is None else key_tokens
    cell = min(0.62, (PAGE_WIDTH - 0.9) / len(maps) / (len(key_tokens) + 0.5))
    figure, axes = subplots(len(maps), height=cell * len(words) + 1.5, squeeze=False)
    for number, (axis, (title, weights)) in enumerate(zip(axes[0], maps.items(), strict=True)):
        plot_attention(axis, weights, words, key_tokens, limit=limit, title=title)
        axis.set_ylabel("query" if number == 0 else "")
        if cell > MIN_CELL_WIDTH if numbers is None else numbers:
            annotate_values(axis, weights.round(decimals=2), size=8.5)
    return figure


def plot_attention(
    axis: Axes,
    weights: torch.Tensor,
    words: Sequence[str],
    key_tokens: Sequence[str],
    *,
    limit: float = 1.0,
    title: str = "",
) -> None:
    """Draw weights, (N, M), on an axis, with N words along the rows and M along the columns."""
    plot_matrix(axis, weights, limit)
    axis.set_xticks(range(len(key_tokens)), key_tokens, rotation=60, ha="right", rotation_mode="anchor")
    axis.set_yticks(range(len(words)), words)
    axis.set(title=title, xlabel="key")
    axis.grid(False)


def plot_matrix(axis: Axes, weights: torch.Tensor, limit: float = 1.0, signed: bool = False, **more) -> None:
    """Draw weights, (N, M), as colors alone; `signed`: scores of both signs, before the softmax, zero is white."""
    colors = dict(cmap=SIGNED_MAP, vmin=-limit) if signed else dict(cmap=MAGNITUDE_MAP, vmin=0)
    axis.imshow(weights.detach().cpu().numpy(), vmax=limit, **colors, **more)


def attention_bipartite(weights: torch.Tensor, words: Sequence[str], title: str = "") -> Figure:
    """Draw a line from each word, on the left, to those that it looks at, on the right: the stronger, the thicker.

    Args:
        weights: (N, N), rows of sum 1.
        words: N words.
    """
    figure, axis = subplots(width=5.2, height=0.36 * len(words) + 0.7)
    plot_words(axis, words, title)
    plot_lines(axis, weights)
    return figure


def plot_words(axis: Axes, words: Sequence[str], title: str = "") -> None:
    """Write words on both sides of an axis, for lines between them."""
    for place, word in enumerate(words):
        axis.text(-0.04, place, word, ha="right", va="center")
        axis.text(1.04, place, word, ha="left", va="center")
    axis.set(xlim=(-0.5, 1.5), ylim=(len(words) - 0.5, -0.5), title=title)
    axis.set_axis_off()


def plot_lines(axis: Axes, weights: torch.Tensor) -> None:
    """Draw the lines of `attention_bipartite` alone."""
    drawn = [(place, weight) for place, weight in np.ndenumerate(weights.detach().cpu().numpy()) if weight > MIN_WEIGHT]
    axis.add_collection(
        LineCollection(
            [[(0, row), (1, column)] for (row, column), _ in drawn],
            colors=[to_rgba(LINE_COLOR, min(1, weight)) for _, weight in drawn],
            linewidths=[0.5 + 4 * weight for _, weight in drawn],
        ),
        autolim=False,
    )


def convolution_as_matrix(kernel: Sequence[float], length: int) -> torch.Tensor:
    """Lay a kernel of odd width along the diagonal: what each of N places takes from each, (N, N).

    The row sums fall short of the kernel's where it reaches beyond the ends, as with padding by zeros.
    """
    reach = len(kernel) // 2
    matrix = torch.zeros(length, length)
    for place in range(length):
        for shift, weight in zip(range(-reach, reach + 1), kernel, strict=True):
            if 0 <= place + shift < length:
                matrix[place, place + shift] = weight
    return matrix


def setup_vector_axes(axis: Axes, title: str = "", reach: float = 3.0) -> None:
    """Prepare an axis for arrows: a plane that goes from -reach to reach both ways."""
    axis.axhline(0, color="#bbbbbb", linewidth=0.8)
    axis.axvline(0, color="#bbbbbb", linewidth=0.8)
    axis.set(title=title, xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    for ticks in (axis.xaxis, axis.yaxis):
        ticks.set_major_locator(MultipleLocator(1))


def plot_vectors(axis: Axes, vectors: torch.Tensor, words: Sequence[str], color: str) -> None:
    """Draw vectors, (N, 2), as arrows from the middle of a plane, with their words; or without, if there are none."""
    arrows = axis.quiver(
        *torch.zeros_like(vectors).T, *vectors.T, angles="xy", scale_units="xy", scale=1, color=color, width=0.012
    )
    arrows.set_clip_on(True)
    for word, (x, y) in zip(words, vectors.tolist(), strict=False):
        side, above = ("left" if x >= 0 else "right"), ("bottom" if y >= 0 else "top")
        axis.text(x, y, word, fontsize=9, ha=side, va=above, clip_on=True)
