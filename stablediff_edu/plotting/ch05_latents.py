"""Figures of chapter 5: maps of encoded digits, what a decoder draws all over the map, and latents with channels."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stablediff_edu.plotting.core import PAGE_WIDTH, plot_image, plot_signed, subplots

# one for each digit, as on the map that can be dragged; the digit itself is the mark
DIGIT_COLORS = (
    "#2f62b5", "#c2561a", "#5b7f1c", "#a3264a", "#7a52b3", "#96700a", "#12837c", "#555b66", "#b8327f", "#0f7099",
)  # fmt: skip
MAX_POINTS = 700  # digits drawn; more would cover each other


def latent_scatter(maps: Mapping[str, torch.Tensor], labels: torch.Tensor, height: float = 4.9) -> Figure:
    """Draw digits where their two numbers put them, each as its own mark; one map beside the other.

    Args:
        maps: title -> (N, 2) the numbers of the same N digits.
        labels: (N,) which digit each one is.
        height: of the figure in inches of 100 pixels.
    """
    figure, axes = subplots(len(maps), height=height, squeeze=False)
    for axis, (title, z) in zip(axes[0], maps.items(), strict=True):
        plot_latents(axis, z[:MAX_POINTS], labels[:MAX_POINTS])
        axis.set_title(title)
    return figure


def plot_latents(axis: Axes, z: torch.Tensor, labels: torch.Tensor) -> None:
    """Draw digits, (N, 2) and (N,), on an axis."""
    for digit in labels.unique().tolist():
        x, y = z[labels == digit].T
        axis.plot(x, y, linestyle="", marker=f"${digit}$", color=DIGIT_COLORS[digit], markersize=6, markeredgewidth=0)
    axis.set(xlabel="latent dimension 1", ylabel="latent dimension 2")


def quantile_range(z: torch.Tensor) -> tuple[list[float], list[float]]:
    """Return between which values most of the numbers lie, (N, 2) -> ([low, high], [low, high])."""
    first, second = torch.quantile(z, torch.tensor([0.01, 0.99], dtype=z.dtype), dim=0).T.tolist()
    return first, second


@torch.no_grad()
def decoded_grid(
    decode: Callable[[torch.Tensor], torch.Tensor],
    limits: tuple[Sequence[float], Sequence[float]],
    title: str = "",
    count: int = 20,
    axis: Axes | None = None,
) -> Figure:
    """Draw what a decoder makes of `count` × `count` points, each image where its two numbers are on the map.

    Args:
        decode: (B, 2) -> (B, 1, S, S) in [-1, 1].
        limits: ([low, high], [low, high]) of the two numbers.
        axis: where to draw; a figure of its own by default.
    """
    if axis is None:
        _, axis = subplots(width=7.2, height=7.0)
    (left, right), (low, high) = limits
    across, up = np.linspace(left, right, count), np.linspace(low, high, count)
    z = torch.tensor([[x, y] for y in up[::-1] for x in across], dtype=torch.float32)  # the highest row first
    images = decode(z)[:, 0].cpu()  # (count², S, S)
    size = images.shape[-1]
    laid = images.view(count, count, size, size).permute(0, 2, 1, 3).reshape(count * size, count * size)
    dx, dy = (right - left) / (count - 1) / 2, (high - low) / (count - 1) / 2  # half an image beyond the points
    extent = (left - dx, right + dx, low - dy, high + dy)
    axis.imshow(laid, cmap="gray", vmin=-1, vmax=1, extent=extent, aspect="auto", interpolation="antialiased")
    axis.grid(False)
    axis.set(xlabel="latent dimension 1", ylabel="latent dimension 2", title=title)
    return axis.figure


def latent_space_overview(
    z: torch.Tensor, labels: torch.Tensor, decode: Callable[[torch.Tensor], torch.Tensor], count: int = 20
) -> Figure:
    """Draw the map of encoded digits, and beside it, in the same frame, what the decoder draws everywhere."""
    figure, axes = subplots(2, height=4.9)
    limits = quantile_range(z)
    plot_latents(axes[0], z[:MAX_POINTS], labels[:MAX_POINTS])
    axes[0].set_title("encoded: the position of every digit")
    decoded_grid(decode, limits, "decoded: the image at each position", count, axes[1])
    for name in ("xlim", "ylim"):
        axes[0].set(**{name: getattr(axes[1], f"get_{name}")()})
    return figure


def latent_channels(
    images: torch.Tensor,
    z: torch.Tensor,
    decoded: torch.Tensor | None = None,
    titles: Sequence[str] = (),
    limit: float = 3.0,
) -> Figure:
    """Draw images, (N, 1, S, S), in the upper row, and below each the channels of its latent, (N, C, s, s).

    Args:
        images: what was encoded, or what the latents decode to.
        z: the latents: below zero purple, above orange, the fullest colors at -`limit` and `limit`.
        decoded: (N, 1, S, S) what came back, for a last row.
        titles: of the columns.
    """
    rows = {"digit": ("image", images)}
    rows |= {f"channel {number + 1}": ("signed", z[:, number].cpu()) for number in range(z.shape[1])}
    if decoded is not None:
        rows["decoded"] = ("image", decoded)
    side = min((PAGE_WIDTH - 0.9) / len(z), 1.3)
    height = side * len(rows) + (0.25 if titles else 0)
    figure, axes = subplots(len(z), len(rows), width=0.9 + side * len(z), height=height, squeeze=False)
    for line, (name, (kind, values)) in zip(axes, rows.items(), strict=True):
        line[0].set_ylabel(name, rotation=0, ha="right", va="center")
        for axis, value in zip(line, values, strict=True):
            if kind == "signed":
                plot_signed(axis, value, limit=limit, bar=False)
            else:
                plot_image(axis, value)
    for axis, title in zip(axes[0], titles, strict=False):
        axis.set_title(title)
    return figure
