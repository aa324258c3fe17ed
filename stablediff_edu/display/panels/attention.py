"""A panel of chapter 7: type a sentence, and see which word looks at which, head by head."""

import html
from collections.abc import Callable, Sequence

import ipywidgets as widgets
import torch
from torch import nn

from stablediff_edu.display.attention_figures import draw_cells, draw_lines, draw_weights, draw_words
from stablediff_edu.display.figures import draw_numbers
from stablediff_edu.display.panels import parts
from stablediff_edu.display.panels.plot import StillPlot
from stablediff_edu.errors import CourseError
from stablediff_edu.layers.attention import causal_mask, watch_attention

WIDTH, HEIGHT = 860, 430
LAYOUT = dict(left=0.1, right=0.99, bottom=0.2, top=0.94, wspace=0.05, width_ratios=[1.15, 1])
MASKS = ("none", "causal")
MOST_NUMBERS = 8  # words; with more, the cells of the map have no room for numbers


def attention_panel(
    model: nn.Module,
    encode: Callable[[str], list[int]],
    words: Sequence[str],
    classes: Sequence[str] = (),
    sentence: str = "the film was really not good",
    masks: Sequence[str] = MASKS,
) -> widgets.VBox:
    """Return the panel.

    `.controls`: sentence, head and head number, mask; layer and layer number if there are several layers.
    `.images`: attention. `.note`: a line of text, what the network answers or what is wrong with the sentence.
    `.weights`: () -> (N, N), what is drawn.

    Args:
        model: (numbers (1, N), mask=(N, N)) -> scores (1, classes) or anything else, with attention in it.
        encode: sentence -> the numbers of its words; raises a CourseError if it cannot.
        words: number -> word.
        classes: what the scores are of; without them the panel tells no answer.
        sentence: the first one.
        masks: what to choose from; with one alone the model is given no mask.

    Raises:
        CourseError: the first sentence cannot be encoded, or the model has no attention.
    """
    return _AttentionPanel(model, encode, words, classes, sentence, masks).panel


class _AttentionPanel:
    def __init__(self, model, encode, words, classes, sentence, masks) -> None:
        self.model, self.encode, self.words, self.classes, self.masks = model, encode, words, classes, masks
        self.device = parts.device_of(model)
        self.sentence = widgets.Text(
            sentence, description="sentence", continuous_update=False, layout={"width": "560px"}
        )
        self.mask = widgets.Dropdown(options=list(masks), description="mask", layout={"width": "200px"})
        self.image = parts.picture_place("attention", WIDTH, HEIGHT)
        self.note = widgets.HTML()
        self.note.add_class("sd-attention-note")

        self._look(encode(sentence))  # the first one must work
        layers, heads = len(self.seen), self.seen[0].shape[0]
        self.head, self.head_number = parts.slider_and_number("head", 1, heads, 1)
        self.layer, self.layer_number = parts.slider_and_number("layer", 1, layers, 1)
        for control in (self.sentence, self.mask):
            control.observe(self._read, "value")
        self.layer.observe(self._choose_layer, "value")
        self.head.observe(self._draw, "value")
        self.panel = self._lay_out()
        self._draw()

    def _lay_out(self) -> widgets.VBox:
        head = [self.head, self.head_number]
        layer = [self.layer, self.layer_number] if self.layer.max > 1 else []
        mask = [self.mask] if len(self.masks) > 1 else []
        panel = widgets.VBox([parts.in_line(self.sentence, *mask), parts.in_line(*layer, *head), self.note, self.image])
        panel.controls = {"sentence": self.sentence, "head": self.head, "head number": self.head_number}
        if mask:
            panel.controls["mask"] = self.mask
        if layer:
            panel.controls |= {"layer": self.layer, "layer number": self.layer_number}
        panel.images, panel.note, panel.weights = {"attention": self.image}, self.note, self.chosen
        return panel

    # -- what a change does ------------------------------------------------------------------------------------------

    def _read(self, _change=None) -> None:
        try:
            numbers = self.encode(self.sentence.value)
        except CourseError as error:
            self.note.value = f"<b>{html.escape(str(error))}</b> The picture is still the last sentence's."
            return
        self._look(numbers)
        self._draw()

    @torch.no_grad()
    def _look(self, numbers: list[int]) -> None:
        """Let the network read, and keep what each layer's heads looked at: `seen`, a list of (heads, N, N)."""
        named = {}
        if self.mask.value == "causal" and len(self.masks) > 1:
            named["mask"] = causal_mask(len(numbers), self.device)
        with watch_attention(self.model) as seen:
            answer = self.model(torch.tensor([numbers], device=self.device), **named)
        if not seen:
            raise CourseError("There is no attention in this network; give one with an Attention layer.")
        self.seen = [weights[0].cpu() for weights in seen.values()]
        self.plot = self._still([self.words[number] for number in numbers])
        self.note.value = ""
        if self.classes:
            likely = answer[0].softmax(dim=0)
            best = int(likely.argmax())
            self.note.value = f"the network's answer: <b>{self.classes[best]}</b> ({likely[best]:.0%} sure)"

    def _choose_layer(self, _change=None) -> None:
        self.head.max = self.head_number.max = self.seen[self.layer.value - 1].shape[0]
        self._draw()

    def chosen(self) -> torch.Tensor:
        """Return the weights (N, N) of the chosen layer and head."""
        return self.seen[self.layer.value - 1][self.head.value - 1]

    @staticmethod
    def _still(words: list[str]) -> StillPlot:
        """Return what a sentence's pictures have in common: its words."""

        def draw(axes) -> None:
            draw_weights(axes[0, 0], torch.zeros(len(words), len(words)), words, words)
            axes[0, 0].set_ylabel("who looks")
            draw_words(axes[0, 1], words, "who looks → who is looked at")

        return StillPlot(2, 1, WIDTH, HEIGHT, draw, gridspec_kw=LAYOUT)

    def _draw(self, _change=None) -> None:
        weights = self.chosen()

        def draw(axes) -> None:
            draw_cells(axes[0, 0], weights)
            if len(weights) <= MOST_NUMBERS:
                draw_numbers(axes[0, 0], weights.round(decimals=2), size=8.5)
            draw_lines(axes[0, 1], weights)

        self.image.value = self.plot.png(draw)
