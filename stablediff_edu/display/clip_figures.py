"""Figures of chapter 7's second half: pictures against sentences, and where in a picture a word matters."""

import textwrap
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure
from PIL import Image

from stablediff_edu.display.figures import (
    MAGNITUDE_MAP,
    PAGE_WIDTH,
    SIGNED_MAP,
    draw_numbers,
    draw_picture,
    new_figure,
    to_image,
)

BAR_COLOUR, RIGHT_COLOUR = "#9CC3DC", "#E69F00"


def similarity_figure(
    similarities: torch.Tensor, pictures: Sequence[torch.Tensor], sentences: Sequence[str], chosen: int | None = None
) -> Figure:
    """Draw cosines as a map: pictures above, a column each, and sentences at the left, a row each.

    Args:
        similarities: (N, M), picture by sentence.
        pictures: N pictures.
        sentences: M sentences.
        chosen: the number of a sentence to write in bold, if any.
    """
    side = (PAGE_WIDTH - 3.6) / len(pictures)
    figure, axis = new_figure(height=side + 0.47 * len(sentences) + 0.2)
    table = similarities.detach().cpu().T  # (M, N): a sentence a row
    rows, columns = table.shape
    axis.imshow(table, cmap=SIGNED_MAP, vmin=-1, vmax=1, aspect="auto")
    draw_numbers(axis, np.round(table.numpy(), 2), size=8.5)
    axis.grid(False)
    axis.set_xticks([])
    labels = axis.set_yticks(range(rows), [textwrap.fill(sentence, 46) for sentence in sentences], fontsize=8.5)
    for number, label in enumerate(labels):
        label.label1.set_fontweight("bold" if number == chosen else "normal")
    for column, picture in enumerate(pictures):
        inset = axis.inset_axes([(column + 0.03) / columns, 1.01, 0.94 / columns, 2.2 / rows])
        inset.set_anchor("S")
        draw_picture(inset, picture)
    return figure


def similarity_maps(maps: Mapping[str, torch.Tensor], side: float = 3.9) -> Figure:
    """Draw whole similarity matrices, (N, N) cosines, beside each other as colours alone: white is 0."""
    figure, axes = new_figure(len(maps), width=side * len(maps) + 0.5, height=side + 0.3, squeeze=False)
    for axis, (title, table) in zip(axes[0], maps.items(), strict=True):
        image = axis.imshow(table.detach().cpu(), cmap=SIGNED_MAP, vmin=-1, vmax=1)
        axis.set(title=title, xlabel="caption", ylabel="image")
        axis.grid(False)
    bar = figure.colorbar(image, ax=list(axes[0]), shrink=0.8, ticks=[-1, 0, 1], label="cosine")
    bar.ax.set_yticklabels(["−1", "0", "1"])
    return figure


def live_similarities(side: int = 336) -> Callable[[int, torch.Tensor], Image.Image]:
    """Return a `draw` for `LiveTraining`: a snapshot of cosines, (N, N), as a square of about `side` pixels."""

    def draw(step: int, table: torch.Tensor) -> Image.Image:
        colours = colormaps[SIGNED_MAP]((table.cpu().numpy() + 1) / 2)[..., :3]  # (N, N) -> (N, N, 3)
        square = max(1, side // len(table)) * len(table)
        return Image.fromarray((colours * 255).astype(np.uint8)).resize((square, square), Image.Resampling.NEAREST)

    return draw


def best_sentences(
    pictures: Sequence[torch.Tensor], found: Sequence[Sequence[tuple[str, float]]], right: Sequence[str] = ()
) -> Figure:
    """Draw pictures below each other, each with the sentences that fit it best: a bar a sentence, its cosine.

    Args:
        pictures: N pictures.
        found: for each its (sentence, cosine) pairs, best first.
        right: the pictures' own sentences, marked ✓.
    """
    high = 0.33 * max(map(len, found)) + 0.3
    figure, axes = new_figure(2, len(pictures), height=high * len(pictures), squeeze=False, width_ratios=[1, 4])
    for row, (picture, pairs) in enumerate(zip(pictures, found, strict=True)):
        draw_picture(axes[row, 0], picture)
        axis = axes[row, 1]
        for place, (sentence, cosine) in enumerate(pairs):
            own = sentence in right[row : row + 1]
            axis.barh(place, max(cosine, 0), color=RIGHT_COLOUR if own else BAR_COLOUR)
            text = f"{cosine:.2f}  {'✓ ' if own else ''}{sentence}".replace("-", "−")
            axis.text(0.01, place, text, va="center", fontsize=9)
        axis.set(xlim=(0, 1), xlabel="cosine" if row == len(pictures) - 1 else "")
        axis.invert_yaxis()
        axis.set_yticks([])
        axis.grid(False)
    return figure


def word_maps(picture: torch.Tensor, words: Sequence[str], weights: torch.Tensor, columns: int = 6) -> Figure:
    """Draw for each word how strongly each place of a picture looks at it, over the picture in grey.

    Args:
        picture: (3, S, S).
        words: N words.
        weights: (N, H, W), 0 or more; the same colours for all words.
    """
    tiles = len(words) + 1
    columns = min(columns, tiles)
    rows = -(-tiles // columns)
    side = min(PAGE_WIDTH / columns, 2.0)
    figure, axes = new_figure(columns, rows, width=side * columns, height=rows * (side + 0.28), squeeze=False)
    for axis in axes.flat[tiles:]:
        axis.set_visible(False)
    draw_picture(axes.flat[0], picture, title="image")
    for axis, word, places in zip(axes.flat[1:], words, weights.detach().cpu(), strict=False):
        draw_picture(axis, over_grey(picture, places, float(weights.max())), title=word, scale="unit")
    return figure


def over_grey(picture: torch.Tensor, places: torch.Tensor, limit: float) -> np.ndarray:
    """Return a grey picture tinted where the weights, (H, W), are large, up to `limit`: (3, S, S) in [0, 1]."""
    grey = to_image(picture).mean(axis=2, keepdims=True)  # (S, S, 1)
    high, wide = grey.shape[0] // places.shape[0], grey.shape[1] // places.shape[1]
    large = places.repeat_interleave(high, 0).repeat_interleave(wide, 1).numpy() / limit  # (S, S), in [0, 1]
    colours = colormaps[MAGNITUDE_MAP](large)[..., :3]
    return (0.3 * grey + 0.7 * colours).transpose(2, 0, 1)  # (S, S, 3) -> (3, S, S)
