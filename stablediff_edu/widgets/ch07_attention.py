"""A panel of chapter 7: type a sentence and see the attention weights, head by head."""

import html
from collections.abc import Callable, Sequence

import torch
from torch import nn

from stablediff_edu.config import device_of
from stablediff_edu.layers.attention import causal_mask, record_attention
from stablediff_edu.plotting.ch07_attention import plot_attention, plot_lines, plot_matrix, plot_words
from stablediff_edu.widgets.base import Panel
from stablediff_edu.widgets.blit import BlittedFigure
from stablediff_edu.widgets.controls import Select, Slider, Text

LAYOUT = dict(left=0.1, right=0.99, bottom=0.2, top=0.94, wspace=0.05, width_ratios=[1.15, 1])
SENTENCE = "the film was really not good"
MAX_VALUES = 8  # words; with more, the cells have no space for values


class AttentionPanel(Panel):
    """Controls: sentence, mask, head. Images: attention. `.weights` are those of each head, (heads, N, N).

    Args:
        model: (token ids (1, N), mask=(N, N) or None) -> logits (1, classes), with one attention layer.
        encode: sentence -> token ids; raises a UserError if it cannot.
        words: token id -> word.
        classes: of the logits.
    """

    def __init__(
        self, model: nn.Module, encode: Callable[[str], list[int]], words: Sequence[str], classes: Sequence[str]
    ) -> None:
        super().__init__("Attention weights", Text("sentence", SENTENCE), Select("mask", ["none", "causal"]))
        self.model, self.encode, self.words, self.classes = model, encode, words, classes
        self.controls["head"] = Slider("head", 1, 1, 1)
        self._read()
        self.controls["head"].high = len(self.weights)
        self.lay_out(["sentence", "mask"], "head", self.note, "attention")
        self.follow(self._read, "sentence", "mask")
        self.follow(self._show, "head")

    @torch.no_grad()
    def _read(self) -> None:
        """Run the model, and keep the attention weights."""
        ids, device = self.encode(self["sentence"]), device_of(self.model)
        mask = causal_mask(len(ids), device) if self["mask"] == "causal" else None
        with record_attention(self.model) as seen:
            logits = self.model(torch.tensor([ids], device=device), mask=mask)
        (weights,) = seen.values()
        self.weights, self.shown = weights[0].cpu(), [self.words[index] for index in ids]
        self.plot = BlittedFigure([["map", "lines"]], 860, 430, self._draw_axes, **LAYOUT)
        self._show()
        p = logits[0].float().softmax(dim=0).cpu()
        self.say(f"prediction: <b>{html.escape(self.classes[p.argmax()])}</b> (p = {p.max():.2f})")

    def _draw_axes(self, axes) -> None:
        plot_attention(axes["map"], torch.zeros(len(self.shown), len(self.shown)), self.shown)
        axes["map"].set(xlabel="key", ylabel="query")
        plot_words(axes["lines"], self.shown, "query → key")

    def _show(self) -> None:
        weights = self.weights[self["head"] - 1]

        def draw(axes) -> None:
            plot_matrix(axes["map"], weights)
            if len(weights) <= MAX_VALUES:
                self.plot.write_numbers(axes["map"], weights, 2, size=12)
            plot_lines(axes["lines"], weights)

        query, key = divmod(int(weights.argmax()), len(weights))
        alt = f"attention weights of head {self['head']} for “{' '.join(self.shown)}”; the largest is "
        alt += f"{weights.max():.2f}, {self.shown[query]} → {self.shown[key]}"
        self.show("attention", self.plot.render(draw), alt, "")
