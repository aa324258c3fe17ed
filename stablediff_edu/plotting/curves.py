"""Measured values as curves: one helper, :func:`plot_curves`, and what a few chapters add to it."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler
from matplotlib.ticker import FuncFormatter, NullLocator

from stablediff_edu.plotting.core import signed_text, subplots

# told apart by color, dash and marker
CURVES = matplotlib.rcParams["axes.prop_cycle"] + cycler(
    linestyle=["-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 3))], marker=list("osD^vP")
)


def plot_curves(
    x: Sequence[float],
    curves: Mapping[str, Sequence[float | None]],
    xlabel: str,
    ylabel: str,
    logx: bool = False,
    logy: bool = False,
    ticks: Sequence[str] = (),
) -> Figure:
    """Plot measured curves over the same x.

    Args:
        x: (N,) where it was measured.
        curves: name -> N values; None or nan where it was not measured.
        xlabel, ylabel: what is measured, with units.
        logx, logy: logarithmic axes.
        ticks: N texts for the values of x; on a logarithmic axis the values themselves by default.
    """
    figure, axis = subplots(width=7.4, height=3.8)
    axis.set_prop_cycle(CURVES)
    places = np.asarray(x, dtype=float)
    for name, values in curves.items():
        heights = np.asarray(values, dtype=float)
        measured = ~np.isnan(heights)
        axis.plot(places[measured], heights[measured], label=name)
    axis.set(xlabel=xlabel, ylabel=ylabel)
    if logx:
        axis.set_xscale("log")
    if ticks or (logx and len(x) <= 12):
        axis.set_xticks(x, ticks or [plain_number(value) for value in x], fontsize=9 if ticks else None)
        axis.xaxis.set_minor_locator(NullLocator())
    if logy:
        _log_y(axis)
    if len(curves) > 1:
        axis.legend()
    return figure


def _log_y(axis: Axes) -> None:
    axis.set_yscale("log")
    axis.yaxis.set_major_formatter(FuncFormatter(plain_number))
    low, high = axis.get_ylim()
    if high / low < 10**1.5:  # powers of ten alone would be too few
        axis.yaxis.set_minor_formatter(FuncFormatter(plain_number))
        axis.tick_params(axis="y", which="minor", labelsize=10)


def plain_number(value: float, _place: object = None) -> str:
    """Return a number as one writes it: no 10⁰, no hyphen for a minus."""
    return (f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}").replace("-", "−")


def cost_extrapolation(sizes: Sequence[int], seconds: Sequence[float], pixels: Mapping[str, int]) -> Figure:
    """Plot seconds measured for images of some sizes, and extrapolated, along the number of pixels, to larger ones.

    Args:
        sizes: (N,) sides of the images that were measured.
        seconds: (N,) for one image.
        pixels: name -> number of pixels of images that were not measured.
    """
    counts = [size**2 for size in sizes] + list(pixels.values())
    names = [f"{size}×{size}" for size in sizes] + [name.replace(" ", "\n") for name in pixels]
    first, none = len(sizes) - 1, [None] * len(pixels)
    beyond = [seconds[-1] * count / counts[first] for count in counts[first:]]
    curves = {"measured": [*seconds, *none], "extrapolated": [*[None] * first, *beyond]}
    return plot_curves(counts, curves, "pixels of the image", "seconds for one image", True, True, names)


def grouped_bars(groups: Mapping[str, Mapping[str, float]], label: str) -> Figure:
    """Plot a few named values as bars, group by group, each with its value."""
    figure, axis = subplots(width=6.4, height=3.0)
    names = list(next(iter(groups.values())))
    width = 0.8 / len(names)
    for index, (name, hatch) in enumerate(zip(names, ["", "///", "..."], strict=False)):
        places = np.arange(len(groups)) + (index - (len(names) - 1) / 2) * width
        heights = [values[name] for values in groups.values()]
        bars = axis.bar(places, heights, width * 0.92, label=name, hatch=hatch, edgecolor="white")
        axis.bar_label(bars, fmt="{:.2f}", padding=2)
    axis.set_xticks(range(len(groups)), list(groups))
    axis.set(ylabel=label, ylim=(0, 1.1))
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=len(names))
    return figure


def plot_ranking(
    axis: Axes, found: Sequence[tuple[str, float]], right: Sequence[str] = (), given: Sequence[str] = ()
) -> None:
    """Plot (text, cosine similarity) pairs as bars, the first at the top.

    `right`: the expected answers, in orange and marked ✓. `given`: the words of the question, hatched.
    """
    names = [f"✓ {text}" if text in right else text for text, _ in found]
    scores = [score for _, score in found]
    colors = ["#E69F00" if text in right else "#9CC3DC" for text, _ in found]
    hatches = ["///" if text in given else "" for text, _ in found]
    axis.barh(range(len(found)), scores, color=colors, hatch=hatches, edgecolor="white", linewidth=0)
    for row, score in enumerate(scores):
        axis.text(max(score, 0) + 0.01, row, signed_text(score), va="center", fontsize=9)
    axis.set_yticks(range(len(found)), names)
    axis.invert_yaxis()
    axis.grid(False, axis="y")
    axis.set(xlim=(min(0, *scores), 1.12), xlabel="cosine similarity")
