"""A panel of chapter 6: word arithmetic, king − man + woman = ?"""

import html

from matplotlib.figure import Figure

from stablediff_edu.display.word_figures import as_image, draw_ranking
from stablediff_edu.training.analogies import WordVectors, analogy
from stablediff_edu.widgets.base import Panel
from stablediff_edu.widgets.controls import Check, Text

WIDTH, HEIGHT = 620, 330
SHOWN = 10
MAX_SUGGESTIONS = 5000  # a browser becomes slow with more


class AnalogyPanel(Panel):
    """Controls: a, b and c, boxes with completion, for a − b + c; exclude. Images: nearest words.

    Args:
        vectors: the words.
        question: a, b and c at the start.

    Raises:
        CourseError: a word of the first question is not known.
    """

    def __init__(self, vectors: WordVectors, question: tuple[str, str, str] = ("king", "man", "woman")) -> None:
        super().__init__("Analogies")
        self.vectors = vectors
        suggestions = vectors.words[:MAX_SUGGESTIONS]
        labels = zip("abc", ("a", "− b", "+ c"), question, strict=True)
        self.controls |= {name: Text(label, word, suggestions) for name, label, word in labels}
        self.controls["exclude"] = Check("exclude the question words", True)
        self.lay_out(
            [self.controls[name] for name in "abc"],
            self.controls["exclude"],
            self.note,
            self.image("nearest words", WIDTH, HEIGHT, title=""),
        )
        self._answer()
        self.follow(self._answer, *self.controls.values())

    def _answer(self) -> None:
        a, b, c = (self.controls[name].value.strip().lower() for name in "abc")
        found = analogy(self.vectors, a, b, c, count=SHOWN, exclude=self.controls["exclude"].value)
        figure = Figure(figsize=(WIDTH / 100, HEIGHT / 100))
        title = f"{a} − {b} + {c}: the {len(found)} nearest words"
        draw_ranking(figure.subplots(), found, [], (a, b, c), title, lit=[found[0][0]])
        self.show("nearest words", as_image(figure), f"{title}, the first is {found[0][0]}")
        self.say(html.escape(f"{a} − {b} + {c} is nearest to: ") + f"<b>{html.escape(found[0][0])}</b>")


analogy_panel = AnalogyPanel
