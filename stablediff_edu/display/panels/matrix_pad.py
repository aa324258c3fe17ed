"""The plane of chapter 7's matrix panel: drag where (1, 0) and (0, 1) go, and that is the matrix."""

from pathlib import Path

import anywidget
import traitlets

from stablediff_edu.display.panels.fine_slider import NumberRange

SCRIPT, STYLE = (Path(__file__).with_name(f"matrix_pad.{kind}") for kind in ("js", "css"))


class MatrixPad(anywidget.AnyWidget):
    """A plane with the two columns of a matrix as arrows, which the browser moves by mouse, finger and arrow keys.

    Attributes:
        matrix: its four numbers, row by row, always ones that the range knows.
        name, colour: of the matrix, for the title and the arrows.
        low, high, step: where the numbers may go.
    """

    _esm, _css = SCRIPT, STYLE
    name = traitlets.Unicode().tag(sync=True)
    colour = traitlets.Unicode().tag(sync=True)
    low = traitlets.Float().tag(sync=True)
    high = traitlets.Float().tag(sync=True)
    step = traitlets.Float().tag(sync=True)
    matrix = traitlets.List(traitlets.Float(), [1.0, 0.0, 0.0, 1.0], minlen=4, maxlen=4).tag(sync=True)

    def __init__(self, places: NumberRange, **how) -> None:
        self.range = places
        super().__init__(**places._asdict(), **how)

    @traitlets.validate("matrix")
    def _round(self, proposal: dict) -> list[float]:
        return [self.range.nearest(number) for number in proposal["value"]]
