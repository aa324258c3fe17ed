"""Digits and the few numbers that an encoder makes of them: what the panels of chapter 5 move about in."""

from collections.abc import Sequence

import ipywidgets as widgets
import torch
import traitlets

from stablediff_edu.display.live import png, strip, to_bytes
from stablediff_edu.display.panels import parts
from stablediff_edu.display.panels.fine_slider import range_of

AT_ONCE = 1000  # pictures encoded together
THUMBNAIL = 56


class EncodedDigits:
    """Digits, their numbers, and the network that made and can read them.

    Args:
        model: `encode`, (B, 1, S, S) -> (B, n), and `decode`, (B, n) -> (B, 1, S, S).
        pictures: (N, 1, S, S) in [-1, 1].
        labels: (N,) which digit each one is.

    Attributes:
        codes: (N, n) the numbers of all pictures.
        ranges: n ranges in which the numbers may move.
    """

    def __init__(self, model, pictures: torch.Tensor, labels: torch.Tensor) -> None:
        self.model, self.pictures, self.labels = model, pictures.cpu(), labels.cpu()
        device = parts.device_of(model)
        with torch.no_grad():
            self.codes = torch.cat([model.encode(part.to(device)).cpu() for part in pictures.split(AT_ONCE)])
        self.ranges = [range_of(number) for number in self.codes.T]
        low, high = torch.tensor([(one.low, one.high) for one in self.ranges]).T
        self.inside = ((self.codes >= low) & (self.codes <= high)).all(1)  # (N,)

    def digits(self) -> list[int]:
        """Return which digits there are."""
        return self.labels[self.inside].unique().tolist()

    def examples(self, digit: int) -> list[int]:
        """Return which pictures show this digit: one that is encoded like most of them, then the others in order."""
        indices = (self.inside & (self.labels == digit)).nonzero()[:, 0]
        codes = self.codes[indices]
        typical = int((codes - codes.median(0).values).square().sum(1).argmin())
        return [int(indices[typical]), *(int(index) for index in indices if index != indices[typical])]

    @torch.no_grad()
    def decode(self, numbers: Sequence[float]) -> torch.Tensor:
        """Return what the decoder draws for these n numbers, (1, S, S) in [-1, 1]."""
        z = torch.tensor([numbers], dtype=torch.float32, device=parts.device_of(self.model))  # (1, n)
        return self.model.decode(z)[0].cpu().clamp(-1, 1)


class ExampleChooser(widgets.HBox):
    """Choose a digit, and one of its examples, which is shown small; `index` says which picture it is."""

    index = traitlets.Int()

    def __init__(self, digits: EncodedDigits, name: str, digit: int) -> None:
        self.digits = digits
        self.digit = widgets.Dropdown(
            options=digits.digits(), value=digit, description=name,
            style={"description_width": "70px"}, layout={"width": "130px"},
        )  # fmt: skip
        self.another = widgets.Button(layout={"width": "90px"}, tooltip="another example of this digit")
        self.image = parts.picture_place(name, parts.whole_multiple(digits.pictures.shape[-1], THUMBNAIL))
        super().__init__([self.digit, self.image, self.another], layout={"align_items": "center"})
        self.digit.observe(self._choose, "value")
        self.another.on_click(self._next)
        self._choose()

    def _choose(self, _change=None) -> None:
        self.examples = self.digits.examples(self.digit.value)
        self.another.description = f"another {self.digit.value}"
        self._take(self.examples[0])

    def _next(self, _button=None) -> None:
        self._take(self.examples[(self.examples.index(self.index) + 1) % len(self.examples)])

    def _take(self, index: int) -> None:
        picture = self.digits.pictures[index]
        self.image.value = png(strip([[to_bytes(picture)]], int(self.image.width)))
        self.index = index
