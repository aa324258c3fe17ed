"""A panel of chapter 7: words as vectors in a plane, the query, key and value matrices, and the attention weights."""

from collections.abc import Mapping, Sequence

import anywidget
import torch
import traitlets

from stablediff_edu.layers.attention import attention_weights
from stablediff_edu.plotting.ch07_attention import plot_attention, plot_matrix, plot_vectors, setup_vector_axes
from stablediff_edu.widgets.base import Panel
from stablediff_edu.widgets.blit import INK, BlittedFigure
from stablediff_edu.widgets.controls import STYLE, Button, Select, Slider, SliderRange, script

MATRICES = {"query": "#0072B2", "key": "#A85600", "value": "#7B3294"}  # and the color of what each transforms
IDENTITY = [1.0, 0.0, 0.0, 1.0]  # row by row
PRESETS = {
    "…": None,
    "identity": IDENTITY,
    "rotate 90°": [0, -1, 1, 0],
    "rotate 180°": [-1, 0, 0, -1],
    "reflect": [1, 0, 0, -1],
    "scale × 2": [2, 0, 0, 2],
    "shear": [1, 1, 0, 1],
    "project onto x": [1, 0, 0, 0],
}
ENTRIES = ("row 1, column 1", "row 1, column 2", "row 2, column 1", "row 2, column 2")
RANGE = SliderRange(-2, 2, 0.05)
LAYOUT = dict(left=0.06, right=0.985, bottom=0.12, top=0.95, wspace=0.22, hspace=0.24)


class MatrixCanvas(anywidget.AnyWidget):
    """A plane with the two columns of a matrix as arrows, which mouse, finger and arrow keys move.

    Attributes:
        matrix: its four entries, row by row, snapped to the range.
        name, color: of the matrix.
    """

    _esm, _css, changes = script("matrix_canvas"), STYLE, "matrix"
    name = traitlets.Unicode().tag(sync=True)
    color = traitlets.Unicode().tag(sync=True)
    range: traitlets.List = traitlets.List(list(RANGE)).tag(sync=True)
    matrix: traitlets.List = traitlets.List(traitlets.Float(), IDENTITY, minlen=4, maxlen=4).tag(sync=True)

    @traitlets.validate("matrix")
    def _snap(self, proposal: dict) -> list[float]:
        return [RANGE.snap(value) for value in proposal["value"]]


class QKVPanel(Panel):
    """Controls: matrix (query, key or value), its four entries, preset, reset all. Images: matrices.

    `.canvas` is the `MatrixCanvas` of the chosen matrix; `.matrices` maps names to (2, 2).

    Args:
        vectors: word -> its two values, three words or more.
    """

    def __init__(self, vectors: Mapping[str, Sequence[float]]) -> None:
        super().__init__(
            "Query, key and value matrices",
            Select("matrix", list(MATRICES)),
            Select("preset", PRESETS),
            Button("reset all", "make all three matrices the identity"),
            *(Slider(name, RANGE.low, RANGE.high, 0, RANGE.step) for name in ENTRIES),
        )
        self.words = list(vectors)
        self.vectors = torch.tensor([list(vector) for vector in vectors.values()], dtype=torch.float32)  # (N, 2)
        mosaic = [[*MATRICES], ["scores", "weights", "output"]]
        self.plot = BlittedFigure(mosaic, 860, 620, self._draw_axes, **LAYOUT)
        self.canvas = MatrixCanvas()
        self.lay_out([self.canvas, (["matrix", "preset", "reset all"], *ENTRIES, self.note)], "matrices")
        self._reset()
        self.follow(self._show_chosen, "matrix")
        self.follow(lambda: self._change(self.canvas.matrix), self.canvas)
        self.follow(lambda: self._change([self[name] for name in ENTRIES]), *ENTRIES)
        self.follow(self._take_preset, "preset")
        self.follow(self._reset, "reset all")

    def transformed(self, name: str) -> torch.Tensor:
        """Return the vectors of all words transformed by one matrix, (N, 2)."""
        return self.vectors @ self.matrices[name].T  # every row is matrix · vector

    def weights(self) -> torch.Tensor:
        """Return the attention weights, (N, N)."""
        return attention_weights(self.transformed("query"), self.transformed("key"))

    def _take_preset(self) -> None:
        if self["preset"]:
            self._change(self["preset"])
            self.set("preset", "…")  # so that the same one can be chosen again

    def _reset(self) -> None:
        self.matrices = {name: torch.eye(2) for name in MATRICES}
        self._show()
        self._show_chosen()

    def _change(self, values: Sequence[float]) -> None:
        """Set the chosen matrix, row by row."""
        self.matrices[self["matrix"]] = torch.tensor(values, dtype=torch.float32).view(2, 2)
        self._show()  # first the image, for which the learner waits, then canvas and sliders
        self._show_chosen()

    def _show_chosen(self) -> None:
        """Move canvas and sliders to the chosen matrix."""
        name = self["matrix"]
        values = self.matrices[name].flatten().tolist()
        with self.quietly(), self.canvas.hold_sync():
            self.canvas.name, self.canvas.color, self.canvas.matrix = name, MATRICES[name], values
        for entry, value in zip(ENTRIES, values, strict=True):
            self.set(entry, value)

    def _show(self) -> None:
        scores, weights = self.transformed("query") @ self.transformed("key").T, self.weights()

        def draw(axes) -> None:
            for name, color in MATRICES.items():
                self._draw_words(axes[name], self.transformed(name), color)
            plot_matrix(axes["scores"], scores, float(scores.abs().max()) or 1.0, signed=True)
            self.plot.write_numbers(axes["scores"], scores, 1)
            plot_matrix(axes["weights"], weights)
            self.plot.write_numbers(axes["weights"], weights, 2)
            self._draw_words(axes["output"], weights @ self.transformed("value"), INK)

        (a, _, b), kind = (
            self.words[:3],
            "symmetric" if torch.allclose(scores, scores.T, atol=1e-4) else "not symmetric",
        )
        entries = ", ".join(f"{name} {matrix.tolist()}" for name, matrix in self.matrices.items())
        alt = f"vectors, scores and attention weights with the matrices {entries}; the scores are {kind}"
        self.show("matrices", self.plot.render(draw), alt, "")
        pair = f"query · key: {a} → {b} {scores[0, 2]:.2f}, {b} → {a} {scores[2, 0]:.2f}"
        self.say(f"{pair} · the scores are <b>{kind}</b>")

    def _draw_words(self, axes, vectors: torch.Tensor, color: str) -> None:
        plot_vectors(axes, vectors, (), color)
        for word, (x, y) in zip(self.words, vectors.tolist(), strict=True):
            if max(abs(x), abs(y)) <= axes.get_xlim()[1]:
                self.plot.write(axes, x, y, word, ("l" if x >= 0 else "r") + ("d" if y >= 0 else "a"))

    def _draw_axes(self, axes) -> None:
        for name in MATRICES:
            setup_vector_axes(axes[name], name)
            plot_vectors(axes[name], self.vectors, (), "#cccccc")
        zeros = torch.zeros(len(self.words), len(self.words))
        for name, title in (("scores", "scores: query · key"), ("weights", "weights: softmax of each row")):
            plot_attention(axes[name], zeros, self.words, title)
            axes[name].set(xlabel="key", ylabel="")
        setup_vector_axes(axes["output"], "output", reach=2.0)  # means are shorter
