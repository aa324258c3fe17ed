"""The panel of chapter 5 for latent spaces that no map can show: one slider per latent dimension."""

from typing import Any

import torch

from stablediff_edu.metrics.images import squared_error
from stablediff_edu.widgets.controls import Button
from stablediff_edu.widgets.latents import LatentPanel


class LatentSliders(LatentPanel):
    """Controls: z₁, z₂, …; start from, another start from, reset. Images: original, decoded.

    Args:
        model: `encode`, (B, 1, S, S) -> (B, n), and `decode`, (B, n) -> (B, 1, S, S).
        images: digits, (N, 1, S, S) in [-1, 1], to start from.
        labels: (N,) the digits.
    """

    def __init__(self, model: Any, images: torch.Tensor, labels: torch.Tensor) -> None:
        super().__init__("Latent dimensions", {"start from": 3}, model, images, labels)
        self.controls["reset"] = Button("reset", "move all sliders back to the digit's latent vector")
        names = self.latent_names
        self.lay_out(
            ["start from", "start from: example", "another start from", "reset"],
            ["original", "decoded"],
            self.note,
            *(names[n : n + 2] for n in range(0, len(names), 2)),
        )
        self._reset()
        self.follow(self._decode, *names)
        self.follow_end("start from", self._reset)
        self.follow(self._reset, "reset")

    def _reset(self) -> None:
        """Move all sliders to the latent vector of the chosen digit."""
        number = self.chosen["start from"]
        for name, value in zip(self.latent_names, self.z[number].tolist(), strict=True):
            self.set(name, value)
        self.show("original", self.digits[number], "the original digit")
        self._decode()

    def _decode(self) -> None:
        original = self.digits[self.chosen["start from"]]
        decoded = self.decode([self[name] for name in self.latent_names])
        self.show("decoded", decoded, "the digit decoded from the values of the sliders")
        self.say(
            f"{original.numel()} pixels from {len(self.ranges)} latent values · mean squared error "
            f"{squared_error(decoded, original):.4f} per pixel in [0, 1]"
        )
