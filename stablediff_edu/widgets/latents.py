"""Digits and their latent vectors: what the two latent panels of chapter 5 share."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from stablediff_edu.widgets.base import Panel, evaluate
from stablediff_edu.widgets.controls import Button, Select, Slider, range_for

BATCH = 1000
THUMBNAIL = 56
SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


class LatentPanel(Panel):
    """Controls: a slider for each latent dimension, z₁, z₂, …; for each of `ends` its digit, and "another" example.

    Args:
        ends: the names of the chosen digits -> the digit at the start.
        model: `encode`, (B, 1, S, S) -> (B, n), and `decode`, (B, n) -> (B, 1, S, S).
        images: digits, (N, 1, S, S) in [-1, 1].
        labels: (N,) the digits.

    Attributes:
        z: latent vectors of all images, (N, n).
        ranges: n ranges of the latent dimensions.
        inside: (N,) whether an image lies within the ranges.
        chosen: name of an end -> the number of its image.
    """

    side = 224

    def __init__(
        self, title: str, ends: dict[str, int], model: Any, images: torch.Tensor, labels: torch.Tensor
    ) -> None:
        self.model, self.digits, self.labels = model, images.cpu(), labels.cpu()
        self.z = torch.cat([evaluate(model, batch, method="encode") for batch in images.split(BATCH)])
        self.ranges = [range_for(dimension) for dimension in self.z.T]
        low, high = torch.tensor([(one.low, one.high) for one in self.ranges]).T
        self.inside = ((self.z >= low) & (self.z <= high)).all(1)
        sliders = [
            Slider(f"z{n}".translate(SUBSCRIPTS), one.low, one.high, 0, one.step)
            for n, one in enumerate(self.ranges, 1)
        ]
        self.latent_names = [slider.name for slider in sliders]
        there = self.labels[self.inside].unique().tolist()
        selects = [Select(name, there, digit if digit in there else there[0]) for name, digit in ends.items()]
        others = [Button(f"another {name}", "another example of this digit") for name in ends]
        super().__init__(title, *sliders, *selects, *others)
        self.chosen: dict[str, int] = {}
        for name in ends:
            self._take(name, 0)

    def follow_end(self, name: str, handler: Callable[[], None]) -> None:
        """Call a handler when another digit, or another example of it, is chosen."""

        def choose(step: int) -> None:
            self._take(name, step)
            handler()

        self.follow(partial(choose, 0), name)
        self.follow(partial(choose, 1), f"another {name}")

    def examples(self, digit: int) -> list[int]:
        """Return the numbers of a digit's images: the most typical one, then the others in order."""
        numbers = (self.inside & (self.labels == digit)).nonzero()[:, 0]
        z = self.z[numbers]
        typical = int(numbers[(z - z.median(0).values).square().sum(1).argmin()])
        return [typical, *(number for number in numbers.tolist() if number != typical)]

    def decode(self, z: Sequence[float]) -> torch.Tensor:
        """Return the image decoded from n values, (1, S, S) in [-1, 1], on the CPU."""
        return evaluate(self.model, torch.tensor([z], dtype=torch.float32), method="decode")[0].clamp(-1, 1)

    def _take(self, name: str, step: int) -> None:
        """Choose the first example of a digit, or the next one."""
        examples = self.examples(self[name])
        number = examples[(examples.index(self.chosen[name]) + 1) % len(examples)] if step else examples[0]
        self.chosen[name] = number
        self.show(f"{name}: example", self.digits[number], f"{name}: a digit {self[name]}", "", THUMBNAIL)
