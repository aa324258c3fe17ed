"""A panel of chapter 6: word arithmetic, king − man + woman = ?"""

import html

from stablediff_edu.metrics.word_vectors import WordVectors, analogy
from stablediff_edu.widgets.base import Panel
from stablediff_edu.widgets.blit import BlittedFigure
from stablediff_edu.widgets.controls import Check, Text

LAYOUT = dict(left=0.2, right=0.98, bottom=0.16, top=0.97)
BAR, BEST, HATCH = "#9CC3DC", "#E69F00", "///"
TERMS, EXCLUDE = ("a", "− b", "+ c"), "exclude the question words"
SHOWN = 10
MAX_SUGGESTIONS = 5000  # a browser becomes slow with more


class AnalogyPanel(Panel):
    """Controls: a, − b and + c, boxes with completion; exclude the question words. Images: nearest words.

    Args:
        vectors: the words.
        question: a, b and c at the start.

    Raises:
        UserError: a word of the first question is not known.
    """

    def __init__(self, vectors: WordVectors, question: tuple[str, str, str] = ("king", "man", "woman")) -> None:
        suggestions = vectors.words[:MAX_SUGGESTIONS]
        boxes = [Text(name, word, suggestions=suggestions) for name, word in zip(TERMS, question, strict=True)]
        super().__init__("Analogies", *boxes, Check(EXCLUDE, True))
        self.vectors = vectors
        self.plot = BlittedFigure([["ranking"]], 620, 330, self._draw_axes, **LAYOUT)
        self.lay_out([*TERMS], EXCLUDE, self.note, "nearest words")
        self._answer()
        self.follow(self._answer, *self.controls)

    def _answer(self) -> None:
        a, b, c = (self[name].strip().lower() for name in TERMS)
        found = analogy(self.vectors, a, b, c, count=SHOWN, exclude=self[EXCLUDE])

        def draw(axes) -> None:
            for row, (word, cosine) in enumerate(found):
                hatch = HATCH if word in (a, b, c) else ""
                axes["ranking"].barh(row, cosine, color=BEST if row == 0 else BAR, hatch=hatch, edgecolor="white", lw=0)
                self.plot.write(axes["ranking"], -0.01, row, word, "rm")
                self.plot.write(axes["ranking"], max(cosine, 0) + 0.01, row, f"{cosine:.2f}", "lm")

        title = f"the {len(found)} other words nearest to {a} − {b} + {c}"
        self.show("nearest words", self.plot.render(draw), f"{title}; the first is {found[0][0]}", title)
        self.say(html.escape(f"{a} − {b} + {c}: nearest other word: ") + f"<b>{html.escape(found[0][0])}</b>")

    def _draw_axes(self, axes) -> None:
        axes["ranking"].set(xlim=(0, 1.12), ylim=(SHOWN - 0.5, -0.5), yticks=[], xlabel="cosine similarity")
