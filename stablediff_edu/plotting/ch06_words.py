"""The figures of chapter 6: vectors as rows of colors, maps of words, rankings, and what two lists have in common."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.ticker import FuncFormatter
from PIL import Image

from stablediff_edu.plotting.core import SIGNED_MAP, subplots

Groups = Mapping[str, Sequence[str]]  # name of a group -> its words
GROUP_COLORS = ("#0072B2", "#C2561A", "#5B7F1C", "#A3264A", "#7A52B3", "#12837C", "#96700A")
GROUP_MARKERS = "os^"
HIGHLIGHT = "#E67800"  # what is pointed at
OTHER = "#7C858E"  # words that belong to no group


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


def embedding_heatmap(words: Sequence[str], vectors: torch.Tensor, one_hot: torch.Tensor | None = None) -> Figure:
    """Draw a vector, (N, D), as a row of colors for each of N words, and beside it, if given, their one-hot rows."""
    parts = {f"{vectors.shape[1]} values a word": vectors}
    if one_hot is not None:
        parts = {f"one-hot: {one_hot.shape[1]} values a word, one of them 1": one_hot} | parts
    figure, axes = subplots(len(parts), height=0.9 + 0.26 * len(words), squeeze=False)
    for axis, (title, values) in zip(axes[0], parts.items(), strict=True):
        values = values.detach().cpu()
        limit = float(values.abs().max()) or 1.0
        axis.imshow(values, cmap=SIGNED_MAP, vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
        axis.grid(False)
        axis.set_yticks(range(len(words)), words)
        axis.set(title=title, xlabel="dimension")
    return figure


def embedding_scatter(
    words: Sequence[str], places: torch.Tensor, groups: Groups, height: float = 8.6, labels: int | None = None
) -> Figure:
    """Draw words at their places in the plane, (V, 2): a mark each, by group, and its name wherever there is room.

    Args:
        words: V words.
        places: (V, 2).
        groups: name -> words; these are named first, the others as gray points.
        height: of the figure in inches of 100 pixels.
        labels: how many words to name at most; as many as there is room for by default.
    """
    figure, axis = subplots(height=height)
    numbers = np.array(group_indices(words, groups))
    x, y = places.detach().cpu().numpy().T
    if (numbers < 0).any():
        axis.plot(x[numbers < 0], y[numbers < 0], ".", color=OTHER, markersize=3, label="other words")
    for index, name in enumerate(groups):
        color, marker = group_style(index)
        chosen = numbers == index
        axis.plot(x[chosen], y[chosen], marker, color=color, markersize=5, label=name)
    axis.set(xlabel="first direction", ylabel="second direction")
    _signs(axis)
    figure.legend(loc="outside upper center", ncols=7, fontsize=9, handletextpad=0.1, columnspacing=1.2)
    figure.draw_without_rendering()  # the layout must be final before it is known where names have room
    figure.set_layout_engine("none")
    order = sorted(range(len(words)), key=lambda word: numbers[word] < 0)
    _place_labels(
        axis, [(words[i], x[i], y[i], group_style(numbers[i])[0] if numbers[i] >= 0 else OTHER) for i in order], labels
    )
    return figure


def projected_neighbors(
    words: Sequence[str], places: torch.Tensor, chosen: int, nearest: Mapping[str, Sequence[int]]
) -> Figure:
    """Draw the same cloud of words, (V, 2), once for each kind of nearest words, which are lit and named.

    Args:
        words: V words.
        places: (V, 2).
        chosen: the number of the word whose nearest these are.
        nearest: title -> numbers of words.
    """
    figure, axes = subplots(len(nearest), height=4.4, squeeze=False, sharex=True, sharey=True)
    x, y = places.detach().cpu().numpy().T
    for axis, (title, lit) in zip(axes[0], nearest.items(), strict=True):
        lit = list(lit)
        axis.plot(x, y, ".", color="#C9D0D6", markersize=4)
        axis.plot(x[lit], y[lit], "o", color=HIGHLIGHT)
        axis.plot(x[chosen], y[chosen], "o", color="black", markersize=9)
        axis.set(title=title, xlabel="first direction", ylabel="second direction")
        _signs(axis)
    shown = places.detach().cpu()[[chosen, *(word for lit in nearest.values() for word in lit)]]  # (N, 2)
    (left, low), (right, high) = (shown.min(dim=0).values.tolist(), shown.max(dim=0).values.tolist())
    wide, tall = 0.2 * (right - left), 0.2 * (high - low)
    axes[0, 0].set(xlim=(left - wide, right + wide), ylim=(low - tall, high + tall))  # of both: they share their axes
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axis, lit in zip(axes[0], nearest.values(), strict=True):
        _place_labels(
            axis, [(words[i], x[i], y[i], "black" if i == chosen else "#8A4B00") for i in (chosen, *lit)], far=True
        )
    return figure


def _place_labels(
    axis: Axes, marks: Sequence[tuple[str, float, float, str]], most: int | None = None, far: bool = False
) -> None:
    """Write names beside their marks, (name, x, y, color), leaving out those that would cover a name or a mark.

    `most`: not more names than this. `far`: a name without room beside its mark may stand farther off, on a line.
    """
    letters, measure = FontProperties(size=8), FigureCanvasAgg(axis.figure).get_renderer().get_text_width_height_descent
    frame = axis.get_window_extent()
    at = [tuple(axis.transData.transform((x, y))) for _, x, y, _ in marks]  # in pixels, as everything here
    taken = [(x - 2, y - 2, x + 2, y + 2) for x, y in at]
    named = 0
    for (name, x, y, color), (across, up) in zip(marks, at, strict=True):
        wide, high, _ = measure(name, letters, False)
        spots = [(6, -high / 2), (-6 - wide, -high / 2), (-wide / 2, 6), (-wide / 2, -6 - high)]
        for distance in range(24, 120, 8) if far else ():
            turns = np.linspace(0, 2 * np.pi, 16, endpoint=False)
            spots += [(distance * np.cos(turn) - wide / 2, distance * np.sin(turn) - high / 2) for turn in turns]
        for number, (right, above) in enumerate(spots):
            box = (across + right - 1, up + above - 1, across + right + wide + 1, up + above + high + 1)
            inside = box[0] > frame.x0 and box[2] < frame.x1 and box[1] > frame.y0 and box[3] < frame.y1
            if inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                named += 1
                points = [pixels * 72 / axis.figure.dpi for pixels in (right, above + high / 2)]
                how = dict(textcoords="offset points", fontproperties=letters, va="center", color=color)
                if number >= 4:
                    how["arrowprops"] = dict(arrowstyle="-", color=color, linewidth=0.6)
                axis.annotate(name, (x, y), points, **how)
                break
        if most is not None and named >= most:
            return


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def similarity_ranking(
    rankings: Mapping[str, Sequence[tuple[str, float]]], wanted: Sequence[str] = (), given: Sequence[str] = ()
) -> Figure:
    """Draw rankings beside each other, a bar a word, the best above.

    Args:
        rankings: title -> (word, cosine) pairs, best first.
        wanted: the right answers, in orange and marked ✓.
        given: the words of the question, hatched.
    """
    longest = max(map(len, rankings.values()))
    figure, axes = subplots(len(rankings), height=0.9 + 0.27 * longest, squeeze=False)
    for axis, (title, found) in zip(axes[0], rankings.items(), strict=True):
        plot_ranking(axis, found, wanted, given, title)
    return figure


def plot_ranking(
    axis: Axes,
    found: Sequence[tuple[str, float]],
    wanted: Sequence[str],
    given: Sequence[str],
    title: str,
) -> None:
    """Draw one ranking on an axis; arguments as for `similarity_ranking`."""
    for row, (word, score) in enumerate(found):
        color = "#E69F00" if word in wanted else "#9CC3DC"
        axis.barh(row, score, color=color, hatch="///" if word in given else "", edgecolor="white", linewidth=0)
        axis.text(max(score, 0) + 0.01, row, f"{score:.2f}".replace("-", "−"), va="center", fontsize=9)
    axis.set_yticks(range(len(found)), [f"✓ {word}" if word in wanted else word for word, _ in found])
    axis.invert_yaxis()
    axis.set_xlim(min(0, *(score for _, score in found)), 1.12)
    axis.grid(False, axis="y")
    axis.set(title=title, xlabel="cosine similarity")
    _signs(axis)


def relation_arrows(words: Mapping[str, torch.Tensor], relations: Mapping[str, Sequence[tuple[str, str]]]) -> Figure:
    """Draw pairs of words as arrows in the plane, one image for each relation: are they alike?

    The plane of each image is that in which its words differ most (PCA of these words alone).

    Args:
        words: word -> (D,) its vector.
        relations: title -> pairs of words, an arrow from the first to the second.
    """
    figure, axes = subplots(len(relations), height=5.0, squeeze=False)
    for axis, (title, pairs) in zip(axes[0], relations.items(), strict=True):
        vectors = torch.stack([words[word] for pair in pairs for word in pair])  # (2·P, D)
        centered = vectors - vectors.mean(dim=0)
        directions = torch.linalg.svd(centered, full_matrices=False).Vh[:2]  # (2, D)
        places = (centered @ directions.T).reshape(len(pairs), 2, 2)
        heights = [
            _spread_labels(places[:, end, 1].tolist(), gap=0.055 * float(places[:, :, 1].max() - places[:, :, 1].min()))
            for end in (0, 1)
        ]
        for index, (pair, ends) in enumerate(zip(pairs, places.tolist(), strict=True)):
            color = GROUP_COLORS[index % len(GROUP_COLORS)]
            axis.annotate("", ends[1], ends[0], arrowprops=dict(arrowstyle="->", color=color, linewidth=1.4))
            for end, (word, (x, _), other) in enumerate(zip(pair, ends, ends[::-1], strict=True)):
                side = "left" if x > other[0] else "right"
                axis.text(x, heights[end][index], f"  {word}  ", color=color, fontsize=9, ha=side, va="center")
        axis.plot(*places.reshape(-1, 2).T, ".", color="#444444", markersize=4)
        axis.margins(0.28, 0.08)
        axis.set(title=title, xlabel="first direction", ylabel="second direction")
        _signs(axis)
    return figure


def _spread_labels(heights: Sequence[float], gap: float) -> list[float]:
    """Return these heights in the same order, moved as little as needed for names so high not to touch."""
    order = np.argsort(heights)
    moved = np.array(heights)[order]
    for _ in range(100):
        lack = np.maximum(0, gap - np.diff(moved))
        if not lack.any():
            break
        moved[:-1] -= lack / 2
        moved[1:] += lack / 2
    return moved[order.argsort()].tolist()


def quantile_band(parts: Sequence[tuple[str, str, str, torch.Tensor, torch.Tensor]], bins: int = 24) -> Figure:
    """Draw how one number goes with another over very many pairs: the middle half of them, and the median.

    Args:
        parts: (title, x label, y label, x, y) for each image; x and y hold a number a pair.
        bins: in how many equally full groups the pairs are taken, from small to large x.
    """
    figure, axes = subplots(len(parts), height=3.9, squeeze=False)
    for axis, (title, xlabel, ylabel, x, y) in zip(axes[0], parts, strict=True):
        order = x.argsort()
        groups = [(x[part], y[part]) for part in order.tensor_split(bins)]
        middle = [float(xs.quantile(0.5)) for xs, _ in groups]
        low, half, high = (
            [float(ys.quantile(share)) for _, ys in groups] for share in (0.25, 0.5, 0.75)
        )  # fmt: skip
        axis.fill_between(middle, low, high, color="#9CC3DC", alpha=0.6, linewidth=0, label="middle half of the pairs")
        axis.plot(middle, half, "o-", color="#0072B2", markersize=4, label="median")
        axis.set(title=title, xlabel=xlabel, ylabel=ylabel)
        axis.legend(loc="upper left")
        _signs(axis)
    return figure


def _signs(axis: Axes) -> None:
    """Write negative numbers on both axes with a real minus sign."""
    for one in (axis.xaxis, axis.yaxis):
        if not one.get_majorticklabels() or one.get_major_formatter().__class__.__name__ == "ScalarFormatter":
            one.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−")))


def live_bars(names: Sequence[str], limit: float = 8.0) -> Callable[[int, torch.Tensor], Image.Image]:
    """Return a `draw` for `TrainingDisplay`: the numbers of a snapshot, (N,), as bars with these names."""

    def draw(step: int, values: torch.Tensor) -> Image.Image:
        figure = Figure(figsize=(6.4, 0.8 + 0.3 * len(names)))
        axis = figure.subplots()
        colors = ["#E69F00" if value > 0 else "#7B3294" for value in values.tolist()]
        axis.barh(list(names), values.tolist(), color=colors)
        axis.axvline(0, color="#444444", linewidth=0.8)
        axis.set(xlim=(-limit, limit), title=f"after {step} steps", xlabel="dot product")
        axis.invert_yaxis()
        _signs(axis)
        return figure_to_image(figure)

    return draw


def figure_to_image(figure: Figure) -> Image.Image:
    """Return a figure as an image of exactly its size, 100 pixels an inch."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
