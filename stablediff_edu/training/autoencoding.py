"""Training autoencoders: give back what came in, through a few numbers (chapter 5)."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from stablediff_edu.device import device_of, pick_device, to_device
from stablediff_edu.models.autoencoder import Autoencoder
from stablediff_edu.models.vae import draw_normal, kl_divergence
from stablediff_edu.training.loop import Observer, Training, train


@dataclass(frozen=True)
class AutoencoderRecipe:
    """How an autoencoder learns to give back its input.

    Attributes:
        latent, widths: of the network.
        divergence: the weight of the pull towards the standard normal distribution, for the variational kind; 0
            trains a plain one.
        steps, batch_size, learning_rate: of the training.
    """

    latent: int = 2
    widths: tuple[int, ...] = (256, 128)
    divergence: float = 0.0
    steps: int = 1200
    batch_size: int = 128
    learning_rate: float = 4e-3
    seed: int = 0

    def model(self, size: int = 28) -> Autoencoder:
        """Return the untrained network; the seed decides its first weights."""
        torch.manual_seed(self.seed)
        return Autoencoder(self.latent, self.widths, variational=self.divergence > 0, size=size)


QUICK = AutoencoderRecipe(divergence=2e-4)
AUTOENCODER_BUDGETS = {
    "quick": QUICK,
    "full": replace(QUICK, widths=(1024, 512, 256), steps=20_000, learning_rate=1e-3),
    "test": replace(QUICK, steps=20),
}


def batches(pictures: torch.Tensor, batch_size: int, device: torch.device | str = "cpu") -> Iterator[torch.Tensor]:
    """Give batches of pictures, drawn by lot, for ever: (N, 1, S, S) -> (B, 1, S, S)."""
    while True:
        yield to_device(pictures[torch.randint(len(pictures), (batch_size,))], device)


def squared_error(found: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Return the mean squared error per pixel of pictures in [-1, 1], as if they were in [0, 1]."""
    return F.mse_loss(found, true) / 4  # half the range, a quarter of the square


def loss(model: Autoencoder, x: torch.Tensor, divergence: float = 0.0) -> torch.Tensor:
    """Return how badly the pictures (B, 1, S, S) come back; for a variational network, plus `divergence` · KL."""
    if not model.variational:
        return squared_error(model(x), x)
    mean, logvar = model.moments(x)  # (B, latent) both
    return squared_error(model.decode(draw_normal(mean, logvar)), x) + divergence * kl_divergence(mean, logvar)


def train_autoencoder(
    recipe: AutoencoderRecipe,
    pictures: torch.Tensor,
    observer: Observer | None = None,
    snapshot=None,
    model: nn.Module | None = None,
) -> tuple[Autoencoder, Training]:
    """Train an autoencoder on pictures (N, 1, S, S); return it in evaluation mode, and the record.

    `snapshot` is called with the averaged network now and then; what it returns is kept for a replay.
    """
    device = pick_device()
    model = (model or recipe.model(pictures.shape[-1])).to(device)
    training = train(
        model,
        batches(pictures, recipe.batch_size, device),
        partial(loss, divergence=recipe.divergence),
        steps=recipe.steps,
        learning_rate=recipe.learning_rate,
        beta2=0.99,
        ema=0.99,
        snapshot=snapshot,
        observer=observer,
    )
    return model, training


@torch.no_grad()
def reconstruction_error(model, pictures: torch.Tensor) -> float:
    """Return the mean squared error per pixel, in [0, 1], of pictures (N, 1, S, S) that a network or PCA gives back."""
    pictures = to_device(pictures, device_of(model))
    return squared_error(model(pictures), pictures).item()
