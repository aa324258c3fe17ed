"""Figures of chapter 7: attention weights and vectors, image-caption similarities, where in an image a word matters."""

import textwrap
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator
from PIL import Image
from torch.nn import functional as F

from stablediff_edu.plotting.core import (
    MAGNITUDE_MAP,
    PAGE_WIDTH,
    SIGNED_MAP,
    annotate_values,
    plot_image,
    subplots,
    to_numpy_image,
)  # fmt: skip
from stablediff_edu.plotting.curves import plot_ranking
from stablediff_edu.plotting.grids import image_row
from stablediff_edu.plotting.heatmaps import label_matrix, plot_heatmaps, plot_matrix

MIN_CELL_WIDTH = 0.42  # inches that a cell with its value needs
LINE_COLOR = "#0072B2"
MIN_WEIGHT = 0.03  # weights below get no line: hundreds of pale lines say nothing


def attention_heatmaps(
    maps: Mapping[str, torch.Tensor], words: Sequence[str], *, limit: float = 1.0, numbers: bool | None = None
) -> Figure:
    """Plot attention weights as maps beside each other: a row is a query, a column a key.

    Args:
        maps: title -> (N, N) weights of 0 or more.
        words: N words.
        limit: the weight with the lightest color, in all maps.
        numbers: whether to write the weights into the cells; by default where there is space.
    """
    cell = min(0.62, (PAGE_WIDTH - 0.9) / len(maps) / (len(words) + 0.5))
    numbers = cell > MIN_CELL_WIDTH if numbers is None else numbers
    return plot_heatmaps(
        maps, words, words, xlabel="key", ylabel="query", limit=limit, numbers=numbers, height=cell * len(words) + 1.5
    )


def plot_attention(axis: Axes, weights: torch.Tensor, words: Sequence[str], title: str = "") -> None:
    """Plot attention weights, (N, N), on an axis, with the words along both sides."""
    plot_matrix(axis, weights)
    label_matrix(axis, words, words)
    axis.set(title=title, xlabel="key")


def plot_words(axis: Axes, words: Sequence[str], title: str = "") -> None:
    """Write words on both sides of an axis, for lines between them."""
    for row, word in enumerate(words):
        axis.text(-0.04, row, word, ha="right", va="center")
        axis.text(1.04, row, word, ha="left", va="center")
    axis.set(xlim=(-0.5, 1.5), ylim=(len(words) - 0.5, -0.5), title=title)
    axis.set_axis_off()


def plot_lines(axis: Axes, weights: torch.Tensor) -> None:
    """Plot a line from each query, on the left, to each key, on the right: weights, (N, N), as width and opacity."""
    rows, columns = (weights > MIN_WEIGHT).nonzero().T.tolist()
    shown = weights[rows, columns].tolist()
    axis.add_collection(
        LineCollection(
            [[(0, row), (1, column)] for row, column in zip(rows, columns, strict=True)],
            colors=[to_rgba(LINE_COLOR, min(1, weight)) for weight in shown],
            linewidths=[0.5 + 4 * weight for weight in shown],
        ),
        autolim=False,
    )


def convolution_as_matrix(kernel: Sequence[float], length: int) -> torch.Tensor:
    """Return the (N, N) weights with which a convolution of odd width, zero-padded, takes from each of N positions."""
    one_hot, weights = torch.eye(length)[:, None], torch.tensor(kernel)[None, None]
    return F.conv1d(one_hot, weights, padding=len(kernel) // 2)[:, 0].T


def setup_vector_axes(axis: Axes, title: str = "", reach: float = 3.0) -> None:
    """Prepare an axis for arrows: a plane that goes from -reach to reach both ways."""
    axis.axhline(0, color="#bbbbbb", linewidth=0.8)
    axis.axvline(0, color="#bbbbbb", linewidth=0.8)
    axis.set(title=title, xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    axis.xaxis.set_major_locator(MultipleLocator(1))
    axis.yaxis.set_major_locator(MultipleLocator(1))


def plot_vectors(axis: Axes, vectors: torch.Tensor, words: Sequence[str], color: str) -> None:
    """Plot vectors, (N, 2), as arrows from the middle of a plane, with their words if there are any."""
    start, end = torch.zeros_like(vectors).T, vectors.T
    axis.quiver(*start, *end, angles="xy", scale_units="xy", scale=1, color=color, width=0.012, clip_on=True)
    for word, (x, y) in zip(words, vectors.tolist(), strict=False):
        side, above = ("left" if x >= 0 else "right"), ("bottom" if y >= 0 else "top")
        axis.text(x, y, word, fontsize=9, ha=side, va=above, clip_on=True)


def similarity_heatmap(
    similarities: torch.Tensor, images: Sequence[torch.Tensor], sentences: Sequence[str], chosen: int | None = None
) -> Figure:
    """Plot cosine similarities as a map: images above, a column each, and sentences at the left, a row each.

    Args:
        similarities: (N, M), image by sentence.
        images: N images.
        sentences: M sentences.
        chosen: the number of a sentence to write in bold, if any.
    """
    rows, columns = len(sentences), len(images)
    figure, axis = subplots(height=(PAGE_WIDTH - 3.6) / columns + 0.47 * rows + 0.2)
    plot_matrix(axis, similarities.T, signed=True, aspect="auto")  # (M, N): a sentence a row
    annotate_values(axis, similarities.T.round(decimals=2), size=8.5)
    label_matrix(axis, [textwrap.fill(sentence, 46) for sentence in sentences])
    axis.tick_params(axis="y", labelsize=8.5)
    axis.set_xticks([])
    if chosen is not None:
        axis.get_yticklabels()[chosen].set_fontweight("bold")
    for column, image in enumerate(images):
        inset = axis.inset_axes(((column + 0.03) / columns, 1.01, 0.94 / columns, 2.2 / rows))
        inset.set_anchor("S")
        plot_image(inset, image)
    return figure


def live_similarities() -> Callable[[int, torch.Tensor], Image.Image]:
    """Return a `render` for `TrainingDisplay`: a snapshot of cosine similarities, (N, N), 336 pixels wide."""

    def render(step: int, table: torch.Tensor) -> Image.Image:
        colors = colormaps[SIGNED_MAP]((table.cpu().numpy() + 1) / 2, bytes=True)[..., :3]  # (N, N) -> (N, N, 3)
        square = 336 // len(table) * len(table)
        return Image.fromarray(colors).resize((square, square), Image.Resampling.NEAREST)

    return render


def top_captions(
    images: Sequence[torch.Tensor], found: Sequence[Sequence[tuple[str, float]]], right: Sequence[str] = ()
) -> Figure:
    """Plot images below each other, each with the sentences that fit it best: a bar a sentence.

    Args:
        images: N images.
        found: for each its (sentence, cosine similarity) pairs, best first.
        right: the images' own sentences, marked ✓.
    """
    height = (0.33 * max(map(len, found)) + 0.3) * len(images)
    figure, axes = subplots(2, len(images), height=height, squeeze=False, width_ratios=[1, 4])
    for row, (image, pairs) in enumerate(zip(images, found, strict=True)):
        plot_image(axes[row, 0], image)
        plot_ranking(axes[row, 1], pairs, right[row : row + 1])
        axes[row, 1].tick_params(axis="y", labelsize=9)
        axes[row, 1].set_xlabel("cosine similarity" if row == len(images) - 1 else "")
    return figure


def token_attention_maps(image: torch.Tensor, words: Sequence[str], weights: torch.Tensor) -> Figure:
    """Plot for each word the attention weight of each position of an image, over the image in gray.

    Args:
        image: (3, S, S).
        words: N words.
        weights: (N, H, W), 0 or more; the same colors for all words.
    """
    maps = [overlay_heatmap(image, one, float(weights.max())) for one in weights.detach().cpu()]
    scales = ["image"] + ["unit"] * len(maps)
    return image_row([image, *maps], ["image", *words], columns=6, scale=scales, largest=2.0)


def overlay_heatmap(image: torch.Tensor, weights: torch.Tensor, limit: float) -> np.ndarray:
    """Return a gray image tinted where the weights, (H, W), are large, up to `limit`: (3, S, S) in [0, 1]."""
    gray = to_numpy_image(image).mean(axis=2, keepdims=True)  # (S, S, 1)
    large = F.interpolate(weights[None, None], gray.shape[:2])[0, 0].numpy() / limit  # nearest: (S, S), in [0, 1]
    colors = colormaps[MAGNITUDE_MAP](large)[..., :3]
    return (0.3 * gray + 0.7 * colors).transpose(2, 0, 1)  # (S, S, 3) -> (3, S, S)
