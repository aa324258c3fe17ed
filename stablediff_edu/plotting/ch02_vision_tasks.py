"""The five levels of computer vision, drawn on one scene whose truth is known."""

from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stablediff_edu.data.fish.synthetic import FishSample
from stablediff_edu.plotting.core import MASK_COLORS, overlay_mask, plot_image, subplots

_HALO = [patheffects.withStroke(linewidth=3, foreground="#222222")]


def plot_vision_tasks(scene: FishSample) -> Figure:
    """Return a figure: the scene, then what is asked for at each level, from one word to a mask for each fish.

    Levels 1 and 2 know one object only, so they answer for the largest fish. From level 4 on every kind has its color
    and hatch; at level 5 every single fish has its own.
    """
    figure, axes = subplots(3, 2, height=7.8)
    figure.get_layout_engine().set(h_pad=0.12)  # inches: a title stands clear of the image above it
    axes = axes.flat
    titles = [
        "image",
        "1 classification",
        "2 … with localization",
        "3 object detection",
        "4 semantic segmentation",
        "5 instance segmentation",
    ]
    for axis, title in zip(axes, titles, strict=True):
        plot_image(axis, scene.image, title=title)
    largest = int(scene.masks.flatten(1).sum(1).argmax())  # (fish, S, S) -> pixels of each fish
    size = scene.image.shape[-1]
    for axis in axes[1:3]:
        text = dict(color="white", fontsize=15, fontweight="bold", ha="center", va="bottom", path_effects=_HALO)
        axis.text(size / 2, size * 0.95, scene.species[largest], **text)
    _draw_box(axes[2], scene, largest)
    for fish in range(len(scene.species)):
        _draw_box(axes[3], scene, fish)
    for kind, name in enumerate(dict.fromkeys(scene.species)):
        of_kind = [mask for mask, species in zip(scene.masks, scene.species, strict=True) if species == name]
        overlay_mask(axes[4], sum(of_kind), kind=kind, label=name)
    for fish, name in enumerate(scene.species):
        overlay_mask(axes[5], scene.masks[fish], kind=fish, label=f"{name} {fish + 1}")
    for axis in axes[3:6]:
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=2, fontsize=9, handlelength=1.6)
    return figure


def _draw_box(axis: Axes, scene: FishSample, fish: int) -> None:
    left, top, right, bottom = scene.boxes[fish]
    xs, ys = [left, right, right, left, left], [top, top, bottom, bottom, top]
    axis.plot(xs, ys, color=MASK_COLORS[fish % 4], linewidth=2, path_effects=_HALO, label=scene.species[fish])
    size = scene.image.shape[-1]
    axis.set_xlim(-0.5, size - 0.5)
    axis.set_ylim(size - 0.5, -0.5)
