"""The live image of chapter 3: what a network finds in a few noisy images, again and again while it learns."""

import torch
from PIL import Image
from torch import nn

from stablediff_edu.diffusion.schedule import NoiseSchedule, to_x0_eps
from stablediff_edu.notebook.progress import tile_images, to_uint8

NOISE_DISPLAY_SCALE = 3.0  # noise goes far beyond black and white, -1 and 1: a third of it is shown


class DenoisingSnapshots:
    """The same noisy images, and at every snapshot the noise that the network finds in them and the image left.

    Args:
        x0: (1, 3, S, S) the clean image.
        schedule: how noise is added.
        ts: the steps to look at, one column each.
        prediction: what the network predicts.
        seed: of the noise.

    Attributes:
        xt, eps: (N, 3, S, S) the noisy images, and the noise in them, one for each of `ts`.
    """

    def __init__(
        self, x0: torch.Tensor, schedule: NoiseSchedule, ts: tuple[int, ...], prediction: str = "noise", seed: int = 0
    ) -> None:
        self.schedule, self.prediction, self.t = schedule, prediction, torch.tensor(ts)
        clean = x0.expand(len(ts), -1, -1, -1)
        self.eps = torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed))
        self.xt = schedule.add_noise(clean, self.eps, self.t)

    def snapshot(self, model: nn.Module) -> torch.Tensor:
        """Let the network look: (2, N, 3, S, S), the images that it sees and the noise that it finds."""
        device = next(model.parameters()).device
        answer = model(self.xt.to(device), self.t.to(device)).cpu()
        shares = self.schedule.coefficients(self.t, self.xt)
        return torch.stack(to_x0_eps(answer, self.xt, *shares, self.prediction))

    def render(self, step: int, snapshot: torch.Tensor) -> Image.Image:
        """Draw a snapshot, row by row: noisy images, the noise in them, the noise found, the image left."""
        images, noise = snapshot.cpu()
        rows = [self.xt, self.eps / NOISE_DISPLAY_SCALE, noise / NOISE_DISPLAY_SCALE, images]
        # 256 colors: noise in all its colors would fill the notebook
        return tile_images([[to_uint8(one) for one in row] for row in rows], 112).quantize(256)
