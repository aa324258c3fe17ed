"""The panel of chapter 5 for latent spaces that no map can show: one slider per latent dimension."""

import ipywidgets
import torch

from stablediff_edu.metrics.images import squared_error
from stablediff_edu.widgets.base import Panel, nearest_multiple
from stablediff_edu.widgets.controls import Button
from stablediff_edu.widgets.latent_dataset import ExamplePicker, LatentDataset

SIDE = 224
START = 3


class LatentSliders(Panel):
    """Controls: z₁, z₂, …; start from, another start from, reset. Images: original, decoded, start from.

    Args:
        model: `encode`, (B, 1, S, S) -> (B, n), and `decode`, (B, n) -> (B, 1, S, S).
        images: digits, (N, 1, S, S) in [-1, 1], to start from.
        labels: (N,) the digits.
    """

    def __init__(self, model, images: torch.Tensor, labels: torch.Tensor) -> None:
        super().__init__("Latent dimensions")
        self.data = LatentDataset(model, images, labels)
        self.sliders = self.data.sliders()
        side = nearest_multiple(images.shape[-1], SIDE)
        shown = [self.image(name, side) for name in ("original", "decoded")]
        there = self.data.digits()
        self.start = ExamplePicker(self, self.data, "start from", START if START in there else there[0])
        self.controls["reset"] = Button("reset", "move all sliders back to the digit's latent vector")
        self.controls |= {slider.name: slider for slider in self.sliders}
        half = (len(self.sliders) + 1) // 2
        columns = [
            ipywidgets.VBox(part, layout={"flex": "1 1 300px"}) for part in (self.sliders[:half], self.sliders[half:])
        ]
        self.lay_out([self.start, "reset"], shown, self.note, columns)
        self._reset()
        self.follow(self._decode, *self.sliders)
        self.follow(self._reset, self.start, "reset")

    def _reset(self) -> None:
        """Move all sliders to the latent vector of the chosen digit."""
        with self.quietly():
            for slider, value in zip(self.sliders, self.data.z[self.start.index].tolist(), strict=True):
                slider.value = value
        self.show("original", self.data.images[self.start.index], "the original digit")
        self._decode()

    def _decode(self) -> None:
        original = self.data.images[self.start.index]
        decoded = self.data.decode([slider.value for slider in self.sliders])
        self.show("decoded", decoded, "the digit decoded from the values of the sliders")
        self.say(
            f"{original.numel()} pixels from {len(self.sliders)} latent values · mean squared error "
            f"{squared_error(decoded, original):.4f} per pixel in [0, 1]"
        )
