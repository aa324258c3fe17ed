"""The panel of chapter 3 on position encoding: the vector of a position, and its similarity to all others."""

import torch
from matplotlib.ticker import FuncFormatter

from stablediff_edu.layers.embeddings import sinusoidal_embedding
from stablediff_edu.plotting.core import SIGNED_MAP
from stablediff_edu.widgets.base import Panel
from stablediff_edu.widgets.blit import BlittedFigure
from stablediff_edu.widgets.controls import Slider, minus

LAYOUT = dict(left=0.07, right=0.985, bottom=0.12, top=0.94, wspace=0.18, hspace=0.6, width_ratios=[1, 1.25])
LINE = "#0072B2"


class PositionPanel(Panel):
    """Controls: position. Images: encoding.

    Args:
        features: dimensions of a vector.
        positions: how many positions there are.
    """

    def __init__(self, features: int = 64, positions: int = 1000) -> None:
        super().__init__("Position encoding", Slider("position", 0, positions - 1, positions // 10))
        self.vectors = sinusoidal_embedding(torch.arange(positions), features).numpy()  # (positions, features)
        self.plot = BlittedFigure([["table", "vector"], ["table", "similarity"]], 860, 420, self._draw_axes, **LAYOUT)
        self.lay_out("position", self.note, "encoding")
        self._show()
        self.follow(self._show, "position")

    def _draw_axes(self, axes) -> None:
        positions, features = self.vectors.shape
        axes["table"].grid(False)
        axes["table"].imshow(self.vectors, cmap=SIGNED_MAP, vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
        axes["table"].set(title="vectors of all positions", xlabel="dimension", ylabel="position")
        limits = dict(xlim=(-0.5, features - 0.5), ylim=(-1.1, 1.1))
        axes["vector"].set(title="vector of this position", xlabel="dimension", **limits)
        limits = dict(xlim=(0, positions - 1), ylim=(-0.5, 1.1))
        axes["similarity"].set(title="cosine similarity to all other positions", xlabel="position", **limits)
        for name in ("vector", "similarity"):
            axes[name].yaxis.set_major_formatter(FuncFormatter(lambda value, _: minus(f"{value:g}")))

    def _show(self) -> None:
        position = self["position"]
        vector = self.vectors[position]
        similarity = self.vectors @ vector / (vector @ vector)  # (positions,): all vectors have the same length

        def draw(axes) -> None:
            axes["vector"].stairs(vector, [n - 0.5 for n in range(len(vector) + 1)], baseline=0, fill=True, color=LINE)
            axes["similarity"].plot(similarity, color=LINE, linewidth=1.2)
            axes["similarity"].axvline(position, color="black", linestyle="--", linewidth=1.2)
            axes["table"].axhline(position, color="black", linewidth=1.2)

        self.show("encoding", self.plot.render(draw), f"position encoding of position {position}", "")
        nearest = int(similarity.argsort()[-2])  # the last is the position itself
        self.say(
            f"{len(vector)} values from {vector.min():.2f} to {vector.max():.2f}, sum of squares {vector @ vector:.1f} "
            f"· most similar: position {nearest} ({similarity[nearest]:.2f})"
        )
