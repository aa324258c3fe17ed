"""Training autoencoders on digits (chapter 5)."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import nn

from stablediff_edu.config import device_of, pick_device, to_device
from stablediff_edu.metrics.images import squared_error
from stablediff_edu.models.autoencoder import Autoencoder
from stablediff_edu.models.autoencoder_kl import kl_divergence, reparameterize
from stablediff_edu.training.loop import Callback, TrainResult, train


@dataclass(frozen=True)
class AutoencoderTrainConfig:
    """Hyperparameters of an autoencoder.

    Attributes:
        latent, widths: of the network.
        kl_weight: the weight of the KL term, for the variational kind; 0 trains a plain one.
        steps, batch_size, learning_rate: of the training.
    """

    latent: int = 2
    widths: tuple[int, ...] = (256, 128)
    kl_weight: float = 0.0
    steps: int = 1200
    batch_size: int = 128
    learning_rate: float = 4e-3
    seed: int = 0

    def model(self, size: int = 28) -> Autoencoder:
        """Return the untrained network; the seed decides its first weights."""
        torch.manual_seed(self.seed)
        return Autoencoder(self.latent, self.widths, variational=self.kl_weight > 0, size=size)


QUICK = AutoencoderTrainConfig(kl_weight=2e-4)
AUTOENCODER_PRESETS = {
    "quick": QUICK,
    "full": replace(QUICK, widths=(1024, 512, 256), steps=20_000, learning_rate=1e-3),
    "test": replace(QUICK, steps=20),
}


def batches(images: torch.Tensor, batch_size: int, device: torch.device | str = "cpu") -> Iterator[torch.Tensor]:
    """Give batches of images, sampled at random, for ever: (N, 1, S, S) -> (B, 1, S, S)."""
    while True:
        yield to_device(images[torch.randint(len(images), (batch_size,))], device)


def loss(model: Autoencoder, x: torch.Tensor, divergence: float = 0.0) -> torch.Tensor:
    """Return the reconstruction error of images (B, 1, S, S); for a variational network, plus `divergence` · KL."""
    if not model.variational:
        return squared_error(model(x), x)
    mean, logvar = model.moments(x)  # (B, latent) both
    return squared_error(model.decode(reparameterize(mean, logvar)), x) + divergence * kl_divergence(mean, logvar)


def train_autoencoder(
    config: AutoencoderTrainConfig,
    images: torch.Tensor,
    callback: Callback | None = None,
    snapshot=None,
    model: nn.Module | None = None,
) -> tuple[Autoencoder, TrainResult]:
    """Train an autoencoder on images (N, 1, S, S); return it in evaluation mode, and the record.

    `snapshot` is called with the averaged network now and then; what it returns is kept for a replay.
    """
    device = pick_device()
    model = (model or config.model(images.shape[-1])).to(device)
    training = train(
        model,
        batches(images, config.batch_size, device),
        partial(loss, divergence=config.kl_weight),
        steps=config.steps,
        learning_rate=config.learning_rate,
        beta2=0.99,
        ema=0.99,
        snapshot=snapshot,
        callback=callback,
    )
    return model, training


@torch.no_grad()
def reconstruction_error(model, images: torch.Tensor) -> float:
    """Return the mean squared error per pixel, in [0, 1], of images (N, 1, S, S) reconstructed by a network or PCA."""
    images = to_device(images, device_of(model))
    return squared_error(model(images), images).item()
