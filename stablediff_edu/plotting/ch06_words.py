"""Figures of chapter 6: words in the plane with their names, pairs of words as arrows, rankings, and bands."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from PIL import Image

from stablediff_edu.plotting.core import figure_to_image, subplots
from stablediff_edu.plotting.curves import plot_ranking

Groups = Mapping[str, Sequence[str]]  # name of a group -> its words
GROUP_COLORS = ("#0072B2", "#C2561A", "#5B7F1C", "#A3264A", "#7A52B3", "#12837C", "#96700A")
GROUP_MARKERS = "os^"
HIGHLIGHT = "#E67800"  # what is pointed at
OTHER = "#7C858E"  # words that belong to no group
PLANE = dict(xlabel="first direction", ylabel="second direction")


def group_style(index: int) -> tuple[str, str]:
    """Return the color and the marker of a group: after seven groups the colors come again, with another marker."""
    return GROUP_COLORS[index % len(GROUP_COLORS)], GROUP_MARKERS[index // len(GROUP_COLORS) % len(GROUP_MARKERS)]


def group_indices(words: Sequence[str], groups: Groups) -> list[int]:
    """Return for each word which group it belongs to, the first if there are several, and -1 for none."""
    found: dict[str, int] = {}
    for index, members in enumerate(groups.values()):
        for word in members:
            found.setdefault(word, index)
    return [found.get(word, -1) for word in words]


def embedding_scatter(words: Sequence[str], points: torch.Tensor, groups: Groups) -> Figure:
    """Plot words in the plane: a mark each, by group, and its name wherever there is space.

    Args:
        words: V words.
        points: (V, 2).
        groups: name -> words; these are named first, the others are gray points.
    """
    figure, axis = subplots(height=8.6)
    group = np.array(group_indices(words, groups))
    x, y = points.detach().cpu().numpy().T
    if (group < 0).any():
        axis.plot(x[group < 0], y[group < 0], ".", color=OTHER, markersize=3, label="other words")
    for index, name in enumerate(groups):
        color, marker = group_style(index)
        axis.plot(x[group == index], y[group == index], marker, color=color, markersize=5, label=name)
    axis.set(**PLANE)
    figure.legend(loc="outside upper center", ncols=7, fontsize=9, handletextpad=0.1, columnspacing=1.2)
    order = np.argsort(group < 0, kind="stable")
    _place_labels(
        [(axis, [(words[i], x[i], y[i], group_style(group[i])[0] if group[i] >= 0 else OTHER) for i in order])]
    )
    return figure


def projected_neighbors(
    words: Sequence[str], points: torch.Tensor, chosen: int, nearest: Mapping[str, Sequence[int]]
) -> Figure:
    """Plot the same words in the plane once for each kind of nearest words, which are lit and named.

    Args:
        words: V words.
        points: (V, 2).
        chosen: the number of the word whose nearest these are.
        nearest: title -> numbers of words.
    """
    figure, axes = subplots(len(nearest), height=4.4, squeeze=False, sharex=True, sharey=True)
    points = points.detach().cpu()
    x, y = points.numpy().T
    for axis, (title, lit) in zip(axes[0], nearest.items(), strict=True):
        axis.plot(x, y, ".", color="#C9D0D6", markersize=4)
        axis.plot(x[list(lit)], y[list(lit)], "o", color=HIGHLIGHT)
        axis.plot(x[chosen], y[chosen], "o", color="black", markersize=9)
        axis.set(title=title, **PLANE)
    shown = points[[chosen, *(word for lit in nearest.values() for word in lit)]]  # (N, 2)
    low, high = shown.min(dim=0).values, shown.max(dim=0).values
    xlim, ylim = torch.stack([low - 0.2 * (high - low), high + 0.2 * (high - low)], dim=1).tolist()
    axes[0, 0].set(xlim=xlim, ylim=ylim)  # of both: they share their axes
    named = [
        [(words[i], x[i], y[i], "black" if i == chosen else "#8A4B00") for i in (chosen, *lit)]
        for lit in nearest.values()
    ]
    _place_labels(list(zip(axes[0], named, strict=True)), far=True)
    return figure


def word_cloud(words: Sequence[str], points: torch.Tensor, colors: Sequence[str], named: Sequence[int]) -> Figure:
    """Plot words in the plane as small marks, and name some of them: the first larger and in black.

    Args:
        words: V words.
        points: (V, 2).
        colors: V colors.
        named: numbers of words.
    """
    figure, axis = subplots(width=6.4, height=5.2)
    x, y = points.detach().cpu().numpy().T
    axis.scatter(x, y, c=list(colors), s=10)
    axis.plot(x[named[0]], y[named[0]], "o", color="black", markersize=7)
    axis.set_aspect("equal")
    axis.set_axis_off()
    _place_labels([(axis, [(words[i], x[i], y[i], "black" if i == named[0] else "#8A4B00") for i in named])], far=True)
    return figure


Mark = tuple[str, float, float, str]  # name, x, y, color


def _place_labels(marks_of_axes: Sequence[tuple[Axes, Sequence[Mark]]], far: bool = False) -> None:
    """Write names beside their marks, leaving out those that would cover a name or a mark.

    `far`: a name without space beside its mark may stand farther off, on a line.
    """
    figure = marks_of_axes[0][0].get_figure(root=True)
    assert figure
    figure.draw_without_rendering()  # the layout must be final before it is known where names have space
    figure.set_layout_engine("none")
    letters, measure = FontProperties(size=8), FigureCanvasAgg(figure).get_renderer().get_text_width_height_descent
    turns = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    ring = [(d * np.cos(turn), d * np.sin(turn)) for d in range(24, 120, 8) for turn in turns] if far else []
    for axis, marks in marks_of_axes:
        frame = axis.get_window_extent()
        at = axis.transData.transform([(x, y) for _, x, y, _ in marks])  # in pixels, as everything here
        taken = np.concatenate([at - 2, at + 2], axis=1)  # left, bottom, right, top
        for (name, x, y, color), (across, up) in zip(marks, at, strict=True):
            wide, high, _ = measure(name, letters, False)
            beside = [(6 + wide / 2, 0), (-6 - wide / 2, 0), (0, 6 + high / 2), (0, -6 - high / 2)]
            for number, (right, above) in enumerate([*beside, *ring]):  # of the name's center
                left, low = across + right - wide / 2 - 1, up + above - high / 2 - 1
                box = np.array([left, low, left + wide + 2, low + high + 2])
                inside = (box[:2] > frame.min).all() and (box[2:] < frame.max).all()
                if inside and not ((box[:2] < taken[:, 2:]) & (taken[:, :2] < box[2:])).all(axis=1).any():
                    taken = np.vstack([taken, box])
                    line = dict(arrowstyle="-", color=color, linewidth=0.6)
                    text = axis.annotate(
                        name, (x, y), (right, above), textcoords="offset pixels", ha="center", va="center",
                        arrowprops=line if number >= len(beside) else None,
                    )  # fmt: skip
                    text.set(fontproperties=letters, color=color)
                    break


def similarity_ranking(
    rankings: Mapping[str, Sequence[tuple[str, float]]], wanted: Sequence[str] = (), given: Sequence[str] = ()
) -> Figure:
    """Plot rankings beside each other, a bar a word, the best above.

    Args:
        rankings: title -> (word, cosine similarity) pairs, best first.
        wanted: the right answers, in orange and marked ✓.
        given: the words of the question, hatched.
    """
    longest = max(map(len, rankings.values()))
    figure, axes = subplots(len(rankings), height=0.9 + 0.27 * longest, squeeze=False)
    for axis, (title, found) in zip(axes[0], rankings.items(), strict=True):
        plot_ranking(axis, found, wanted, given)
        axis.set_title(title)
    return figure


def relation_arrows(words: Mapping[str, torch.Tensor], relations: Mapping[str, Sequence[tuple[str, str]]]) -> Figure:
    """Plot pairs of words as arrows in the plane, one axis for each relation: are they alike?

    The plane of each axis is that in which its words differ most (PCA of these words alone).

    Args:
        words: word -> (D,) its vector.
        relations: title -> pairs of words, an arrow from the first to the second.
    """
    figure, axes = subplots(len(relations), height=5.0, squeeze=False)
    for axis, (title, pairs) in zip(axes[0], relations.items(), strict=True):
        vectors = torch.stack([words[word] for pair in pairs for word in pair])  # (2·P, D)
        centered = vectors - vectors.mean(dim=0)
        directions = torch.linalg.svd(centered, full_matrices=False).Vh[:2]  # (2, D)
        points = (centered @ directions.T).reshape(len(pairs), 2, 2).numpy()
        gap = 0.055 * np.ptp(points[..., 1])
        heights = np.stack([_spread_labels(points[:, end, 1], gap) for end in (0, 1)], axis=1)  # (P, 2)
        for index, (pair, (start, end)) in enumerate(zip(pairs, points, strict=True)):
            color = GROUP_COLORS[index % len(GROUP_COLORS)]
            axis.annotate("", end, start, arrowprops=dict(arrowstyle="->", color=color, linewidth=1.4))
            sides = ("right", "left") if start[0] < end[0] else ("left", "right")
            for word, x, y, side in zip(pair, (start[0], end[0]), heights[index], sides, strict=True):
                axis.text(x, y, f"  {word}  ", color=color, fontsize=9, ha=side, va="center")
        axis.plot(*points.reshape(-1, 2).T, ".", color="#444444", markersize=4)
        axis.margins(0.28, 0.08)
        axis.set(title=title, **PLANE)
    return figure


def _spread_labels(heights: np.ndarray, gap: float) -> np.ndarray:
    """Return these heights in the same order, moved as little as needed for names so high not to touch."""
    order = heights.argsort()
    moved = heights[order]
    for _ in range(100):
        lack = np.maximum(0, gap - np.diff(moved))
        moved[:-1] -= lack / 2
        moved[1:] += lack / 2
    return moved[order.argsort()]


def quantile_band(parts: Sequence[tuple[str, str, str, torch.Tensor, torch.Tensor]]) -> Figure:
    """Plot how one value goes with another over very many pairs: the middle half of them, and the median.

    Args:
        parts: (title, x label, y label, x, y) for each axis; x and y hold a value a pair. The pairs are taken in 24
            equally full groups, from small to large x.
    """
    figure, axes = subplots(len(parts), height=3.9, squeeze=False)
    quartiles = torch.tensor([0.25, 0.5, 0.75])
    for axis, (title, xlabel, ylabel, x, y) in zip(axes[0], parts, strict=True):
        groups = x.argsort().tensor_split(24)
        middle = torch.stack([x[group].quantile(0.5) for group in groups])
        low, median, high = torch.stack([y[group].quantile(quartiles.to(y)) for group in groups]).T
        axis.fill_between(middle, low, high, color="#9CC3DC", alpha=0.6, linewidth=0, label="middle half of the pairs")
        axis.plot(middle, median, "o-", color="#0072B2", markersize=4, label="median")
        axis.set(title=title, xlabel=xlabel, ylabel=ylabel)
        axis.legend(loc="upper left")
    return figure


def live_bars(names: Sequence[str]) -> Callable[[int, torch.Tensor], Image.Image]:
    """Return a `render` for `TrainingDisplay`: the values of a snapshot, (N,), as bars with these names."""

    def render(step: int, values: torch.Tensor) -> Image.Image:
        figure, axis = subplots(width=6.4, height=0.8 + 0.3 * len(names))
        axis.barh(list(names), values.tolist(), color=["#E69F00" if value > 0 else "#7B3294" for value in values])
        axis.axvline(0, color="#444444", linewidth=0.8)
        axis.set(xlim=(-8, 8), title=f"after {step} steps", xlabel="dot product")
        axis.invert_yaxis()
        return figure_to_image(figure)

    return render
