"""A panel of chapter 7: words as arrows in a plane, the matrices that move them, and who then looks at whom."""

from collections.abc import Mapping, Sequence

import ipywidgets as widgets
import torch

from stablediff_edu.display.attention_figures import draw_arrows, draw_cells, draw_plane, draw_weights
from stablediff_edu.display.figures import draw_numbers
from stablediff_edu.display.panels import parts
from stablediff_edu.display.panels.fine_slider import FineSlider, NumberRange
from stablediff_edu.display.panels.matrix_pad import MatrixPad
from stablediff_edu.display.panels.plot import StillPlot
from stablediff_edu.layers.attention import attention_weights

VECTORS = {
    "film": (1.4, 0.3),
    "soup": (1.1, -0.5),
    "good": (0.4, 1.3),
    "bad": (0.3, -1.2),
    "not": (-1.2, 0.8),
    "very": (-1.3, -0.3),
}
MATRICES = {"query": "#0072B2", "key": "#B35C00", "value": "#7B3294"}  # and the colour of what each moves
PRESETS = {
    "leave all as it is": ((1, 0), (0, 1)),
    "turn by 90°": ((0, -1), (1, 0)),
    "turn round": ((-1, 0), (0, -1)),
    "mirror": ((1, 0), (0, -1)),
    "twice as long": ((2, 0), (0, 2)),
    "shear": ((1, 1), (0, 1)),
    "flatten to a line": ((1, 0), (0, 0)),
}
ENTRIES = ("row 1, column 1", "row 1, column 2", "row 2, column 1", "row 2, column 2")
RANGE = NumberRange(-2, 2, 0.05)
WIDTH, HEIGHT = 860, 620
LAYOUT = dict(left=0.06, right=0.985, bottom=0.12, top=0.95, wspace=0.22, hspace=0.24)


def matrix_panel(vectors: Mapping[str, Sequence[float]] = VECTORS) -> widgets.VBox:
    """Return the panel.

    `.controls`: matrix (query, key or value), its four numbers by their row and column, preset, back.
    `.pad`: the plane with the chosen matrix' columns as arrows to drag. `.images`: matrices. `.note`: a line of text on
    one pair of words, both ways. `.matrices`: name -> (2, 2). `.weights`: () -> (N, N), who takes how much from whom.

    Args:
        vectors: word -> its two numbers.
    """
    return _MatrixPanel(vectors).panel


class _MatrixPanel:
    def __init__(self, vectors: Mapping[str, Sequence[float]]) -> None:
        self.words = list(vectors)
        self.vectors = torch.tensor([list(vector) for vector in vectors.values()], dtype=torch.float32)  # (N, 2)
        self.matrices = {name: torch.eye(2) for name in MATRICES}
        self.still = False
        self.plot = StillPlot(3, 2, WIDTH, HEIGHT, self._draw_what_stays, gridspec_kw=LAYOUT)
        self.matrix = widgets.ToggleButtons(options=list(MATRICES), style={"button_width": "90px"})
        self.pad = MatrixPad(RANGE)
        self.entries = [FineSlider(name, RANGE, width=500) for name in ENTRIES]
        self.preset = widgets.Dropdown(options=["…", *PRESETS], description="preset", layout={"width": "270px"})
        self.back = widgets.Button(description="leave all three as they are", layout={"width": "210px"})
        self.image = parts.picture_place("matrices", WIDTH, HEIGHT)
        self.note = widgets.HTML()
        self.note.add_class("sd-matrix-note")

        self.matrix.observe(self._show_chosen, "value")
        self.pad.observe(self._drag, "matrix")
        for entry in self.entries:
            entry.observe(self._slide, "value")
        self.preset.observe(self._take_preset, "value")
        self.back.on_click(self._reset)
        self.panel = self._lay_out()
        self._show_chosen()
        self._draw()

    def _lay_out(self) -> widgets.VBox:
        beside = widgets.VBox(
            [self.matrix, parts.in_line(self.preset, self.back), *self.entries, self.note], layout={"width": "530px"}
        )  # narrow enough to stand beside the pad
        panel = widgets.VBox([parts.in_line(self.pad, beside), self.image])
        panel.controls = dict(matrix=self.matrix, preset=self.preset, back=self.back)
        panel.controls |= dict(zip(ENTRIES, self.entries, strict=True))
        panel.pad, panel.images, panel.note = self.pad, {"matrices": self.image}, self.note
        panel.matrices, panel.weights = self.matrices, self.weights
        return panel

    # -- what a change does ------------------------------------------------------------------------------------------

    def _drag(self, _change=None) -> None:
        self._change(self.pad.matrix)

    def _slide(self, _change=None) -> None:
        self._change([entry.value for entry in self.entries])

    def _take_preset(self, _change=None) -> None:
        if self.preset.value in PRESETS:
            self._change([number for row in PRESETS[self.preset.value] for number in row])
            self.preset.value = "…"  # so that the same one can be chosen again

    def _reset(self, _button=None) -> None:
        for name in MATRICES:
            self.matrices[name] = torch.eye(2)
        self._draw()
        self._show_chosen()

    def _change(self, numbers: Sequence[float]) -> None:
        """Give the chosen matrix other numbers, row by row."""
        if not self.still:
            self.matrices[self.matrix.value] = torch.tensor(numbers, dtype=torch.float32).view(2, 2)
            self._draw()  # first the picture, for which the learner waits, then pad and sliders that follow
            self._show_chosen()

    def _show_chosen(self, _change=None) -> None:
        """Move pad and sliders to the chosen matrix, without their moving it in turn."""
        self.still = True
        numbers = self.matrices[self.matrix.value].flatten().tolist()
        with self.pad.hold_sync():
            self.pad.name, self.pad.colour, self.pad.matrix = self.matrix.value, MATRICES[self.matrix.value], numbers
        for entry, number in zip(self.entries, numbers, strict=True):
            entry.value = number
        self.still = False

    # -- drawing -----------------------------------------------------------------------------------------------------

    def moved(self, name: str) -> torch.Tensor:
        """Return all words' vectors as moved by one matrix, (N, 2)."""
        return self.vectors @ self.matrices[name].T  # every row is matrix · vector

    def weights(self) -> torch.Tensor:
        """Return how much each word takes from each, (N, N)."""
        return attention_weights(self.moved("query"), self.moved("key"))

    def _draw(self) -> None:
        scores, weights = self.moved("query") @ self.moved("key").T, self.weights()
        results = weights @ self.moved("value")
        first, second = 0, min(2, len(self.words) - 1)
        a, b = self.words[first], self.words[second]
        alike = "the same both ways" if torch.allclose(scores, scores.T, atol=1e-4) else "not the same both ways"
        self.note.value = (
            f"query · key: {a} → {b} {scores[first, second]:.2f}, {b} → {a} {scores[second, first]:.2f}"
            f"<br>the scores of all pairs are <b>{alike}</b>"
        ).replace("-", "−")

        def draw(axes) -> None:
            for axis, (name, colour) in zip(axes[0], MATRICES.items(), strict=True):
                draw_arrows(axis, self.moved(name), self.words, colour)
            draw_cells(axes[1, 0], scores, float(scores.abs().max()) or 1.0, signed=True)
            draw_numbers(axes[1, 0], scores.round(decimals=1), size=8)
            draw_cells(axes[1, 1], weights)
            draw_numbers(axes[1, 1], weights.round(decimals=2), size=8)
            draw_arrows(axes[1, 2], results, self.words, "#222222")

        self.image.value = self.plot.png(draw)

    def _draw_what_stays(self, axes) -> None:
        for axis, name in zip(axes[0], MATRICES, strict=True):
            draw_plane(axis, f"as {name}")
            draw_arrows(axis, self.vectors, (), "#cccccc")
        nothing = torch.zeros(len(self.words), len(self.words))
        draw_weights(axes[1, 0], nothing, self.words, self.words, title="query · key")
        draw_weights(axes[1, 1], nothing, self.words, self.words, title="weights: softmax of each row")
        draw_plane(axes[1, 2], "what each word gets", reach=2.0)  # means are shorter
