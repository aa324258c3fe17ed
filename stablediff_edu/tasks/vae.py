"""Training variational autoencoders of Stable Diffusion's kind (chapters 5 and 8)."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from stablediff_edu.config import device_of, pick_device, to_device
from stablediff_edu.data.scenes.dataset import to_float_images
from stablediff_edu.errors import UserError
from stablediff_edu.io import checkpoint
from stablediff_edu.metrics.images import squared_error
from stablediff_edu.models.autoencoder_kl import AutoencoderKL, VAEConfig, kl_divergence
from stablediff_edu.tasks.clip import load_clip
from stablediff_edu.training.amp import autocast_half, memory_format
from stablediff_edu.training.distributed import shard_batch, sharded_noise
from stablediff_edu.training.loop import Callback, TrainResult, train
from stablediff_edu.training.perceptual_loss import add_perceptual_loss
from stablediff_edu.training.progress import fingerprint
from stablediff_edu.training.trained_models import load_trained


def l1_gradient_loss(found: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Return how far pixels, and the steps between neighboring pixels, are from the true ones: (B, C, H, W) twice.

    Where a squared error likes a blurred edge best, for being nowhere far off, this one wants the edge.
    """
    steps = sum(F.l1_loss(found.diff(dim=dim), true.diff(dim=dim)) for dim in (2, 3))
    return F.l1_loss(found, true) + steps


def mse_l1_gradient_loss(found: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Return both in one: the squared error finds large shapes and their colors soon, the other sharpens them."""
    return 4 * F.mse_loss(found, true) + 0.3 * l1_gradient_loss(found, true)


ERRORS = {"squared": squared_error, "edges": l1_gradient_loss, "mixed": mse_l1_gradient_loss}


@dataclass(frozen=True)
class VAETrainConfig:
    """Hyperparameters of an autoencoder.

    Attributes:
        config: its sizes; the scaling is measured after the training.
        error: what counts as a bad image: "squared", "edges" for sharp ones, "mixed", or "perceptual": mixed, and
            CLIP must see the same (`training/perceptual_loss.py`).
        kl_weight: the weight of the pull towards the standard normal distribution: so small that it only keeps the
            latents from running away.
        steps, batch_size, learning_rate, optimizer, ema: of the training.
        bfloat16: whether it computes with `autocast_half`.
        size: side of the images that it learns from.
        crop: side of the random crop of each image that a training step takes; 0 takes whole images (Stable
            Diffusion's autoencoder learned from crops, too).
        flip: whether a mirrored image is as good as the image.
        gan_steps, gan_weight: for how many steps the decoder learns on against a critic, and how much it minds what
            that says (`vae_gan.py`).
    """

    config: VAEConfig
    error: str = "squared"
    kl_weight: float = 1e-5
    steps: int = 1500
    batch_size: int = 64
    learning_rate: float = 6e-3
    optimizer: str = "adamw"
    bfloat16: bool = False
    ema: float = 0.99
    size: int = 64
    crop: int = 0
    flip: bool = False
    gan_steps: int = 0
    gan_weight: float = 0.0
    seed: int = 0

    def training_options(self) -> dict[str, Any]:
        """Return what the training loop is told, whichever half learns."""
        return dict(
            learning_rate=self.learning_rate, beta2=0.99, optimizer=self.optimizer, ema=self.ema, half=self.bfloat16
        )

    def make_error(self) -> Callable:
        """Return what counts as a bad image: (found, true) -> one number."""
        if self.error != "perceptual":
            return ERRORS[self.error]
        return add_perceptual_loss(mse_l1_gradient_loss, load_clip("clip-scenes")[0], self.bfloat16)

    def model(self) -> AutoencoderKL:
        """Return the untrained network; the seed decides its first weights."""
        torch.manual_seed(self.seed)
        return AutoencoderKL(self.config)


def batches(
    images: torch.Tensor, batch_size: int, device: torch.device | str = "cpu", flip: bool = False, crop: int = 0
) -> Iterator[torch.Tensor]:
    """Yield batches (B, C, H, W), sampled at random from images in [-1, 1] or from uint8 (N, C, H, W).

    With `crop` every image gives a random square of that side: (B, C, crop, crop).
    """
    while True:
        rows = torch.randint(len(images), (batch_size,))
        chosen = random_crops(images, rows, crop) if crop else images[rows]
        if flip:
            flipped = torch.rand(batch_size, 1, 1, 1) < 0.5
            chosen = torch.where(flipped, chosen.flip(3), chosen)
        yield as_float_images(to_device(shard_batch(chosen), device))


def random_crops(images: torch.Tensor, rows: torch.Tensor, side: int) -> torch.Tensor:
    """Return a random square of each of these images: (N, C, H, W) -> (B, C, side, side)."""
    height, width = images.shape[-2:]
    tops = torch.randint(height - side + 1, (len(rows),)).tolist()
    lefts = torch.randint(width - side + 1, (len(rows),)).tolist()
    places = zip(rows.tolist(), tops, lefts, strict=True)
    return torch.stack([images[row, :, top : top + side, left : left + side] for row, top, left in places])


def as_float_images(rows: torch.Tensor) -> torch.Tensor:
    """Return images in [-1, 1], which may have been stored as bytes."""
    return to_float_images(rows) if rows.dtype == torch.uint8 else rows


def vae_loss(
    model: AutoencoderKL, x: torch.Tensor, divergence: float, error: Callable = squared_error, bfloat16: bool = False
) -> torch.Tensor:
    """Return how badly images (B, C, H, W) come back through a sampled latent, plus `divergence` · KL."""
    with autocast_half(bfloat16, x.device):
        mean, logvar = model.moments(x)
        z = mean + torch.exp(logvar / 2) * sharded_noise(mean)
        found = model.decode(model.config.scaling * z)
    found, mean, logvar = (part.to(x.dtype) for part in (found, mean, logvar))
    return error(found, x) + divergence * kl_divergence(mean, logvar)


def train_vae(
    config: VAETrainConfig,
    images: torch.Tensor,
    callback: Callback | None = None,
    snapshot=None,
    checkpoint: Path | None = None,
    init: AutoencoderKL | None = None,
) -> tuple[AutoencoderKL, TrainResult]:
    """Train on images (N, C, H, W); return the network in evaluation mode, its scaling measured, and the record.

    Args:
        init: an autoencoder of the config's sizes to begin from, instead of random weights.
    """
    device = pick_device()
    model = config.model().to(device, memory_format=memory_format(device, cpu=False))
    if init is not None:
        model.load_state_dict(init.state_dict())
    besides: list = [str(checkpoint.read_metadata("clip-scenes"))] if config.error == "perceptual" else []
    besides += [] if init is None else init.state_dict().values()
    training = train(
        model,
        batches(images, config.batch_size, device, config.flip, config.crop),
        partial(vae_loss, divergence=config.kl_weight, error=config.make_error(), bfloat16=config.bfloat16),
        steps=config.steps,
        **config.training_options(),
        snapshot=snapshot,
        callback=callback,
        checkpoint=checkpoint,
        about=fingerprint(config, images, *besides),
    )
    measure_scaling(model, images)
    return model, training


def measure_scaling(model: AutoencoderKL, images: torch.Tensor) -> None:
    """Set the scaling so that latents have the standard deviation of the noise, 1."""
    model.config = replace(model.config, scaling=1.0)
    deviation = map_batches(model, lambda part: model.encode(as_float_images(part)), images[:1000]).std().item()
    model.config = replace(model.config, scaling=1 / deviation)


@torch.no_grad()
def map_batches(model: nn.Module, function: Callable, rows: torch.Tensor, batch_size: int = 250) -> torch.Tensor:
    """Return what a function of a network says of many images or latents, a batch at a time, on the CPU: (N, …)."""
    device = device_of(model)
    return torch.cat([function(to_device(part, device)).cpu() for part in rows.split(batch_size)])


def load_vae(name: str | Path = "digit-vae") -> tuple[AutoencoderKL, dict[str, str]]:
    """Return a trained autoencoder, built with the sizes in its metadata, and the metadata.

    Raises:
        UserError: the file is missing, cut off, or holds anything else than such an autoencoder with its metadata.
    """
    model, metadata = load_trained(
        lambda **sizes: AutoencoderKL(VAEConfig(**sizes)), name, "an autoencoder with latents"
    )
    if not (isinstance(model.config.scaling, int | float) and 0 < model.config.scaling < math.inf):
        raise UserError(
            f"The card of {checkpoint.checkpoint_path(name).name} gives no scaling above 0; train it again."
        )
    return model.to(pick_device()), metadata
