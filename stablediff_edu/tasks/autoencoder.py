"""Training autoencoders on digits (chapter 5)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch

from stablediff_edu.config import device_of, to_device
from stablediff_edu.metrics.images import squared_error
from stablediff_edu.models.autoencoder import Autoencoder
from stablediff_edu.models.autoencoder_kl import kl_divergence, reparameterize
from stablediff_edu.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class AutoencoderTask(Task[torch.Tensor, Autoencoder]):
    """An autoencoder of images (N, 1, S, S).

    Attributes:
        latent, widths, size: of the network; the size is S.
        kl_weight: the weight of the KL term, for the variational kind; 0 trains a plain one.
    """

    latent: int = 2
    widths: tuple[int, ...] = (256, 128)
    size: int = 28
    kl_weight: float = 0.0
    steps: int = 1200
    batch_size: int = 128
    learning_rate: float = 4e-3
    ema: float = 0.99

    def network(self) -> Autoencoder:
        return Autoencoder(self.latent, self.widths, variational=self.kl_weight > 0, size=self.size)

    def batches(self, data: torch.Tensor, device: torch.device) -> Iterator[torch.Tensor]:
        while True:
            yield to_device(data[torch.randint(len(data), (self.batch_size,))], device)

    def loss(self, data: torch.Tensor) -> Callable:
        return partial(reconstruction_loss, kl_weight=self.kl_weight)


QUICK = AutoencoderTask(kl_weight=2e-4)
AUTOENCODER_PRESETS = AutoencoderTask.presets = {
    "quick": QUICK,
    "full": replace(QUICK, widths=(1024, 512, 256), steps=20_000, learning_rate=1e-3),
    "test": replace(QUICK, steps=20),
}


def reconstruction_loss(model: Autoencoder, x: torch.Tensor, kl_weight: float = 0.0) -> torch.Tensor:
    """Return the reconstruction error of images (B, 1, S, S); for a variational network, plus `kl_weight` · KL."""
    if not model.variational:
        return squared_error(model(x), x)
    mean, logvar = model.moments(x)  # (B, latent) both
    return squared_error(model.decode(reparameterize(mean, logvar)), x) + kl_weight * kl_divergence(mean, logvar)


@torch.no_grad()
def reconstruction_error(model: Callable[[torch.Tensor], torch.Tensor], images: torch.Tensor) -> float:
    """Return the mean squared error per pixel, in [0, 1], of images (N, 1, S, S) reconstructed by a network or PCA."""
    images = to_device(images, device_of(model))
    return squared_error(model(images), images).item()
