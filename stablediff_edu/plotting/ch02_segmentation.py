"""The figures of chapter 2: receptive fields, channels and what they show, scores, and the last layer as a sum."""

from collections.abc import Mapping, Sequence

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from stablediff_edu.data.segmentation_folder import SegmentationDataset
from stablediff_edu.notebook.progress import colorize_logits
from stablediff_edu.plotting.core import (
    format_image_axes,
    overlay_mask,
    plot_image,
    plot_magnitude,
    plot_signed,
    subplots,
)


def image_mask_pairs(data: SegmentationDataset, count: int = 6) -> Figure:
    """Draw images in one row and their masks below."""
    figure, axes = subplots(count, 2, height=3.7)
    for column in range(count):
        plot_image(axes[0, column], data.images[column], title=data.names[column])
        plot_image(axes[1, column], data.masks[column], scale="unit")
    for axis in axes[0]:
        axis.title.set_fontsize(9)
    return figure


def compare_outputs(
    columns: Mapping[str, torch.Tensor], images: torch.Tensor, masks: torch.Tensor | None = None
) -> Figure:
    """Draw images in the first row; below, a row for each of `columns`: raw outputs (N, 1, S, S) in pseudo-color.

    With `masks`, the true outline lies over every output.
    """
    count = len(images)
    figure, axes = subplots(count, 1 + len(columns), height=1.62 * (1 + len(columns)))
    for number in range(count):
        plot_image(axes[0, number], images[number])
        for row, raw in enumerate(columns.values(), 1):
            format_image_axes(axes[row, number], "")
            axes[row, number].imshow(colorize_logits(raw[number]))
            if masks is not None:
                overlay_mask(axes[row, number], masks[number], hatched=False)
    for row, name in enumerate(["image", *columns]):
        axes[row, 0].set_ylabel(name, fontsize=10)
    return figure


def logits_and_mask(raw: torch.Tensor, mask: torch.Tensor, picture: torch.Tensor) -> Figure:
    """Draw an image, the raw output with its scale, the output clamped to 0 … 1, and the true mask."""
    figure, axes = subplots(4, height=3.0)
    plot_image(axes[0], picture, title="image")
    format_image_axes(axes[1], "raw output")
    image = axes[1].imshow(raw[0], cmap="cividis", vmin=min(-0.3, float(raw.min())), vmax=max(1.3, float(raw.max())))
    bar = figure.colorbar(image, cax=axes[1].inset_axes([0.08, -0.1, 0.84, 0.05]), orientation="horizontal")
    bar.set_ticks([0, 1])
    plot_image(axes[2], raw.clamp(0, 1), title="clamped to 0 … 1", scale="unit")
    plot_image(axes[3], mask, title="true mask", scale="unit")
    return figure


def plot_receptive_fields(image: torch.Tensor, fields: Mapping[str, int]) -> Figure:
    """Draw, for each stage, how much of an image (3, S, S) one output pixel in its middle can see."""
    figure, axes = subplots(len(fields), height=2.6)
    size = image.shape[-1]
    for axis, (name, field) in zip(axes, fields.items(), strict=True):
        plot_image(axis, image * 0.35 - 0.5, title=f"{name}\n{field} × {field}")
        first = (size - field) / 2
        last = first + field
        seen = axis.imshow(((image + 1) / 2).permute(1, 2, 0))  # (3, S, S) -> (S, S, 3)
        window = Rectangle((first - 0.5, first - 0.5), field, field, fill=False, edgecolor="#E69F00", linewidth=2)
        axis.add_patch(window)
        seen.set_clip_path(Rectangle((first, first), last - first, last - first, transform=axis.transData))
        axis.set_xlim(-0.5, size - 0.5)
        axis.set_ylim(size - 0.5, -0.5)
    return figure


def plot_channel_correlations(
    image: torch.Tensor, regions: Mapping[str, torch.Tensor], maps: Mapping[str, tuple[int, float, torch.Tensor]]
) -> Figure:
    """Draw regions in one row and below the channel that follows each best: name -> (channel, correlation, map)."""
    figure, axes = subplots(1 + len(regions), 2, height=4.4)
    plot_image(axes[0, 0], image, title="image")
    axes[1, 0].set_visible(False)
    for column, (name, region) in enumerate(regions.items(), 1):
        plot_image(axes[0, column], region, title=name, scale="unit")
        channel, correlation, values = maps[name]
        title = f"channel {channel}\ncorrelation {correlation:+.2f}".replace("-", "−")
        plot_magnitude(axes[1, column], values - values.min(), title=title, bar=False)
    return figure


def data_scaling_curve(scores: Mapping[int, float], live: tuple[int, float] | None = None) -> Figure:
    """Draw the score (IoU on held-out images) against the number of training images, on a logarithmic axis."""
    figure, axis = subplots(width=6.4, height=3.4)
    axis.plot(list(scores), list(scores.values()), "o-", color="#0072B2", label="measured before")
    for count, score in scores.items():
        axis.annotate(f"{score:.2f}", (count, score), xytext=(0, -18), textcoords="offset points", ha="center")
    if live:
        axis.plot(*live, "*", color="#D55E00", markersize=15, label=f"this notebook's run: {live[1]:.2f}")
    axis.set_xscale("log")
    axis.set_xticks(list(scores), [str(count) for count in scores])
    axis.minorticks_off()
    axis.set_ylim(0, 1)
    axis.set_xlabel("training images")
    axis.set_ylabel("IoU on held-out images")
    axis.legend(loc="lower right")
    return figure


def last_layer_sum(maps: torch.Tensor, weights: torch.Tensor, total: torch.Tensor, most: int = 5) -> Figure:
    """Draw the last layer as a sum: the maps (C, S, S) with the largest weights (C,), then what all add up to."""
    chosen = weights.abs().argsort(descending=True)[:most]
    figure, axes = subplots(most + 1, height=2.6)
    for axis, channel in zip(axes, chosen.tolist(), strict=False):
        weight = f"{weights[channel]:+.2f}".replace("-", "−")
        plot_signed(axis, weights[channel] * maps[channel], title=f"{weight} ×\nchannel {channel}", bar=False)
    plot_magnitude(axes[-1], total.clamp(0, 1), title=f"sum of\nall {len(weights)}", bar=False, limit=1.0)
    return figure


def grouped_bars(groups: Mapping[str, Mapping[str, float]], label: str) -> Figure:
    """Draw a few named numbers as bars, group by group, each with its value."""
    figure, axis = subplots(width=6.4, height=3.0)
    names = list(next(iter(groups.values())))
    width = 0.8 / len(names)
    hatches: Sequence[str] = ("", "///", "...")
    for index, name in enumerate(names):
        places = [position + (index - (len(names) - 1) / 2) * width for position in range(len(groups))]
        heights = [values[name] for values in groups.values()]
        drawn = axis.bar(places, heights, width * 0.92, label=name, hatch=hatches[index % 3], edgecolor="white")
        axis.bar_label(drawn, [f"{height:.2f}" for height in heights], padding=2)
    axis.set_xticks(range(len(groups)), list(groups))
    axis.set_ylabel(label)
    axis.set_ylim(0, 1.1)
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=len(names))
    return figure
