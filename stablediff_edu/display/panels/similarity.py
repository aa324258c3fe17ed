"""A panel of chapter 7: pictures against sentences; type one of your own and see which pictures it finds."""

import html

import ipywidgets as widgets
import torch
from matplotlib.figure import Figure

from stablediff_edu.datasets.scene_set import CaptionedScenes
from stablediff_edu.display.clip_figures import draw_similarities
from stablediff_edu.display.figures import draw_picture
from stablediff_edu.display.live import png
from stablediff_edu.display.panels import parts
from stablediff_edu.display.word_figures import as_image
from stablediff_edu.errors import CourseError
from stablediff_edu.models.clip import CLIP
from stablediff_edu.tokenizers.words import WordTokenizer
from stablediff_edu.training.clip_quality import similarities

GROUP = 6  # pictures in the matrix at once
BEST = 6  # pictures that a sentence finds
WIDTH, HEIGHT, BEST_HEIGHT = 860, 480, 180


def similarity_panel(
    model: CLIP, tokenizer: WordTokenizer, scenes: CaptionedScenes, sentence: str = "a red boat at sunset"
) -> widgets.VBox:
    """Return the panel.

    `.controls`: sentence, a text box; group and group number: which of the pictures stand in the matrix.
    `.images`: similarities, the sentence and the captions of a group against its pictures; best, the pictures among all
    that the sentence finds. `.note`: a line of text, what is wrong with the sentence, or what was found.
    `.best`: the numbers of the pictures found, best first.

    Args:
        model, tokenizer: a trained CLIP.
        scenes: pictures to find and their captions, at least six.
        sentence: the first one.

    Raises:
        CourseError: the first sentence has a word that the network does not know, or there are too few scenes.
    """
    return _SimilarityPanel(model, tokenizer, scenes, sentence).panel


class _SimilarityPanel:
    def __init__(self, model: CLIP, tokenizer: WordTokenizer, scenes: CaptionedScenes, sentence: str) -> None:
        if len(scenes) < GROUP:
            raise CourseError(f"{len(scenes)} scenes are too few to choose among; give at least {GROUP}.")
        self.model, self.tokenizer, self.scenes, self.asked = model, tokenizer, scenes, sentence
        self.cosines = similarities(model, tokenizer, scenes.pixels, scenes.captions)  # (N, N)
        self.sentence = widgets.Text(
            sentence, description="sentence", continuous_update=False, layout={"width": "620px"}
        )
        self.group, self.group_number = parts.slider_and_number("group", 1, len(scenes) // GROUP, 1)
        self.note = widgets.HTML()
        self.note.add_class("sd-similarity-note")
        self.matrix = parts.picture_place("similarities", WIDTH, HEIGHT)
        self.found = parts.picture_place("best", WIDTH, BEST_HEIGHT)
        line = parts.in_line(self.group, self.group_number)
        self.panel = widgets.VBox([self.sentence, self.note, self.found, line, self.matrix])
        self.panel.controls = {"sentence": self.sentence, "group": self.group, "group number": self.group_number}
        self.panel.images, self.panel.note = {"similarities": self.matrix, "best": self.found}, self.note
        self._find(sentence)
        self.sentence.observe(self._read, "value")
        self.group.observe(self._draw_matrix, "value")

    def _read(self, _change=None) -> None:
        try:
            self._find(self.sentence.value.strip())
        except CourseError as error:
            self.note.value = f"<b>{html.escape(str(error))}</b> The pictures are still the last sentence's."

    def _find(self, sentence: str) -> None:
        """Compare a sentence with all pictures, and draw."""
        if not sentence:
            raise CourseError("There is no sentence; type one, such as: a red boat at sunset.")
        self.own = similarities(self.model, self.tokenizer, self.scenes.pixels, [sentence])[:, 0]  # (N,)
        self.asked, self.panel.best = sentence, self.own.topk(BEST).indices.tolist()
        best = self.panel.best[0]
        self.note.value = html.escape(
            f"of {len(self.scenes)} pictures, the nearest to “{sentence}” was told as: {self.scenes.captions[best]}"
        )
        self._draw_best()
        self._draw_matrix()

    def _draw_best(self) -> None:
        figure = Figure(figsize=(WIDTH / 100, BEST_HEIGHT / 100))
        for axis, number in zip(figure.subplots(1, BEST), self.panel.best, strict=True):
            title = f"cosine {self.own[number]:.2f}".replace("-", "−")
            draw_picture(axis, self.scenes.pixels[number], title=title)
        self.found.value = png(as_image(figure))

    def _draw_matrix(self, _change=None) -> None:
        first = (self.group.value - 1) * GROUP
        shown = slice(first, first + GROUP)
        table = torch.cat([self.own[shown, None], self.cosines[shown, shown]], dim=1)  # (6, 1 + 6): yours first
        figure = Figure(figsize=(WIDTH / 100, HEIGHT / 100))
        sentences = [f"yours: {self.asked}", *self.scenes.captions[shown]]
        draw_similarities(figure.subplots(), table, self.scenes.pixels[shown], sentences, chosen=0)
        self.matrix.value = png(as_image(figure))
