"""The live picture of chapter 3: what a network finds in a few noisy pictures, again and again while it learns."""

import torch
from PIL import Image
from torch import nn

from stablediff_edu.diffusion.schedule import Schedule, picture_and_noise
from stablediff_edu.display.live import strip, to_bytes

SOFTER = 3.0  # noise goes far beyond black and white, -1 and 1: a third of it is shown


class NoiseFilm:
    """The same noisy pictures, and at every snapshot the noise that the network finds in them and the picture left.

    Args:
        x0: (1, 3, S, S) the clean picture.
        schedule: how noise is added.
        ts: the steps to look at, one column each.
        prediction: what the network answers.
        seed: of the noise.

    Attributes:
        xt, eps: (N, 3, S, S) the noisy pictures, and the noise in them, one for each of `ts`.
    """

    def __init__(
        self, x0: torch.Tensor, schedule: Schedule, ts: tuple[int, ...], prediction: str = "noise", seed: int = 0
    ) -> None:
        self.schedule, self.prediction, self.t = schedule, prediction, torch.tensor(ts)
        clean = x0.expand(len(ts), -1, -1, -1)
        self.eps = torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed))
        self.xt = schedule.add_noise(clean, self.eps, self.t)

    def snapshot(self, model: nn.Module) -> torch.Tensor:
        """Let the network look: (2, N, 3, S, S), the pictures that it sees and the noise that it finds."""
        device = next(model.parameters()).device
        answer = model(self.xt.to(device), self.t.to(device)).cpu()
        shares = self.schedule.signal_and_noise(self.t, self.xt)
        return torch.stack(picture_and_noise(answer, self.xt, *shares, self.prediction))

    def draw(self, step: int, snapshot: torch.Tensor) -> Image.Image:
        """Draw a snapshot, row by row: noisy pictures, the noise in them, the noise found, the picture left."""
        pictures, noise = snapshot.cpu()
        rows = [self.xt, self.eps / SOFTER, noise / SOFTER, pictures]
        # 256 colours: noise in all its colours would fill the notebook
        return strip([[to_bytes(one) for one in row] for row in rows], 112).quantize(256)
