"""Figures of chapter 5: encoded digits in the plane, decoded images all over it, and latents with channels."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stablediff_edu.plotting.core import subplots
from stablediff_edu.plotting.grids import Tile, plot_tiles

# one for each digit, as on the map that can be dragged; the digit itself is the mark
DIGIT_COLORS = (
    "#2f62b5", "#c2561a", "#5b7f1c", "#a3264a", "#7a52b3", "#96700a", "#12837c", "#555b66", "#b8327f", "#0f7099",
)  # fmt: skip
MAX_POINTS = 700  # digits plotted; more would cover each other
AXES = dict(xlabel="latent dimension 1", ylabel="latent dimension 2")


def latent_scatter(maps: Mapping[str, torch.Tensor], labels: torch.Tensor) -> Figure:
    """Plot digits at their latent vectors, each as its own mark; one map beside the other.

    Args:
        maps: title -> (N, 2) the latent vectors of the same N digits.
        labels: (N,) which digit each one is.
    """
    figure, axes = subplots(len(maps), height=4.9, squeeze=False)
    for axis, (title, z) in zip(axes[0], maps.items(), strict=True):
        plot_latents(axis, z[:MAX_POINTS], labels[:MAX_POINTS])
        axis.set_title(title)
    return figure


def plot_latents(axis: Axes, z: torch.Tensor, labels: torch.Tensor) -> None:
    """Plot digits, (N, 2) and (N,), on an axis."""
    for digit in labels.unique().tolist():
        x, y = z[labels == digit].T
        axis.plot(x, y, linestyle="", marker=f"${digit}$", color=DIGIT_COLORS[digit], markersize=6, markeredgewidth=0)
    axis.set(**AXES)


def latent_space_overview(
    z: torch.Tensor, labels: torch.Tensor, decode: Callable[[torch.Tensor], torch.Tensor], count: int = 20
) -> Figure:
    """Plot encoded digits, and beside them, in the same frame, the decoded images of `count` × `count` latent vectors.

    Args:
        z: (N, 2) the latent vectors of digits.
        labels: (N,) which digit each one is.
        decode: (B, 2) -> (B, 1, S, S) in [-1, 1].
        count: decoded images in a row and in a column.
    """
    figure, (encoded, decoded) = subplots(2, height=4.9)
    plot_latents(encoded, z[:MAX_POINTS], labels[:MAX_POINTS])
    (left, right), (low, high) = torch.quantile(z, torch.tensor([0.01, 0.99], dtype=z.dtype), dim=0).T.tolist()
    across, up = np.linspace(left, right, count), np.linspace(high, low, count)  # the highest row first
    images = decode(torch.tensor([[x, y] for y in up for x in across], dtype=torch.float32)).detach().cpu()
    size = images.shape[-1]
    sheet = images.view(count, count, size, size).permute(0, 2, 1, 3).reshape(count * size, count * size)
    dx, dy = (right - left) / (count - 1) / 2, (high - low) / (count - 1) / 2  # half an image beyond the points
    extent = (left - dx, right + dx, low - dy, high + dy)
    decoded.imshow(sheet, cmap="gray", vmin=-1, vmax=1, extent=extent, aspect="auto", interpolation="antialiased")
    decoded.grid(False)
    decoded.set(title="decoded: the image at each position", **AXES)
    encoded.set(title="encoded: the position of every digit", xlim=extent[:2], ylim=extent[2:])
    return figure


def latent_channels(
    images: torch.Tensor, z: torch.Tensor, decoded: torch.Tensor | None = None, titles: Sequence[str] = ()
) -> Figure:
    """Plot images, (N, 1, S, S), in the upper row, and below each the channels of its latent, (N, C, s, s).

    Args:
        images: what was encoded, or what the latents decode to.
        z: the latents: below zero purple, above orange, the fullest colors at -3 and 3.
        decoded: (N, 1, S, S) what came back, for a last row.
        titles: of the columns.
    """
    titles = titles or [""] * len(images)
    rows = {"digit": [Tile(image, title) for image, title in zip(images, titles, strict=True)]}
    for channel in range(z.shape[1]):
        rows[f"channel {channel + 1}"] = [Tile(one[channel], scale="signed", limit=3, bar=False) for one in z]
    if decoded is not None:
        rows["decoded"] = [Tile(image) for image in decoded]
    return plot_tiles(list(rows.values()), list(rows), largest=1.3)
