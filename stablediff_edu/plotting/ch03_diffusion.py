"""The figures of chapters 3 and 4: noise, schedules, positions as vectors, curves, rows and sheets of images."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from stablediff_edu.diffusion.schedule import NoiseSchedule
from stablediff_edu.plotting.core import (
    MAGNITUDE_MAP,
    PAGE_WIDTH,
    SIGNED_MAP,
    format_image_axes,
    plot_image,
    subplots,
    to_numpy_image,
)

Pictures = Sequence[torch.Tensor] | torch.Tensor
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 3)))
MARKERS = "osD^vP"


def forward_process_strip(
    x0: torch.Tensor, schedule: NoiseSchedule, ts: Sequence[int], eps: torch.Tensor, columns: int = 8
) -> Figure:
    """Draw one image x0, (3, H, W), with the noise eps at the steps `ts`; below each, the shares of the two."""
    x0, eps = x0.reshape(1, *x0.shape[-3:]), eps.reshape(1, *eps.shape[-3:])
    columns = min(columns, len(ts))
    count = -(-len(ts) // columns)
    side = min(PAGE_WIDTH / columns, 2.4)
    figure, axes = subplots(columns, count, width=side * columns, height=count * (side + 0.75), squeeze=False)
    for axis in axes.flat[len(ts) :]:
        axis.set_visible(False)
    for axis, t in zip(axes.flat, ts, strict=False):
        signal, noise = (share.item() for share in schedule.coefficients(t, x0))
        plot_image(axis, schedule.add_noise(x0, eps, t)[0], title=f"t = {t}")
        axis.set_xlabel(f"{signal:.3f} · image\n+ {noise:.3f} · noise", fontsize=10)
    return figure


def schedule_curves(schedules: Mapping[str, NoiseSchedule]) -> Figure:
    """Draw how much of the image and how much noise xt holds at every step, one curve for each named schedule."""
    figure, axes = subplots(2, height=3.5, sharey=True)
    titles = ("factor of the image: √ᾱ", "factor of the noise: √(1 − ᾱ)")
    for axis, title, noise in zip(axes, titles, (False, True), strict=True):
        for index, (name, schedule) in enumerate(schedules.items()):
            share = (1 - schedule.alpha_bar if noise else schedule.alpha_bar).sqrt()
            axis.plot(share.cpu(), label=name, markevery=len(schedule) // 8 or 1, **_line(index))
        axis.set_title(title)
        axis.set_xlabel("timestep t")
    axes[0].set_ylabel("factor in xt")
    axes[0].legend()
    return figure


def position_encoding_heatmap(encoding: torch.Tensor, marked: Sequence[int] = (10, 11, 500)) -> Figure:
    """Draw vectors of positions, (N, features), as a heat map, and beside it the vectors of a few marked positions."""
    values = encoding.detach().cpu().numpy()
    count, features = values.shape
    marked = [position for position in marked if position < count]
    figure = subplots(height=4.6)[0]
    figure.clear()
    grid = figure.add_gridspec(max(len(marked), 1), 2, width_ratios=[1.25, 1])
    heat = figure.add_subplot(grid[:, 0])
    heat.grid(False)
    image = heat.imshow(values, cmap=SIGNED_MAP, vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
    heat.axvline(features / 2 - 0.5, color="black", linewidth=0.8)
    title = f"{features // 2} sines, then {features // 2} cosines"
    heat.set(xlabel="value of the embedding", ylabel="timestep", title=title)
    figure.colorbar(image, ax=heat, ticks=[-1, 0, 1], label="value", format=FuncFormatter(_plain))
    # two marks a few rows apart would lie on each other: one label for both
    for group in _neighbours(marked, count / 25):
        for position in group:
            heat.axhline(position, color="black", linewidth=0.8)
        text = " and ".join(map(str, group))
        box = dict(facecolor="white", edgecolor="black", linewidth=0.6, pad=2)
        heat.text(features * 0.97, sum(group) / len(group), text, ha="right", va="center", fontsize=10, bbox=box)
    for row, position in enumerate(marked):
        axis = figure.add_subplot(grid[row, 1])
        axis.bar(range(features), values[position], width=1.0, color="#0072B2")
        axis.set_ylim(-1.1, 1.1)
        axis.set_title(f"timestep {position}", loc="left")
        axis.yaxis.set_major_formatter(FuncFormatter(_plain))
        if row < len(marked) - 1:
            axis.tick_params(labelbottom=False)
        else:
            axis.set_xlabel("value of the embedding")
    return figure


def distance_matrix(encoding: torch.Tensor) -> Figure:
    """Draw how far the vectors of all positions, (N, features), lie from each other."""
    figure, axis = subplots(width=5.6, height=4.6)
    axis.grid(False)
    matrix = torch.cdist(encoding.detach().cpu(), encoding.detach().cpu())
    image = axis.imshow(matrix.numpy(), cmap=MAGNITUDE_MAP, vmin=0, interpolation="nearest")
    axis.set(xlabel="timestep", ylabel="timestep", title="distance between two embeddings")
    figure.colorbar(image, ax=axis, label="distance (dark: similar)")
    return figure


def plot_curves(
    x: Sequence[float],
    curves: Mapping[str, Sequence[float | None]],
    xlabel: str,
    ylabel: str,
    logx: bool = False,
    logy: bool = False,
    ticks: Sequence[str] = (),
    title: str = "",
) -> Figure:
    """Draw measured curves over the same x, told apart by color, dash and marker.

    Args:
        x: (N,) where it was measured.
        curves: name -> N values; None or nan where there is none.
        xlabel, ylabel: what is measured, with units.
        logx, logy: logarithmic axes.
        ticks: N texts for the values of x; on a logarithmic axis the values themselves by default.
        title: of the figure.
    """
    figure, axis = subplots(width=7.4, height=3.8)
    x = np.asarray(x, dtype=float)
    for index, (name, values) in enumerate(curves.items()):
        axis.plot(x, np.asarray(values, dtype=float), label=name, **_line(index))
    if logx:
        axis.set_xscale("log")
    if logy:
        axis.set_yscale("log")
        axis.yaxis.set_major_formatter(FuncFormatter(_plain))
        if np.log10(np.divide(*reversed(axis.get_ylim()))) < 1.5:  # powers of ten alone would be too few
            axis.yaxis.set_minor_formatter(FuncFormatter(_plain))
            axis.tick_params(axis="y", which="minor", labelsize=10)
    if ticks or (logx and len(x) <= 12):
        axis.set_xticks(x, ticks or [_plain(value) for value in x])
        axis.xaxis.set_minor_locator(NullLocator())
    axis.set(xlabel=xlabel, ylabel=ylabel, title=title)
    if len(curves) > 1:
        axis.legend()
    return figure


def image_grid(rows: Mapping[str, Pictures], titles: Sequence[str] = (), largest: float = 1.8) -> Figure:
    """Draw rows of images, each with its name at the left; a shorter row leaves its end empty.

    Args:
        rows: name -> images, each (3, H, W), in [-1, 1].
        titles: of the columns.
        largest: the largest side of an image in inches of 100 pixels.
    """
    columns = max(len(images) for images in rows.values())
    letters = max(len(line) for name in rows for line in name.split("\n"))
    label = 0.2 + 0.095 * letters  # inches that a name needs
    side = min((PAGE_WIDTH - label) / columns, largest)
    head = 0.2 * max((title.count("\n") + 1 for title in titles), default=0) + 0.1
    figure, axes = subplots(
        columns, len(rows), width=label + side * columns, height=head + side * len(rows), squeeze=False
    )
    for line, (name, images) in zip(axes, rows.items(), strict=True):
        for axis in line[len(images) :]:
            axis.set_visible(False)
        for axis, image in zip(line, images, strict=False):
            plot_image(axis, image)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center")
    letters = max((len(line) for title in titles for line in title.split("\n")), default=1)
    for axis, title in zip(axes[0], titles, strict=False):
        axis.set_title(title, fontsize=max(8, min(11, 115 * side / letters)))  # long titles must not touch
    return figure


def nearest_neighbor_pairs(samples: Pictures, neighbors: Pictures, titles: Sequence[str] = ()) -> Figure:
    """Draw samples in the upper row, and below each the training image, or images, most like it.

    Args:
        samples: N new images, (3, H, W) each.
        neighbors: N training images, or (N, K, 3, H, W): K for each sample, the nearest first.
        titles: N short texts for the columns, such as the distance.
    """
    rows = {"sample": list(samples)}
    if torch.as_tensor(neighbors[0]).dim() == 4:
        for rank in range(len(neighbors[0])):
            name = "nearest\ntraining image" if rank == 0 else f"number {rank + 1}"
            rows[name] = [found[rank] for found in neighbors]
    else:
        rows["nearest\ntraining image"] = list(neighbors)
    return image_grid(rows, titles)


def contact_sheet_figure(images: Pictures, columns: int = 8, title: str = "", width: float = 0) -> Figure:
    """Draw many small images, (3, S, S) each, close together; as wide as the page unless `width` is given."""
    return contact_sheets({title: images}, columns, width or min(PAGE_WIDTH, 1.1 * min(columns, len(images))))


def contact_sheets(groups: Mapping[str, Pictures], columns: int = 4, width: float = PAGE_WIDTH) -> Figure:
    """Draw contact sheets beside each other: title -> images, each with `columns` images a row."""
    laid = {title: contact_sheet(images, columns) for title, images in groups.items()}
    tall = max(image.shape[0] / image.shape[1] for image in laid.values())
    lines_of_title = max(title.count("\n") + 1 if title else 0 for title in laid)
    figure, axes = subplots(len(laid), width=width, height=width / len(laid) * tall + 0.25 * lines_of_title)
    for axis, (title, image) in zip(np.atleast_1d(axes), laid.items(), strict=True):
        format_image_axes(axis, title)
        axis.set_anchor("N")
        for spine in axis.spines.values():
            spine.set_visible(False)
        axis.imshow(image, interpolation="nearest", vmin=0, vmax=1)
    return figure


def contact_sheet(images: Pictures, columns: int = 8) -> np.ndarray:
    """Lay images, (3, S, S) each, out in rows with a thin white line between: (height, width, 3) in [0, 1]."""
    height, width = images[0].shape[-2:]
    columns = min(columns, len(images))
    gap = max(1, width // 32)
    rows = -(-len(images) // columns)
    laid = np.ones((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), dtype=np.float32)
    for number, picture in enumerate(images):
        top, left = number // columns * (height + gap), number % columns * (width + gap)
        image = to_numpy_image(picture)  # (H, W, 3), or (H, W) where it is gray
        laid[top : top + height, left : left + width] = image if image.ndim == 3 else image[..., None]
    return laid


def _line(index: int) -> dict:
    """Return how curve number `index` is drawn: its dash and its marker (the color comes from the style)."""
    return dict(linestyle=DASHES[index % len(DASHES)], marker=MARKERS[index % len(MARKERS)])


def _plain(value: float, _place: object = None) -> str:
    """Return a number as one writes it: no 10⁰, no hyphen for a minus."""
    return (f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}").replace("-", "−")


def _neighbours(positions: Sequence[int], nearer: float) -> list[list[int]]:
    """Group sorted positions that lie nearer to each other than `nearer`."""
    groups: list[list[int]] = []
    for position in sorted(positions):
        if groups and position - groups[-1][-1] < nearer:
            groups[-1].append(position)
        else:
            groups.append([position])
    return groups


def cost_extrapolation(sizes: Sequence[int], seconds: Sequence[float], pixels: Mapping[str, int]) -> Figure:
    """Draw seconds measured for images of some sizes, and extrapolated, along the number of pixels, to larger ones.

    Args:
        sizes: (N,) sides of the images that were measured.
        seconds: (N,) for one image.
        pixels: name -> number of pixels of images that were not measured.
    """
    figure, axis = subplots(width=7.4, height=4.0)
    per_pixel = seconds[-1] / sizes[-1] ** 2
    counts = [size**2 for size in sizes]
    axis.plot(counts, seconds, label="measured", **_line(0))
    reach = [counts[-1], *pixels.values()]
    axis.plot(reach, [count * per_pixel for count in reach], "x--", markersize=9, label="extrapolated")
    axis.set(xscale="log", yscale="log", xlabel="pixels of the image", ylabel="seconds for one image")
    axis.yaxis.set_major_formatter(FuncFormatter(_plain))
    names = {f"{size}×{size}": count for size, count in zip(sizes, counts, strict=True)} | dict(pixels)
    axis.set_xticks(list(names.values()), [name.replace(" ", "\n") for name in names], fontsize=9)
    axis.xaxis.set_minor_locator(NullLocator())
    axis.legend()
    return figure
