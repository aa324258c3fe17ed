"""A panel of chapter 7: type a sentence and see the attention weights, head by head."""

import html
from collections.abc import Callable, Sequence

import torch
from torch import nn

from stablediff_edu.config import device_of
from stablediff_edu.errors import UserError
from stablediff_edu.layers.attention import causal_mask, record_attention
from stablediff_edu.plotting.ch07_attention import plot_attention, plot_lines, plot_matrix, plot_words
from stablediff_edu.widgets.base import Panel
from stablediff_edu.widgets.blit import BlittedFigure
from stablediff_edu.widgets.controls import Select, Slider, Text

WIDTH, HEIGHT = 860, 430
LAYOUT = dict(left=0.1, right=0.99, bottom=0.2, top=0.94, wspace=0.05, width_ratios=[1.15, 1])
MASKS = ("none", "causal")
MAX_VALUES = 8  # words; with more, the cells have no space for values


class AttentionPanel(Panel):
    """Controls: sentence, head; mask and layer if there are several. Images: attention.

    Args:
        model: (token ids (1, N), mask=(N, N)) -> scores (1, classes) or anything else, with attention layers.
        encode: sentence -> token ids; raises a UserError if it cannot.
        words: token id -> word.
        classes: of the scores; without them the panel shows no prediction.
        sentence: the first one.
        masks: to choose from; with one alone the model gets no mask.

    Raises:
        UserError: the first sentence cannot be encoded, or the model has no attention.
    """

    def __init__(
        self,
        model: nn.Module,
        encode: Callable[[str], list[int]],
        words: Sequence[str],
        classes: Sequence[str] = (),
        sentence: str = "the film was really not good",
        masks: Sequence[str] = MASKS,
    ) -> None:
        super().__init__("Attention weights")
        self.model, self.encode, self.words, self.classes = model, encode, words, classes
        self.controls["sentence"] = Text("sentence", sentence)
        if len(masks) > 1:
            self.controls["mask"] = Select("mask", masks)
        image = self.image("attention", WIDTH, HEIGHT, title="")
        self._forward(sentence)  # the first one must work
        layers, heads = len(self.weights_by_layer), self.weights_by_layer[0].shape[0]
        if layers > 1:
            self.controls["layer"] = Slider("layer", 1, layers, 1)
        self.controls["head"] = Slider("head", 1, heads, 1)
        self.lay_out(["sentence", "mask"], ["layer", "head"], self.note, image)
        self._show()
        self.follow(self._read, "sentence", "mask")
        self.follow(self._choose_layer, "layer")
        self.follow(self._show, "head")

    def weights(self) -> torch.Tensor:
        """Return the weights (N, N) of the chosen layer and head."""
        layer = self.value("layer") if "layer" in self.controls else 1
        return self.weights_by_layer[layer - 1][self.value("head") - 1]

    def _read(self) -> None:
        self._forward(self.value("sentence"))
        self._show()

    @torch.no_grad()
    def _forward(self, sentence: str) -> None:
        """Run the model, and keep the attention weights of each layer, (heads, N, N)."""
        ids, device = self.encode(sentence), device_of(self.model)
        causal = "mask" in self.controls and self.controls["mask"].value == "causal"
        options = dict(mask=causal_mask(len(ids), device)) if causal else {}
        with record_attention(self.model) as seen:
            output = self.model(torch.tensor([ids], device=device), **options)
        if not seen:
            raise UserError("This network has no attention layer; give one with an Attention layer.")
        self.weights_by_layer = [weights[0].cpu() for weights in seen.values()]
        self.shown = [self.words[index] for index in ids]
        self.plot = BlittedFigure([["map", "lines"]], WIDTH, HEIGHT, self._draw_axes, **LAYOUT)
        self.say("")
        if self.classes:
            p = output[0].float().softmax(dim=0).cpu()
            best = int(p.argmax())
            self.say(f"prediction: <b>{html.escape(self.classes[best])}</b> (p = {p[best]:.2f})")

    def _choose_layer(self) -> None:
        with self.quietly():
            self.controls["head"].set_max(self.weights_by_layer[self.value("layer") - 1].shape[0])
        self._show()

    def _draw_axes(self, axes) -> None:
        plot_attention(axes["map"], torch.zeros(len(self.shown), len(self.shown)), self.shown)
        axes["map"].set(xlabel="key", ylabel="query")
        plot_words(axes["lines"], self.shown, "query → key")

    def _show(self) -> None:
        weights = self.weights()

        def draw(axes) -> None:
            plot_matrix(axes["map"], weights)
            if len(weights) <= MAX_VALUES:
                self.plot.write_numbers(axes["map"], weights, 2, size=12)
            plot_lines(axes["lines"], weights)

        query, key = divmod(int(weights.argmax()), len(weights))
        alt = f"attention weights of head {self.controls['head'].value} for “{' '.join(self.shown)}”; the largest is "
        self.show(
            "attention", self.plot.render(draw), f"{alt}{weights.max():.2f}, {self.shown[query]} → {self.shown[key]}"
        )
