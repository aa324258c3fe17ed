"""Digits and their latent vectors: what the panels of chapter 5 move in."""

from collections.abc import Sequence

import ipywidgets
import torch
import traitlets

from stablediff_edu.config import device_of
from stablediff_edu.widgets.base import Panel, nearest_multiple
from stablediff_edu.widgets.controls import Button, Select, Slider, range_for

BATCH = 1000
THUMBNAIL = 56
SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


class LatentDataset:
    """Digits, their latent vectors, and the network that encodes and decodes them.

    Args:
        model: `encode`, (B, 1, S, S) -> (B, n), and `decode`, (B, n) -> (B, 1, S, S).
        images: (N, 1, S, S) in [-1, 1].
        labels: (N,) the digits.

    Attributes:
        z: latent vectors of all images, (N, n).
        ranges: n ranges of the latent dimensions.
        inside: (N,) whether an image lies within the ranges.
    """

    def __init__(self, model, images: torch.Tensor, labels: torch.Tensor) -> None:
        self.model, self.images, self.labels = model, images.cpu(), labels.cpu()
        device = device_of(model)
        with torch.no_grad():
            self.z = torch.cat([model.encode(batch.to(device)).cpu() for batch in self.images.split(BATCH)])
        self.ranges = [range_for(dimension) for dimension in self.z.T]
        low, high = torch.tensor([(one.low, one.high) for one in self.ranges]).T
        self.inside = ((self.z >= low) & (self.z <= high)).all(1)

    def sliders(self) -> list[Slider]:
        """Return a slider for each latent dimension: z₁, z₂, …"""
        names = (f"z{n}".translate(SUBSCRIPTS) for n in range(1, len(self.ranges) + 1))
        return [Slider(name, one.low, one.high, 0, one.step) for name, one in zip(names, self.ranges, strict=True)]

    def digits(self) -> list[int]:
        """Return which digits there are."""
        return self.labels[self.inside].unique().tolist()

    def examples(self, digit: int) -> list[int]:
        """Return the indices of a digit's images: the most typical one, then the others in order."""
        indices = (self.inside & (self.labels == digit)).nonzero()[:, 0]
        z = self.z[indices]
        typical = int((z - z.median(0).values).square().sum(1).argmin())
        return [int(indices[typical]), *(int(index) for index in indices if index != indices[typical])]

    @torch.no_grad()
    def decode(self, z: Sequence[float]) -> torch.Tensor:
        """Return the image decoded from n values, (1, S, S) in [-1, 1], on the CPU."""
        batch = torch.tensor([z], dtype=torch.float32, device=device_of(self.model))  # (1, n)
        return self.model.decode(batch)[0].cpu().clamp(-1, 1)


class ExamplePicker(ipywidgets.HBox):
    """Choose a digit and one of its examples, which is shown small; `index` is the image's."""

    index = traitlets.Int()
    changes = "index"

    def __init__(self, panel: Panel, data: LatentDataset, name: str, digit: int) -> None:
        self.panel, self.data, self.name = panel, data, name
        self.digit = Select(name, data.digits(), digit)
        self.another = Button("another", "another example of this digit")
        self.image = panel.image(name, nearest_multiple(data.images.shape[-1], THUMBNAIL), title="")
        super().__init__(
            [self.digit, self.image, self.another], layout={"align_items": "center", "margin": "0 20px 0 0"}
        )
        panel.controls |= {name: self.digit, f"another {name}": self.another}
        panel.follow(self._choose, self.digit)
        panel.follow(self._next, self.another)
        self._choose()

    def _choose(self) -> None:
        self.examples = self.data.examples(self.digit.value)
        self._take(self.examples[0])

    def _next(self) -> None:
        self._take(self.examples[(self.examples.index(self.index) + 1) % len(self.examples)])

    def _take(self, index: int) -> None:
        self.panel.show(self.name, self.data.images[index], f"{self.name}: an example of digit {self.digit.value}")
        self.index = index
