"""A panel of chapter 7: search images by a sentence, and compare images with captions."""

import html
import textwrap
from collections.abc import Iterable

import torch
from PIL import Image

from stablediff_edu.data.scenes.dataset import SceneDataset
from stablediff_edu.errors import UserError
from stablediff_edu.models.clip import CLIP
from stablediff_edu.plotting.ch07_attention import plot_matrix
from stablediff_edu.plotting.grids import tile_images, to_uint8
from stablediff_edu.tasks.clip_evaluation import similarities
from stablediff_edu.tokenizers.words import WordTokenizer
from stablediff_edu.widgets.base import Panel
from stablediff_edu.widgets.blit import BlittedFigure
from stablediff_edu.widgets.controls import Slider, Text

QUERY = "a red boat at sunset"
COUNT = 6  # images that a query finds, and images in the matrix at once
SIDE, GAP = 96, 4  # of an image
SENTENCES = 300  # pixels for the sentences beside the matrix
WIDTH, HEIGHT = SENTENCES + COUNT * (SIDE + GAP), 320  # of the matrix
LETTERS = 44  # in a line


class ClipSearch(Panel):
    """Controls: query; page, which images stand in the matrix. Images: best images, similarities.

    `.best` holds the indices of the best images, best first.

    Args:
        model, tokenizer: a trained CLIP.
        scenes: images to search and their captions, at least six.
    """

    def __init__(self, model: CLIP, tokenizer: WordTokenizer, scenes: SceneDataset) -> None:
        super().__init__("CLIP search", Text("query", QUERY), Slider("page", 1, len(scenes) // COUNT, 1))
        self.model, self.tokenizer, self.scenes = model, tokenizer, scenes
        self.cosines = similarities(model, tokenizer, scenes.pixels, scenes.captions).cpu()  # (N, N)
        layout = dict(left=SENTENCES / WIDTH, right=1, bottom=0, top=1)
        self.plot = BlittedFigure([["table"]], WIDTH, HEIGHT, lambda axes: axes["table"].set_axis_off(), **layout)
        self.lay_out("query", self.note, "best images", "page", "similarities")
        self._search()
        self.follow(self._search, "query")
        self.follow(self._show_matrix, "page")

    def _search(self) -> None:
        query = self["query"].strip()
        if not query:
            raise UserError("The query is empty; type one, such as: a red boat at sunset.")
        self.own = similarities(self.model, self.tokenizer, self.scenes.pixels, [query])[:, 0].cpu()  # (N,)
        self.query, self.best = query, self.own.topk(COUNT).indices.tolist()
        caption = self.scenes.captions[self.best[0]]
        title = f"best images, cosine similarity {', '.join(f'{value:.2f}' for value in self.own[self.best].tolist())}"
        self.show("best images", self._strip(self.best), f"the {title} with “{query}”; the first: {caption}", title)
        self.say(html.escape(f"best of {len(self.scenes)} images for “{query}”; its caption: {caption}"))
        self._show_matrix()

    def _strip(self, indices: Iterable[int]) -> Image.Image:
        return tile_images([[to_uint8(self.scenes.pixels[index]) for index in indices]], SIDE, GAP)

    def _show_matrix(self) -> None:
        first = (self["page"] - 1) * COUNT
        page = slice(first, first + COUNT)
        table = torch.cat([self.own[None, page], self.cosines[page, page].T])  # (1 + 6, 6): the query first
        sentences = [f"query: {self.query}", *self.scenes.captions[page]]

        def draw(axes) -> None:
            plot_matrix(axes["table"], table, signed=True, aspect="auto")
            self.plot.write_numbers(axes["table"], table, 2, size=12)
            for row, sentence in enumerate(sentences):
                text = textwrap.fill(sentence, LETTERS, max_lines=3, placeholder=" …")
                self.plot.write(axes["table"], -0.55, row, text, "rm", size=11, bold=row == 0)

        sheet = Image.new("RGB", (WIDTH, HEIGHT + SIDE + GAP), "white")
        sheet.paste(self._strip(range(first, first + COUNT)), (SENTENCES + GAP // 2, 0))
        sheet.paste(self.plot.render(draw), (0, SIDE + GAP))
        title = "cosine similarities of a page of images"
        alt = f"cosine similarities of the query and {COUNT} captions with images {first + 1} to {page.stop}"
        self.show("similarities", sheet, alt, title)
