"""A panel of chapter 7: search images by a sentence, and compare images with captions."""

import html

import torch
from matplotlib.figure import Figure

from stablediff_edu.datasets.scene_set import CaptionedScenes
from stablediff_edu.display.clip_figures import draw_similarities
from stablediff_edu.display.figures import draw_picture
from stablediff_edu.display.word_figures import as_image
from stablediff_edu.errors import CourseError
from stablediff_edu.models.clip import CLIP
from stablediff_edu.tokenizers.words import WordTokenizer
from stablediff_edu.training.clip_quality import similarities
from stablediff_edu.widgets.base import Panel
from stablediff_edu.widgets.controls import Slider, Text

PAGE_SIZE = 6  # images in the matrix at once
BEST = 6  # images that a query finds
WIDTH, HEIGHT, BEST_HEIGHT = 860, 480, 180


class ClipSearch(Panel):
    """Controls: query; page, which images stand in the matrix. Images: best images, similarities.

    `.best` holds the indices of the best images, best first.

    Args:
        model, tokenizer: a trained CLIP.
        scenes: images to search and their captions, at least six.
        query: the first one.

    Raises:
        CourseError: the first query has a word that is not in the vocabulary, or there are too few scenes.
    """

    def __init__(
        self, model: CLIP, tokenizer: WordTokenizer, scenes: CaptionedScenes, query: str = "a red boat at sunset"
    ) -> None:
        super().__init__("CLIP search")
        if len(scenes) < PAGE_SIZE:
            raise CourseError(f"The search needs at least {PAGE_SIZE} scenes, got {len(scenes)}.")
        self.model, self.tokenizer, self.scenes = model, tokenizer, scenes
        self.cosines = similarities(model, tokenizer, scenes.pixels, scenes.captions).cpu()  # (N, N)
        self.controls |= {
            "query": Text("query", query),
            "page": Slider("page", 1, len(scenes) // PAGE_SIZE, 1),
        }
        best = self.image("best images", WIDTH, BEST_HEIGHT, title="best images")
        matrix = self.image("similarities", WIDTH, HEIGHT, title="cosine similarities of a page of images")
        self.lay_out([self.controls["query"]], self.note, best, [self.controls["page"]], matrix)
        self._search()
        self.follow(self._search, self.controls["query"])
        self.follow(self._show_matrix, self.controls["page"])

    def _search(self) -> None:
        query = self.controls["query"].value.strip()
        if not query:
            raise CourseError("The query is empty; type one, such as: a red boat at sunset.")
        self.own = similarities(self.model, self.tokenizer, self.scenes.pixels, [query])[:, 0].cpu()  # (N,)
        self.query, self.best = query, self.own.topk(BEST).indices.tolist()
        caption = self.scenes.captions[self.best[0]]
        figure = Figure(figsize=(WIDTH / 100, BEST_HEIGHT / 100))
        for axes, index in zip(figure.subplots(1, BEST), self.best, strict=True):
            draw_picture(axes, self.scenes.pixels[index], title=f"cosine {self.own[index]:.2f}".replace("-", "−"))
        self.show("best images", as_image(figure), f"the {BEST} best images for “{query}”; the first: {caption}")
        self.say(html.escape(f"best of {len(self.scenes)} images for “{query}”; its caption: {caption}"))
        self._show_matrix()

    def _show_matrix(self) -> None:
        first = (self.controls["page"].value - 1) * PAGE_SIZE
        page = slice(first, first + PAGE_SIZE)
        table = torch.cat([self.own[page, None], self.cosines[page, page]], dim=1)  # (6, 1 + 6): the query first
        figure = Figure(figsize=(WIDTH / 100, HEIGHT / 100))
        sentences = [f"query: {self.query}", *self.scenes.captions[page]]
        draw_similarities(figure.subplots(), table, self.scenes.pixels[page], sentences, chosen=0)
        alt = (
            f"cosine similarities of the query and {PAGE_SIZE} captions with images {first + 1} to {first + PAGE_SIZE}"
        )
        self.show("similarities", as_image(figure), alt)


clip_search_panel = ClipSearch
