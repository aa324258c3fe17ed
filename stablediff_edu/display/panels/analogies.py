"""A panel of chapter 6: a calculator for words, king − man + woman = ?"""

import html

import ipywidgets as widgets
from matplotlib.figure import Figure

from stablediff_edu.display.live import png
from stablediff_edu.display.panels import parts
from stablediff_edu.display.word_figures import as_image, draw_ranking
from stablediff_edu.errors import CourseError
from stablediff_edu.training.analogies import WordVectors, analogy

WIDTH, HEIGHT = 620, 330
SHOWN = 10
OFFERED = 5000  # words that the boxes know for completion; a browser becomes slow with more


def analogy_panel(vectors: WordVectors, question: tuple[str, str, str] = ("king", "man", "woman")) -> widgets.VBox:
    """Return the panel.

    `.controls`: a, b and c, boxes with completion, for a − b + c; exclude, a tick box.
    `.images`: answer, the ten best words. `.note`: a line of text, the answer or what is wrong.

    Args:
        vectors: the words.
        question: a, b and c at the beginning.

    Raises:
        CourseError: a word of the first question is not known.
    """
    return _AnalogyPanel(vectors, question).panel


class _AnalogyPanel:
    def __init__(self, vectors: WordVectors, question: tuple[str, str, str]) -> None:
        self.vectors = vectors
        for word in question:
            vectors.number(word)
        self.boxes = [self._box(name, word) for name, word in zip("abc", question, strict=True)]
        self.exclude = widgets.Checkbox(
            True, description="leave out the three words themselves", indent=False, layout={"width": "auto"}
        )
        self.image = parts.picture_place("answer", WIDTH, HEIGHT)
        self.note = widgets.HTML()
        self.note.add_class("sd-analogy-note")
        a, b, c = self.boxes
        row = parts.in_line(a, widgets.HTML("<b>−</b>"), b, widgets.HTML("<b>+</b>"), c, widgets.HTML("<b>= ?</b>"))
        self.panel = widgets.VBox([row, self.exclude, self.note, self.image])
        self.panel.controls = {"a": a, "b": b, "c": c, "exclude": self.exclude}
        self.panel.images, self.panel.note = {"answer": self.image}, self.note
        for control in (*self.boxes, self.exclude):
            control.observe(self._answer, "value")
        self._answer()

    def _box(self, name: str, word: str) -> widgets.Combobox:
        return widgets.Combobox(
            value=word, options=self.vectors.words[:OFFERED], description=name, continuous_update=False,
            ensure_option=False, style={"description_width": "16px"}, layout={"width": "180px"},
        )  # fmt: skip

    def _answer(self, _change=None) -> None:
        words = [box.value.strip().lower() for box in self.boxes]
        try:
            found = analogy(self.vectors, *words, count=SHOWN, exclude=self.exclude.value)
        except CourseError as error:
            self.note.value = f"<b>{html.escape(str(error))}</b> The picture still shows the last question."
            return
        a, b, c = words
        self.note.value = html.escape(f"{a} − {b} + {c} is nearest to: ") + f"<b>{html.escape(found[0][0])}</b>"

        figure = Figure(figsize=(WIDTH / 100, HEIGHT / 100))
        title = f"{a} − {b} + {c}: the {len(found)} nearest words"
        draw_ranking(figure.subplots(), found, [], words, title, lit=[found[0][0]])
        self.image.value = png(as_image(figure))
