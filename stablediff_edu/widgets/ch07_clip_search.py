"""A panel of chapter 7: search images by a sentence, and compare images with captions."""

import html
import textwrap
from collections.abc import Iterable

import torch
from PIL import Image

from stablediff_edu.data.scenes.dataset import SceneDataset
from stablediff_edu.errors import UserError
from stablediff_edu.models.clip import CLIP
from stablediff_edu.notebook.progress import tile_images, to_uint8
from stablediff_edu.plotting.ch07_attention import plot_matrix
from stablediff_edu.tasks.clip_evaluation import similarities
from stablediff_edu.tokenizers.words import WordTokenizer
from stablediff_edu.widgets.base import Panel
from stablediff_edu.widgets.blit import BlittedFigure
from stablediff_edu.widgets.controls import Slider, Text, minus

PAGE_SIZE = 6  # images in the matrix at once
BEST = 6  # images that a query finds
SIDE, GAP = 96, 4  # of an image
SENTENCES = 300  # pixels for the sentences beside the matrix
WIDTH, HEIGHT = SENTENCES + PAGE_SIZE * (SIDE + GAP), 420
LETTERS = 44  # in a line
TABLE_HEIGHT = HEIGHT - SIDE - GAP


class ClipSearch(Panel):
    """Controls: query; page, which images stand in the matrix. Images: best images, similarities.

    `.best` holds the indices of the best images, best first.

    Args:
        model, tokenizer: a trained CLIP.
        scenes: images to search and their captions, at least six.
        query: the first one.

    Raises:
        UserError: the first query has a word that is not in the vocabulary, or there are too few scenes.
    """

    def __init__(
        self, model: CLIP, tokenizer: WordTokenizer, scenes: SceneDataset, query: str = "a red boat at sunset"
    ) -> None:
        super().__init__("CLIP search")
        if len(scenes) < PAGE_SIZE:
            raise UserError(f"The search needs at least {PAGE_SIZE} scenes, got {len(scenes)}.")
        self.model, self.tokenizer, self.scenes = model, tokenizer, scenes
        self.cosines = similarities(model, tokenizer, scenes.pixels, scenes.captions).cpu()  # (N, N)
        self.controls |= {
            "query": Text("query", query),
            "page": Slider("page", 1, len(scenes) // PAGE_SIZE, 1),
        }
        self.plot = BlittedFigure(
            [["table"]], WIDTH, TABLE_HEIGHT, self._draw_axes, left=SENTENCES / WIDTH, right=1, bottom=0, top=1
        )
        best = self.image("best images", BEST * (SIDE + GAP) - GAP, SIDE, title="best images")
        matrix = self.image("similarities", WIDTH, HEIGHT, title="cosine similarities of a page of images")
        self.lay_out(["query"], self.note, best, ["page"], matrix)
        self._search()
        self.follow(self._search, "query")
        self.follow(self._show_matrix, "page")

    def _search(self) -> None:
        query = self.controls["query"].value.strip()
        if not query:
            raise UserError("The query is empty; type one, such as: a red boat at sunset.")
        self.own = similarities(self.model, self.tokenizer, self.scenes.pixels, [query])[:, 0].cpu()  # (N,)
        self.query, self.best = query, self.own.topk(BEST).indices.tolist()
        caption = self.scenes.captions[self.best[0]]
        cosines = ", ".join(minus(f"{self.own[index]:.2f}") for index in self.best)
        self.images["best images"].title = f"best images, cosine similarity {cosines}"
        self.show("best images", self._strip(self.best), f"the {BEST} best images for “{query}”; the first: {caption}")
        self.say(html.escape(f"best of {len(self.scenes)} images for “{query}”; its caption: {caption}"))
        self._show_matrix()

    def _strip(self, indices: Iterable[int]) -> Image.Image:
        return tile_images([[to_uint8(self.scenes.pixels[index]) for index in indices]], SIDE, GAP)

    def _draw_axes(self, axes) -> None:
        axes["table"].set_axis_off()

    def _show_matrix(self) -> None:
        first = (self.value("page") - 1) * PAGE_SIZE
        page = slice(first, first + PAGE_SIZE)
        table = torch.cat([self.own[page, None], self.cosines[page, page]], dim=1)  # (6, 1 + 6): the query first
        sentences = [f"query: {self.query}", *self.scenes.captions[page]]

        def draw(axes) -> None:
            plot_matrix(axes["table"], table.T, signed=True, aspect="auto")
            self.plot.write_numbers(axes["table"], table.T, 2, size=12)
            for row, sentence in enumerate(sentences):
                text = textwrap.fill(sentence, LETTERS, max_lines=3, placeholder=" …")
                self.plot.write(axes["table"], -0.55, row, text, "rm", size=11, bold=row == 0)

        sheet = Image.new("RGB", (WIDTH, HEIGHT), "white")
        sheet.paste(self._strip(range(first, first + PAGE_SIZE)), (SENTENCES + GAP // 2, 0))
        sheet.paste(self.plot.render(draw), (0, SIDE + GAP))
        alt = f"cosine similarities of the query and {PAGE_SIZE} captions with images {first + 1} to {page.stop}"
        self.show("similarities", sheet, alt)
