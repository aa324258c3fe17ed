"""The parts that all diagrams are made of: boxes, tags, arrows and grids of values, one style, transparent background.

A page may be white or nearly black, and no gray is legible on both: every text stands on the fill of its own box or
tag. Lines have middle tones. Lengths are pixels at 100 %, y runs downwards.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch, PathPatch, Rectangle
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from torch import nn
from torch.func import functional_call

from stablediff_edu.errors import UserError
from stablediff_edu.plotting.core import MAGNITUDE_MAP, SIGNED_MAP, signed_text, text_color, to_numpy_image

KINDS = {  # what a box stands for -> its fill and its edge
    "image": ("#CFE4F5", "#3B86BC"),
    "latent": ("#E4D7F0", "#9467BD"),
    "noise": ("#F6D5D3", "#C65D5D"),
    "text": ("#D3ECD0", "#4C954C"),
    "network": ("#FBE4B4", "#B37700"),
    "frozen": ("#FBE4B4", "#B37700"),  # a network whose parameters stay as they are: dashed
    "operation": ("#F4F6F8", "#7F7F7F"),
    "dimmed": ("#E6E6E6", "#8A8A8A"),
}
INK, LINE, LIT, TAG = "#1C2733", "#7F7F7F", "#D55E00", "#F4F6F8"
WIDTH = 880  # `show` adds a margin of 8 at each side
SMALL, NORMAL = 9, 10  # points
Highlight = str | Collection[str] | None
Point = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """A rectangle on the canvas, and the points at its sides."""

    x: float
    y: float
    width: float
    height: float

    @property
    def left(self) -> Point:
        return self.x, self.y + self.height / 2

    @property
    def right(self) -> Point:
        return self.x + self.width, self.y + self.height / 2

    @property
    def top(self) -> Point:
        return self.x + self.width / 2, self.y

    @property
    def bottom(self) -> Point:
        return self.x + self.width / 2, self.y + self.height


class Canvas:
    """A diagram under construction, in which the parts named by `highlight` are lit and all others are dimmed."""

    def __init__(self, height: float, highlight: Highlight = None, width: float = WIDTH) -> None:
        self.figure = Figure(figsize=(width / 100, height / 100), dpi=100, facecolor="none")
        self.figure.set_layout_engine("none")
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.span = (0, width), (height, 0)
        self.axes.set(xlim=self.span[0], ylim=self.span[1])
        self.axes.set_axis_off()
        self.lit = {highlight} if isinstance(highlight, str) else set(highlight or ())
        self.parts: dict[str, None] = {}  # in the order in which they were added

    def finish(self, description: str) -> Figure:
        """Return the figure with its description, which `show` takes as the caption and the alternative text.

        Raises:
            UserError: `highlight` names a part that the diagram does not have.
        """
        if unknown := sorted(self.lit - self.parts.keys()):
            raise UserError(f"This diagram has no part {unknown[0]!r}; choose from: {', '.join(self.parts)}.")
        self.figure.set_label(" ".join(description.split()))
        return self.figure

    def _is_lit(self, part: str) -> bool | None:
        """Return True if a part is lit, False if it is dimmed, None if nothing is highlighted.

        "training|loss" is lit with "training", a group, and by itself.
        """
        names = part.split("|") if part else []
        self.parts |= dict.fromkeys(names)
        return not self.lit.isdisjoint(names) if self.lit else None

    def box(
        self, kind: str, x: float, y: float, width: float, height: float, title: str = "", *lines: str, part: str = ""
    ) -> Box:
        """Add a box of a kind, its title in bold."""
        lit = self._is_lit(part)
        fill, edge = KINDS["dimmed" if lit is False else kind]
        edge, line = (LIT, 3.0) if lit else (edge, 1.3)
        patch = FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=7", zorder=2, gid=part)
        patch.set(facecolor=fill, edgecolor=edge, linewidth=line, linestyle="--" if kind == "frozen" else "-")
        self.axes.add_patch(patch)
        for number, text in enumerate([title, *lines]):
            middle = y + height / 2 + 15 * (number - len(lines) / 2)
            self.write(x + width / 2, middle, text, NORMAL if number == 0 else SMALL, bold=number == 0)
        return Box(x, y, width, height)

    def row(
        self,
        y: float,
        height: float,
        *boxes: Sequence[str],
        left: float = 10,
        right: float = WIDTH - 10,
        arrows: bool = True,
        centered: bool = False,
    ) -> list[Box]:
        """Add boxes (kind, part, title, line, …) as wide as their text, from left to right; `centered`: close by."""
        widths = [text_width(*box[2:]) + 16 for box in boxes]
        gap = (right - left - sum(widths)) / max(1, len(boxes) - 1)
        if centered:
            gap = 20
            left = (left + right - sum(widths) - gap * (len(boxes) - 1)) / 2
        placed = []
        for (kind, part, *text), width in zip(boxes, widths, strict=True):
            placed.append(self.box(kind, left, y, width, height, *text, part=part))
            left += width + gap
        if arrows:
            self.chain(*placed)
        return placed

    def write(self, x: float, y: float, text: str, size: float = SMALL, bold: bool = False, color: str = INK) -> None:
        """Write a line of text onto a box."""
        weight = "bold" if bold else "normal"
        self.axes.text(x, y, text, fontsize=size, fontweight=weight, color=color, ha="center", va="center", zorder=5)

    def tag(self, x: float, y: float, text: str, align: str = "center", part: str = "", turned: bool = False) -> None:
        """Add a label that stands by itself, on a fill of its own; its left or right end or its center is at x.

        `turned` writes upwards from y.
        """
        edge = LIT if self._is_lit(part) else "none"
        paper = dict(boxstyle="round,pad=0.3,rounding_size=0.5", facecolor=TAG, edgecolor=edge, linewidth=2)
        how = dict(va="bottom", rotation=90) if turned else dict(va="center")
        self.axes.text(x, y, text, fontsize=SMALL, color=INK, ha=align, bbox=paper, zorder=6, **how)

    def arrow(
        self, *points: Point, part: str = "", dashed: bool = False, above: bool = False, color: str = LINE
    ) -> None:
        """Add an arrow through points, two or more (`dashed`: two, to the right); it passes below boxes, or above."""
        lit = self._is_lit(part)
        patches: list[Patch] = []
        if dashed:  # a straight line alone; its last pixels and the head are solid
            (x, y), end = points
            before = end[0] - 12, y + (end[1] - y) * (end[0] - 12 - x) / (end[0] - x)
            patches.append(PathPatch(Path([(x, y), before]), fill=False, linestyle=(0, (4, 2))))
            points = before, end
        head = "-|>,head_length=7,head_width=3.5"
        patches.append(FancyArrowPatch(path=Path(points), arrowstyle=head, mutation_scale=1, shrinkA=0, shrinkB=0))
        for patch in patches:
            patch.set(color=LIT if lit else LINE if lit is False else color, linewidth=2.6 if lit else 1.5)
            patch.set(joinstyle="round", zorder=4.5 if above else 1)
            self.axes.add_patch(patch)

    def chain(self, *boxes: Box) -> None:
        """Add an arrow from each box to the next at its right."""
        for one, other in pairwise(boxes):
            self.arrow(one.right, (other.x, one.right[1]))

    def loop(self, one: Box, other: Box, y: float, text: str) -> None:
        """Add an arrow that goes back from the bottom of a box, along y, to the bottom of another; text on it."""
        self.arrow(one.bottom, (one.bottom[0], y), (other.bottom[0], y), other.bottom)
        self.tag((one.bottom[0] + other.bottom[0]) / 2, y, text)

    def connect_u(self, first: Box, boxes: Sequence[Box], last: Box) -> None:
        """Add the arrows of a U: from `first` down a column of boxes, through the middle one, up again to `last`."""
        depth = len(boxes) // 2
        for one, other in pairwise([first, *boxes[:depth]]):
            self.arrow((other.top[0], one.bottom[1]), other.top)
        for one, other in pairwise([*boxes[depth + 1 :], last]):
            self.arrow(one.top, (one.top[0], other.bottom[1]))
        before, middle, after = boxes[depth - 1 : depth + 2]
        self.arrow(before.bottom, (before.bottom[0], middle.left[1]), middle.left)
        self.arrow(middle.right, (after.bottom[0], middle.right[1]), after.bottom)

    def image(
        self, values: torch.Tensor, x: float, y: float, width: float, height: float, signed: bool = False
    ) -> None:
        """Add an image or, if signed, a map whose zero is white."""
        pixels = values.detach().cpu().squeeze(0).numpy() if signed else to_numpy_image(values)
        limit = float(np.abs(pixels).max()) or 1.0
        cmap, low, high = (SIGNED_MAP, -limit, limit) if signed else ("gray", 0, 1)
        shown = self.axes.imshow(pixels, cmap, vmin=low, vmax=high, aspect="auto", interpolation="nearest")
        shown.set(extent=(x, x + width, y + height, y), zorder=2.5)
        self.axes.set(xlim=self.span[0], ylim=self.span[1])  # imshow would fit the axes to the image
        self.axes.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=LINE, lw=0.8, zorder=2.6))

    def mark(self, x: float, y: float, width: float, height: float, color: str = LIT) -> Box:
        """Add a frame that marks something."""
        frame = Rectangle((x, y), width, height, fill=False, edgecolor=color, linewidth=3, zorder=4)
        self.axes.add_patch(frame)
        return Box(x, y, width, height)

    def grid(
        self, values: torch.Tensor, x: float, y: float, cell: float, *, colors: str = SIGNED_MAP, limit: float = 0,
        form: str = "{:.2g}", part: str = "",
    ) -> Box:  # fmt: skip
        """Add a matrix (N, M), each value in a square whose color shows it, from -limit (0 for cividis) to limit."""
        limit = limit or float(values.abs().max()) or 1.0
        scale = Normalize(0 if colors == MAGNITUDE_MAP else -limit, limit)
        rows, columns = values.shape
        for (row, column), value in np.ndenumerate(values.cpu().numpy()):
            color = colormaps[colors](scale(value))
            left, top = x + column * cell, y + row * cell
            self.axes.add_patch(Rectangle((left, top), cell, cell, facecolor=color, edgecolor=LINE, lw=0.8, zorder=2))
            self.write(left + cell / 2, top + cell / 2, signed_text(value, form), color=text_color(color))
        if self._is_lit(part):
            self.mark(x, y, columns * cell, rows * cell)
        return Box(x, y, columns * cell, rows * cell)


def text_width(title: str, *lines: str) -> float:
    """Return how many pixels the widest line of a box is wide, the title in bold."""
    texts = [(title, NORMAL, "bold"), *((line, SMALL, "normal") for line in lines)]
    paths = (TextPath((0, 0), text, size, prop=FontProperties(weight=weight)) for text, size, weight in texts if text)
    return max((path.get_extents().width * 100 / 72 for path in paths), default=0)


def shape_text(shape: Sequence[int]) -> str:
    """Return "64×32×32" for a shape."""
    return "×".join(map(str, shape))


def count_text(*modules: nn.Module | None) -> str:
    """Return how many parameters modules have, all together: "1,234"."""
    return f"{sum(value.numel() for module in modules if module for value in module.parameters()):,}"


@torch.no_grad()
def run_shapes(model: nn.Module, *shapes: Sequence[int] | torch.Tensor, watch: Sequence[nn.Module] = ()) -> list:
    """Return the output shape of each watched module (of the model if there is none), without the batch.

    The model runs on the "meta" device, where tensors have shapes and no values: it takes no time and no memory.
    """
    inputs = [torch.zeros(shape, device="meta") if not isinstance(shape, torch.Tensor) else shape for shape in shapes]
    found: dict[int, tuple[int, ...]] = {}

    def record(module: nn.Module, _: object, output: torch.Tensor | tuple) -> None:
        found[id(module)] = tuple((output if isinstance(output, torch.Tensor) else output[-1]).shape[1:])

    watch = watch or [model]
    hooks = [module.register_forward_hook(record) for module in watch]
    try:
        state = model.state_dict(keep_vars=True)
        functional_call(model, {name: value.to("meta") for name, value in state.items()}, tuple(inputs))
    finally:
        for hook in hooks:
            hook.remove()
    return [found[id(module)] for module in watch]
