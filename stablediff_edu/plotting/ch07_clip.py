"""Figures of chapter 7's second half: images against sentences, and where in an image a word matters."""

import textwrap
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure
from PIL import Image

from stablediff_edu.plotting.core import (
    MAGNITUDE_MAP,
    PAGE_WIDTH,
    SIGNED_MAP,
    annotate_values,
    plot_image,
    subplots,
    to_numpy_image,
)

BAR_COLOR, CORRECT_COLOR = "#9CC3DC", "#E69F00"


def similarity_heatmap(
    similarities: torch.Tensor, images: Sequence[torch.Tensor], sentences: Sequence[str], chosen: int | None = None
) -> Figure:
    """Draw cosines as a map: images above, a column each, and sentences at the left, a row each.

    Args:
        similarities: (N, M), image by sentence.
        images: N images.
        sentences: M sentences.
        chosen: the number of a sentence to write in bold, if any.
    """
    side = (PAGE_WIDTH - 3.6) / len(images)
    figure, axis = subplots(height=side + 0.47 * len(sentences) + 0.2)
    table = similarities.detach().cpu().T  # (M, N): a sentence a row
    rows, columns = table.shape
    axis.imshow(table, cmap=SIGNED_MAP, vmin=-1, vmax=1, aspect="auto")
    annotate_values(axis, np.round(table.numpy(), 2), size=8.5)
    axis.grid(False)
    axis.set_xticks([])
    labels = axis.set_yticks(range(rows), [textwrap.fill(sentence, 46) for sentence in sentences], fontsize=8.5)
    for number, label in enumerate(labels):
        label.label1.set_fontweight("bold" if number == chosen else "normal")
    for column, image in enumerate(images):
        inset = axis.inset_axes([(column + 0.03) / columns, 1.01, 0.94 / columns, 2.2 / rows])
        inset.set_anchor("S")
        plot_image(inset, image)
    return figure


def similarity_maps(maps: Mapping[str, torch.Tensor], side: float = 3.9) -> Figure:
    """Draw whole similarity matrices, (N, N) cosines, beside each other as colors alone: white is 0."""
    figure, axes = subplots(len(maps), width=side * len(maps) + 0.5, height=side + 0.3, squeeze=False)
    for axis, (title, table) in zip(axes[0], maps.items(), strict=True):
        image = axis.imshow(table.detach().cpu(), cmap=SIGNED_MAP, vmin=-1, vmax=1)
        axis.set(title=title, xlabel="caption", ylabel="image")
        axis.grid(False)
    bar = figure.colorbar(image, ax=list(axes[0]), shrink=0.8, ticks=[-1, 0, 1], label="cosine")
    bar.ax.set_yticklabels(["−1", "0", "1"])
    return figure


def live_similarities(side: int = 336) -> Callable[[int, torch.Tensor], Image.Image]:
    """Return a `draw` for `TrainingDisplay`: a snapshot of cosines, (N, N), as a square of about `side` pixels."""

    def draw(step: int, table: torch.Tensor) -> Image.Image:
        colors = colormaps[SIGNED_MAP]((table.cpu().numpy() + 1) / 2)[..., :3]  # (N, N) -> (N, N, 3)
        square = max(1, side // len(table)) * len(table)
        return Image.fromarray((colors * 255).astype(np.uint8)).resize((square, square), Image.Resampling.NEAREST)

    return draw


def top_captions(
    images: Sequence[torch.Tensor], found: Sequence[Sequence[tuple[str, float]]], right: Sequence[str] = ()
) -> Figure:
    """Draw images below each other, each with the sentences that fit it best: a bar a sentence, its cosine.

    Args:
        images: N images.
        found: for each its (sentence, cosine) pairs, best first.
        right: the images' own sentences, marked ✓.
    """
    high = 0.33 * max(map(len, found)) + 0.3
    figure, axes = subplots(2, len(images), height=high * len(images), squeeze=False, width_ratios=[1, 4])
    for row, (image, pairs) in enumerate(zip(images, found, strict=True)):
        plot_image(axes[row, 0], image)
        axis = axes[row, 1]
        for place, (sentence, cosine) in enumerate(pairs):
            own = sentence in right[row : row + 1]
            axis.barh(place, max(cosine, 0), color=CORRECT_COLOR if own else BAR_COLOR)
            text = f"{cosine:.2f}  {'✓ ' if own else ''}{sentence}".replace("-", "−")
            axis.text(0.01, place, text, va="center", fontsize=9)
        axis.set(xlim=(0, 1), xlabel="cosine" if row == len(images) - 1 else "")
        axis.invert_yaxis()
        axis.set_yticks([])
        axis.grid(False)
    return figure


def token_attention_maps(image: torch.Tensor, words: Sequence[str], weights: torch.Tensor, columns: int = 6) -> Figure:
    """Draw for each word how strongly each position of an image looks at it, over the image in grey.

    Args:
        image: (3, S, S).
        words: N words.
        weights: (N, H, W), 0 or more; the same colors for all words.
    """
    tiles = len(words) + 1
    columns = min(columns, tiles)
    rows = -(-tiles // columns)
    side = min(PAGE_WIDTH / columns, 2.0)
    figure, axes = subplots(columns, rows, width=side * columns, height=rows * (side + 0.28), squeeze=False)
    for axis in axes.flat[tiles:]:
        axis.set_visible(False)
    plot_image(axes.flat[0], image, title="image")
    for axis, word, places in zip(axes.flat[1:], words, weights.detach().cpu(), strict=False):
        plot_image(axis, overlay_heatmap(image, places, float(weights.max())), title=word, scale="unit")
    return figure


def overlay_heatmap(image: torch.Tensor, places: torch.Tensor, limit: float) -> np.ndarray:
    """Return a gray image tinted where the weights, (H, W), are large, up to `limit`: (3, S, S) in [0, 1]."""
    gray = to_numpy_image(image).mean(axis=2, keepdims=True)  # (S, S, 1)
    high, wide = gray.shape[0] // places.shape[0], gray.shape[1] // places.shape[1]
    large = places.repeat_interleave(high, 0).repeat_interleave(wide, 1).numpy() / limit  # (S, S), in [0, 1]
    colors = colormaps[MAGNITUDE_MAP](large)[..., :3]
    return (0.3 * gray + 0.7 * colors).transpose(2, 0, 1)  # (S, S, 3) -> (3, S, S)
