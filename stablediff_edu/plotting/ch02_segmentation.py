"""Figures of chapters 1 and 2: vision tasks, raw outputs and masks, receptive fields, what single channels show."""

from collections.abc import Mapping

import numpy as np
import torch
from matplotlib import colormaps, patheffects
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from stablediff_edu.data.fish.synthetic import FishSample
from stablediff_edu.plotting.core import MASK_COLORS, overlay_mask, plot_image, signed_text, subplots
from stablediff_edu.plotting.grids import Tile, plot_tiles

RAW_LOW, RAW_HIGH = -0.5, 1.5  # the range of raw outputs in pseudo-color
_HALO = [patheffects.withStroke(linewidth=3, foreground="#222222")]


def colorize_logits(raw: torch.Tensor) -> np.ndarray:
    """Return raw outputs (1, H, W) in pseudo-color, uint8 (H, W, 3): 0 is dark, 1 light, beyond is seen as well."""
    share = ((raw[0] - RAW_LOW) / (RAW_HIGH - RAW_LOW)).clamp(0, 1)
    return (colormaps["cividis"](share.numpy())[..., :3] * 255).astype(np.uint8)


def plot_vision_tasks(scene: FishSample) -> Figure:
    """Plot a scene, and what is asked for by each of five tasks, from one word to a mask for each fish.

    Tasks 1 and 2 know one object only, so they answer for the largest fish. From task 4 on every species has its color
    and hatch; in task 5 every single fish has its own.
    """
    figure, axes = subplots(3, 2, height=7.8)
    figure.set_layout_engine("constrained", h_pad=0.12)  # inches: a title stands clear of the image above it
    axes, size = axes.ravel(), scene.image.shape[-1]
    titles = (
        "classification",
        "… with localization",
        "object detection",
        "semantic segmentation",
        "instance segmentation",
    )
    for axis, title in zip(axes, ["image", *(f"{n} {task}" for n, task in enumerate(titles, 1))], strict=True):
        plot_image(axis, scene.image, title=title)
    largest = int(scene.masks.flatten(1).sum(1).argmax())  # (fish, S, S) -> pixels of each fish
    style = dict(color="white", fontsize=15, fontweight="bold", ha="center", va="bottom", path_effects=_HALO)
    for axis in axes[1:3]:
        axis.text(size / 2, size * 0.95, scene.species[largest], **style)
    for axis, boxes in ((axes[2], [largest]), (axes[3], range(len(scene.species)))):
        for fish in boxes:
            left, top, right, bottom = scene.boxes[fish]
            frame = dict(color=MASK_COLORS[fish % 4], linewidth=2, path_effects=_HALO, label=scene.species[fish])
            axis.plot([left, right, right, left, left], [top, top, bottom, bottom, top], **frame)
            axis.set(xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5))
    for kind, name in enumerate(dict.fromkeys(scene.species)):
        masks = scene.masks[[species == name for species in scene.species]]
        overlay_mask(axes[4], masks.sum(0), kind=kind, label=name)
    for fish, name in enumerate(scene.species):
        overlay_mask(axes[5], scene.masks[fish], kind=fish, label=f"{name} {fish + 1}")
    for axis in axes[3:6]:
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=2, fontsize=9, handlelength=1.6)
    return figure


def compare_outputs(
    columns: Mapping[str, torch.Tensor], images: torch.Tensor, masks: torch.Tensor | None = None
) -> Figure:
    """Plot images in the first row; below, a row for each of `columns`: raw outputs (N, 1, S, S) in pseudo-color.

    With `masks`, the true outline lies over every output.
    """
    outlines = [None] * len(images) if masks is None else masks
    rows = [[Tile(image) for image in images]]
    for raw in columns.values():
        colors = [colorize_logits(one).transpose(2, 0, 1) for one in raw]  # (S, S, 3) -> (3, S, S)
        rows.append([Tile(one, mask=mask, hatched=False) for one, mask in zip(colors, outlines, strict=True)])
    return plot_tiles(rows, ["image", *columns])


def logits_and_mask(raw: torch.Tensor, mask: torch.Tensor, image: torch.Tensor) -> Figure:
    """Plot an image, the raw output (1, S, S) with its scale, the output clamped to 0 … 1, and the true mask."""
    tiles = [
        Tile(image, "image"),
        Tile(raw, "raw output", "magnitude", limit=1),
        Tile(raw.clamp(0, 1), "clamped to 0 … 1", "unit"),
        Tile(mask, "true mask", "unit"),
    ]
    figure = plot_tiles([tiles])
    figure.axes[1].images[0].set_clim(min(-0.3, float(raw.min())), max(1.3, float(raw.max())))
    return figure


def plot_receptive_fields(image: torch.Tensor, fields: Mapping[str, int]) -> Figure:
    """Plot, for each stage, the part of an image (3, S, S) that one output pixel in its middle depends on."""
    size = image.shape[-1]
    figure = plot_tiles([[Tile(image * 0.35 - 0.5, f"{name}\n{field} × {field}") for name, field in fields.items()]])
    for axis, field in zip(figure.axes, fields.values(), strict=True):
        first = (size - field) / 2
        seen = plot_image(axis, image, title=axis.get_title())
        seen.set_clip_path(Rectangle((first - 0.5, first - 0.5), field, field, transform=axis.transData))
        frame = Rectangle((first - 0.5, first - 0.5), field, field, fill=False, edgecolor="#E69F00", linewidth=2)
        axis.add_patch(frame)
        axis.set(xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5))
    return figure


def plot_channel_correlations(
    image: torch.Tensor, regions: Mapping[str, torch.Tensor], maps: Mapping[str, tuple[int, float, torch.Tensor]]
) -> Figure:
    """Plot regions in one row and below the channel that follows each best: name -> (channel, correlation, map)."""
    above = [Tile(image, "image"), *(Tile(region, name, "unit") for name, region in regions.items())]
    below: list[Tile | None] = [None]
    for channel, correlation, values in (maps[name] for name in regions):
        title = f"channel {channel}\ncorrelation {signed_text(correlation, '{:+.2f}')}"
        below.append(Tile(values - values.min(), title, "magnitude", bar=False))
    return plot_tiles([above, below])


def last_layer_sum(maps: torch.Tensor, weights: torch.Tensor, total: torch.Tensor) -> Figure:
    """Plot the last layer as a sum: the five maps (C, S, S) with the largest weights (C,), then what all add up to."""
    tiles = []
    for channel in weights.abs().argsort(descending=True)[:5].tolist():
        title = f"{signed_text(float(weights[channel]), '{:+.2f}')} ×\nchannel {channel}"
        tiles.append(Tile(weights[channel] * maps[channel], title, "signed", bar=False))
    tiles.append(Tile(total.clamp(0, 1), f"sum of\nall {len(weights)}", "magnitude", limit=1.0, bar=False))
    return plot_tiles([tiles])
