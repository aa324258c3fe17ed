"""The panel of chapter 5 for more than two numbers, which no map can show: one slider for each of them."""

import ipywidgets as widgets
import torch

from stablediff_edu.display.live import png, strip, to_bytes
from stablediff_edu.display.panels import parts
from stablediff_edu.display.panels.encoded import EncodedDigits, ExampleChooser
from stablediff_edu.display.panels.fine_slider import FineSlider
from stablediff_edu.training.autoencoding import squared_error

SIDE = 224
START = 3


def latent_sliders(model, pictures: torch.Tensor, labels: torch.Tensor) -> widgets.VBox:
    """Return the panel.

    `.controls`: "number 1", "number 2" and so on; start from, another, back. `.images`: original, decoded,
    start from. `.note`: a line of text on how far the decoded picture lies from the original.

    Args:
        model: `encode`, (B, 1, S, S) -> (B, n), and `decode`, (B, n) -> (B, 1, S, S).
        pictures: (N, 1, S, S) digits in [-1, 1], to start from.
        labels: (N,) which digit each one is.
    """
    return _LatentSliders(EncodedDigits(model, pictures, labels)).panel


class _LatentSliders:
    def __init__(self, digits: EncodedDigits) -> None:
        self.digits, self.still = digits, False
        there = digits.digits()
        self.start = ExampleChooser(digits, "start from", START if START in there else there[0])
        self.back = widgets.Button(description="back to the start", layout={"width": "150px"})
        self.sliders = [FineSlider(f"number {n}", one) for n, one in enumerate(digits.ranges, 1)]
        side = parts.whole_multiple(digits.pictures.shape[-1], SIDE)
        self.images = {name: parts.picture_place(name, side) for name in ("original", "decoded")}
        self.note = widgets.HTML()
        self.note.add_class("sd-sliders-note")

        for slider in self.sliders:
            slider.observe(self._draw, "value")
        self.start.observe(self._begin, "index")
        self.back.on_click(self._begin)
        self.panel = self._lay_out()
        self._begin()

    def _lay_out(self) -> widgets.VBox:
        half = (len(self.sliders) + 1) // 2
        columns = [widgets.VBox(self.sliders[:half]), widgets.VBox(self.sliders[half:])]
        panel = widgets.VBox(
            [
                parts.in_line(self.start, self.back),
                parts.in_line(*(parts.under_title(name, image) for name, image in self.images.items())),
                self.note,
                parts.in_line(*columns),
            ]
        )
        panel.controls = {slider.name: slider for slider in self.sliders}
        panel.controls |= {"start from": self.start.digit, "another": self.start.another, "back": self.back}
        panel.images = self.images | {"start from": self.start.image}
        panel.note = self.note
        return panel

    def _begin(self, _event=None) -> None:
        """Move all sliders to the numbers of the chosen digit, and draw once."""
        self.still = True
        for slider, value in zip(self.sliders, self.digits.codes[self.start.index].tolist(), strict=True):
            slider.value = value
        self.still = False
        self._show("original", self.digits.pictures[self.start.index])
        self._draw()

    def _draw(self, _change=None) -> None:
        if self.still:
            return
        original = self.digits.pictures[self.start.index]
        decoded = self.digits.decode([slider.value for slider in self.sliders])
        self._show("decoded", decoded)
        self.note.value = (
            f"{original.numel()} pixels from {len(self.sliders)} numbers · "
            f"mean squared difference to the original: {squared_error(decoded, original):.4f} per pixel in [0, 1]"
        )

    def _show(self, name: str, picture: torch.Tensor) -> None:
        self.images[name].value = png(strip([[to_bytes(picture)]], int(self.images[name].width)))
